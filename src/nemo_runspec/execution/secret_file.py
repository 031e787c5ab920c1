"""Secrets of a job that somebody else's script runs: in a file of mode 0600 that the job sources.

For the ways of running where the script is NeMo-Run's; a script of ours brings its own.
"""

from __future__ import annotations

import os
import shlex
import uuid
from collections.abc import Mapping
from pathlib import Path

from nemo_runspec.masking import is_secret_name, mask_secrets

# What jobs of this field need and launchers have: sent along when set.
FORWARDED = ("HF_TOKEN", "WANDB_API_KEY")
_FOLDER = ".secrets"


def split_secrets(variables: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Variables that may stand in a script, and those that may not."""
    secrets = {name: value for name, value in variables.items() if _is_secret(name, value)}
    public = {name: value for name, value in variables.items() if name not in secrets}
    return public, secrets


def forwarded_secrets(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The secrets of the launcher's environment that jobs get."""
    return {name: environ[name] for name in FORWARDED if environ.get(name)}


def new_secret_file(folder: Path) -> Path:
    """A name that no other job has, in a folder of the job folder's own; creates nothing."""
    return folder / _FOLDER / f"{uuid.uuid4().hex}.sh"


def secrets_text(secrets: Mapping[str, str]) -> str:
    """What the file holds: one `export` a variable."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in secrets.items())


def write_secrets(file: Path, secrets: Mapping[str, str]) -> None:
    """Writes the file so that at no moment anybody but its owner can read it."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(secrets_text(secrets))


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


def _is_secret(name: str, value: str) -> bool:
    return is_secret_name(name) or bool(mask_secrets(value) != value)
