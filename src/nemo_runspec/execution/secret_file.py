"""Which variables of a job are secret, and the file of mode 0600 that it sources them from.

`job.sh` and the script that cancels a job know when theirs is to go; the scripts that are not ours
(NeMo-Run's, a batch script of steps) get lines for that here.
"""

from __future__ import annotations

import os
import shlex
import uuid
from collections.abc import Mapping
from pathlib import Path

from nemo_runspec.masking import is_secret_name, mask_secrets, secret_values
from nemo_runspec.utils import write_atomically

# What jobs of this field need and launchers have: sent along when set.
_FORWARDED = ("HF_TOKEN", "WANDB_API_KEY")
_FOLDER = ".secrets"


def split_secrets(
    variables: Mapping[str, str], environ: Mapping[str, str] = os.environ
) -> tuple[dict[str, str], dict[str, str]]:
    """Variables that may stand in a script, and those that may not.

    A variable is secret by its name, by what its value looks like, or because a secret of
    `environ` stands in it, such as one that a profile refers to.
    """
    known = secret_values(environ)
    secrets = {name: value for name, value in variables.items() if _is_secret(name, value, known)}
    public = {name: value for name, value in variables.items() if name not in secrets}
    return public, secrets


def forwarded_secrets(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The secrets of the launcher's environment that jobs get."""
    return {name: environ[name] for name in _FORWARDED if environ.get(name)}


def new_secret_file(folder: Path) -> Path:
    """A name that no other job has, in a folder of the job folder's own; creates nothing."""
    return folder / _FOLDER / f"{uuid.uuid4().hex}.sh"


def secrets_text(secrets: Mapping[str, str]) -> str:
    """What the file holds: one `export` a variable."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in secrets.items())


def write_secrets(file: Path, secrets: Mapping[str, str]) -> None:
    """Writes the file so that at no moment anybody but its owner can read it."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(file, secrets_text(secrets), private=True, durable=False)


def shell_lines(file: Path | str) -> list[str]:
    """The lines of a batch script that source the file, and remove it when the job has ended.

    A job that a signal ended, or that has retries left (NeMo-Run's TORCHX_MAX_RETRIES), may be
    queued again and needs it then.
    """
    quoted = shlex.quote(str(file))
    may_run_again = (
        "[ $__code -ge 128 ] || { [ $__code -ne 0 ] && "
        '[ "${SLURM_RESTART_COUNT:-0}" -lt "${TORCHX_MAX_RETRIES:-0}" ]; }'
    )
    at_end = f"__code=$?; {may_run_again} || rm -f {quoted}"
    return [
        # NeMo-Run's scripts trace what they run, into the log.
        '{ __traced="$-"; set +vx; } 2>/dev/null',
        f". {quoted} || {{ echo 'error: the job cannot read its secrets' >&2; exit 1; }}",
        f"trap {shlex.quote(at_end)} EXIT",
        # Without it bash tells its EXIT trap nothing of the signal.
        "trap 'exit 143' TERM",
        '{ case "$__traced" in *x*) set -vx;; esac; } 2>/dev/null',
    ]


def _is_secret(name: str, value: str, known: frozenset[str]) -> bool:
    if is_secret_name(name) or bool(mask_secrets(value) != value):
        return True
    return any(secret in value for secret in known)
