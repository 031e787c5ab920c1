"""The command of a job: what `launch` and `cmd` of a recipe and `run_command` of a profile mean."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.protocol import Job
from nemo_runspec.execution.startup import get_startup_commands, prepend_startup_to_cmd

_TORCHRUN_WORDS = ("auto", "cpu", "gpu")  # torch.distributed.run counts devices itself


def build_command(job: Job) -> tuple[str, ...]:
    """The argument vector of the job, its startup commands included.

    `run_command` of the profile counts before `cmd` of the recipe, that before `launch`. A ray
    recipe is started like a direct one: on one machine the script's `ray.init()` starts its own.
    """
    main = _main_command(job)
    startup = get_startup_commands(job.profile)
    if not startup:
        return main
    shell_command = main[2] if main[:2] == _BASH else f"exec {shlex.join(main)}"
    return (*_BASH, prepend_startup_to_cmd(startup, shell_command))


_BASH = ("bash", "-c")


def _main_command(job: Job) -> tuple[str, ...]:
    template = job.profile.get("run_command") or job.spec.run.cmd
    if template:
        values = {"script": str(job.script), "config": str(job.config)}
        return (*_BASH, fill_template(str(template), values, job.passthrough))
    arguments = (str(job.script), "--config", str(job.config), *job.passthrough)
    if job.spec.run.kind != "torchrun":
        return ("python", *arguments)
    environ = {**os.environ, **job.env}
    processes = processes_per_node(job.profile, job.spec.resources.gpus_per_node, environ)
    # --standalone: a rendezvous of its own on a free port, so that two runs never meet.
    launcher = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    return ("python", *launcher, *arguments)


def processes_per_node(
    profile: Mapping[str, Any], declared: int | str, environ: Mapping[str, str] | None = None
) -> int | str:
    """How many processes torchrun starts on this machine.

    Args:
        profile: its `nproc_per_node` counts first, then its `gpus_per_node`.
        declared: the recipe's `gpus_per_node`; no more than this machine has, and at least 1.
        environ: the job's environment; default: this process's.

    Raises:
        ExecutionError: if the profile's value is no number.
    """
    for key in ("nproc_per_node", "gpus_per_node"):
        value = profile.get(key)
        if value is None:
            continue
        if value in _TORCHRUN_WORDS and key == "nproc_per_node":
            return str(value)
        if value == "gpu":
            return max(1, count_gpus(environ))
        if isinstance(value, bool) or not str(value).isdecimal():
            raise ExecutionError(f"run.env.{key}: {value!r} is no number of processes")
        return max(1, int(value))
    if isinstance(declared, str):
        return max(1, count_gpus(environ))
    return max(1, min(declared, count_gpus(environ)))


def count_gpus(environ: Mapping[str, str] | None = None) -> int:
    """The NVIDIA GPUs that a job of this machine sees with this environment."""
    visible = (os.environ if environ is None else environ).get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # CUDA stops at the first invalid entry; -1 is the usual way to say none.
        entries = [entry.strip() for entry in visible.split(",")]
        valid = [entry not in ("", "-1", "NoDevFiles") for entry in entries]
        return valid.index(False) if False in valid else len(valid)
    return sum(1 for device in Path("/dev").glob("nvidia*") if device.name[6:].isdecimal())


def fill_template(template: str, values: Mapping[str, str], arguments: Sequence[str] = ()) -> str:
    """Puts `values` in place of their `{name}` in a shell command, whatever they contain.

    A value is quoted for where it stands: bare, in double or in single quotes. Any other brace
    (`${HOME}`, `{a,b}`, awk's `{print}`) stays as it is.

    Args:
        template: the shell command.
        values: by placeholder name.
        arguments: added at the end, quoted.
    """
    placeholder = re.compile(r"(?<!\$)\{(" + "|".join(map(re.escape, values)) + r")\}")

    def fill(text: str, quote: Callable[[str], str]) -> str:
        return placeholder.sub(lambda found: quote(values[found[1]]), text)

    def fill_part(part: re.Match[str]) -> str:
        text = part.group()
        if part["double"]:
            return fill(text, lambda value: re.sub(r'([\\"$`])', r"\\\1", value))
        if part["single"]:
            return fill(text, lambda value: value.replace("'", "'\\''"))
        return fill(text, shlex.quote)

    command = _SHELL_PART.sub(fill_part, template.strip())
    return " ".join([command, *map(shlex.quote, arguments)])


# A quoted string, or what stands between quoted strings.
_SHELL_PART = re.compile(
    r"""(?P<single>'[^']*')|(?P<double>"(?:\\.|[^"\\])*")|(?:\\.|[^'"\\])+|.""", re.DOTALL
)
