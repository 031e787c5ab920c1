"""Startup commands: what a profile runs in the job's shell before the job."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.masking import mask_secrets


def get_startup_commands(env_config: Mapping[str, Any] | None) -> list[str]:
    """The `startup_commands` of a profile: `run.env` of a job config, plain or an OmegaConf node.

    Raises:
        ExecutionError: if it is no list of strings.
    """
    commands = (env_config or {}).get("startup_commands")
    if not commands:
        return []
    if not isinstance(commands, list):
        commands = _plain(commands)
    if not isinstance(commands, list) or not all(isinstance(c, str) for c in commands):
        raise ExecutionError(
            f"run.env.startup_commands: {mask_secrets(commands)!r} is no list of strings; "
            'write startup_commands = ["first", "second"]'
        )
    return commands


def _plain(commands: Any) -> Any:
    from omegaconf import OmegaConf

    is_config = OmegaConf.is_config(commands)
    return OmegaConf.to_container(commands, resolve=True) if is_config else commands


def prepend_startup_to_cmd(startup_commands: Sequence[str], cmd: str) -> str:
    """A bash script that runs the startup commands, then `cmd`, all in one shell.

    One shell, so that what a startup command exports, sources or changes to counts for the
    job, as on a cluster. The first that fails ends the script: one line on standard error says
    which, and its exit code is the script's.

    Args:
        startup_commands: bash commands, of one or more lines.
        cmd: the bash command to run last.
    """
    if not startup_commands:
        return cmd
    count = len(startup_commands)
    lines = [
        # As a trap, so that `exit` or `set -e` in a command cannot pass the job by in silence.
        "trap '__rc=$?; [ $__rc -ne 0 ] || __rc=1; "
        'printf "error: startup command %s ended with exit code %s: %s\\n" '
        '"$__n" "$__rc" "$__cmd" >&2; exit $__rc\' EXIT'
    ]
    for number, command in enumerate(startup_commands, start=1):
        # It goes to the log, which others may read.
        label = shlex.quote(mask_secrets(command.strip().partition("\n")[0]))
        # eval keeps a syntax error in one command from hiding the others.
        lines += [f"__n={number}/{count} __cmd={label}", f"eval {shlex.quote(command)} || exit"]
    return "\n".join([*lines, "trap - EXIT", "unset __n __cmd", cmd])


def run_startup_commands_local(
    startup_commands: Sequence[str], env: Mapping[str, str] | None = None
) -> None:
    """Runs the startup commands now, in one bash.

    Raises:
        SystemExit: with the exit code of the first that fails.
    """
    if not startup_commands:
        return
    script = prepend_startup_to_cmd(startup_commands, ":")
    returncode = subprocess.call(["bash", "-c", script], env=env)
    if returncode:
        raise SystemExit(returncode if returncode > 0 else 128 - returncode)
