"""The command of a job: what `launch` and `cmd` of a recipe and `run_command` of a profile mean."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.node_python import count_gpus
from nemo_runspec.execution.nodes import Nodes
from nemo_runspec.execution.protocol import Job
from nemo_runspec.execution.ray_nodes import around_ray
from nemo_runspec.execution.startup import get_startup_commands, prepend_startup_to_cmd
from nemo_runspec.jobs import JobPaths
from nemo_runspec.masking import mask_secrets

_TORCHRUN_WORDS = ("auto", "cpu", "gpu")  # torch.distributed.run counts devices itself
_COMMAND_KEYS = ("run_command", "startup_commands", "pre_ray_start_commands")
_BASH = ("bash", "-c")

# What `job.sh` has found out on the node when the command starts.
PROCESSES_VARIABLE = "RUNSPEC_PROCESSES"
# What bash runs in place of a command with a secret in it, and what holds that command: whoever
# runs `ps` sees arguments, and not the environment of others.
SECRET_COMMAND_VARIABLE = "RUNSPEC_SECRET_COMMAND"
RUN_SECRET_COMMAND = f"""\
__command=${SECRET_COMMAND_VARIABLE}
unset {SECRET_COMMAND_VARIABLE}
eval "$__command"
"""


def build_command(job: Job) -> tuple[str, ...]:
    """The argument vector of a job on this machine, its startup commands included.

    `run_command` of the profile counts before `cmd` of the recipe, that before `launch`. A ray
    recipe is started like a direct one: its `ray.init()` starts a Ray (`execution.ray.embedded`).
    """
    main = _main_command(job)
    startup = get_startup_commands(job.profile)
    if job.spec.run.kind == "ray":
        startup = [*startup, *_before_ray(job)]
    if not startup:
        return main
    shell_command = main[2] if main[:2] == _BASH else f"exec {shlex.join(main)}"
    return (*_BASH, prepend_startup_to_cmd(startup, shell_command))


def node_command(job: Job, nodes: Nodes) -> str:
    """The same as bash, for one of the nodes of a cluster; the last that runs in its shell.

    On several nodes each runs it. torchrun joins them; what else there is runs on each of them, but
    with `launch = "ray"` on number 0 alone, with a Ray of all of them.

    Raises:
        ExecutionError: the profile holds what cannot be run.
    """
    template = job.profile.get("run_command") or job.spec.run.cmd
    launcher = ""
    if template:
        values = {"script": str(job.script), "config": str(job.config)}
        main = fill_template(str(template), values, job.passthrough)
    else:
        script = shlex.join([str(job.script), "--config", str(job.config), *job.passthrough])
        launcher = _torchrun(job, nodes) if job.spec.run.kind == "torchrun" else ""
        main = f"python {launcher}{script}"
    if job.spec.run.kind == "ray" and not nodes.has_ray:
        main = _with_ray(job, main, nodes)
    elif not template:
        # torchrun would die of a signal by which its processes are told to save what they have.
        ignored = "trap '' USR1 USR2\n" if launcher else ""
        main = f"{ignored}exec {main}"
    return prepend_startup_to_cmd(get_startup_commands(job.profile), main)


def gpus_to_count(job: Job) -> str | None:
    """How many GPUs of a node a job uses at most, or `gpu` for all; None when it is not counted.

    What it comes to on the node, and at least 1, is `PROCESSES_VARIABLE` for `node_command`.
    """
    if job.spec.run.kind != "torchrun" or job.profile.get("run_command") or job.spec.run.cmd:
        return None
    wanted = _wanted_processes(job.profile, job.spec.resources.gpus_per_node)
    return wanted.at_most


def without_secrets(job: Job) -> Job:
    """The job without the secrets that are written in its command, for people to read."""
    texts = {key: job.profile[key] for key in _COMMAND_KEYS if key in job.profile}
    run = replace(job.spec.run, cmd=mask_secrets(job.spec.run.cmd))
    return replace(
        job,
        passthrough=tuple(mask_secrets(job.passthrough)),
        profile={**job.profile, **mask_secrets(texts)},
        spec=replace(job.spec, run=run),
    )


def torchrun_options(processes: int | str) -> tuple[str, ...]:
    """The options of an interpreter that start a script's processes on this machine alone.

    Args:
        processes: how many, or a word of torchrun (`auto`, `cpu`, `gpu`).
    """
    # --standalone: a rendezvous of its own on a free port, so that two runs never meet.
    # Underscores: torch before 2.0 knows no dashes, later ones know both.
    return ("-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}")


def _torchrun(job: Job, nodes: Nodes) -> str:
    """The same as bash, for one of several nodes; the space behind it included."""
    wanted = _wanted_processes(job.profile, job.spec.resources.gpus_per_node)
    processes = wanted.said if wanted.at_most is None else f'"${PROCESSES_VARIABLE}"'
    options: Sequence[str] = torchrun_options(processes)
    if nodes.count > 1:
        # Static: each node has the number that its executor gave it, and no name is resolved, as
        # the c10d rendezvous does with the name that the first node has for itself.
        options = (
            *("-m", "torch.distributed.run", f"--nnodes={nodes.count}"),
            f'--node_rank="{nodes.rank}"',
            f'--master_addr="{nodes.head_address}"',
            f'--master_port="{nodes.port}"',
            f"--nproc_per_node={processes}",
        )
    return " ".join(options) + " "


def _with_ray(job: Job, command: str, nodes: Nodes) -> str:
    return around_ray(command, nodes, _before_ray(job), JobPaths(job.folder).log.parent)


def _before_ray(job: Job) -> list[str]:
    return get_startup_commands({"startup_commands": job.profile.get("pre_ray_start_commands")})


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
    return ("python", *torchrun_options(processes), *arguments)


@dataclass(frozen=True)
class _Wanted:
    """The processes per node that somebody asked for.

    Args:
        said: for torchrun.
        at_most: instead, as many as there are GPUs, but no more than this, or `gpu`.
    """

    said: str = ""
    at_most: str | None = None


def _wanted_processes(profile: Mapping[str, Any], declared: int | str) -> _Wanted:
    for key in ("nproc_per_node", "gpus_per_node"):
        value = profile.get(key)
        if value is None:
            continue
        if value in _TORCHRUN_WORDS and key == "nproc_per_node":
            return _Wanted(str(value))
        if value == "gpu":
            return _Wanted(at_most="gpu")
        if isinstance(value, bool) or not str(value).isdecimal():
            raise ExecutionError(f"run.env.{key}: {value!r} is no number of processes")
        return _Wanted(str(max(1, int(value))))
    return _Wanted(at_most="gpu" if isinstance(declared, str) else str(declared))


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
    wanted = _wanted_processes(profile, declared)
    if wanted.at_most is None:
        return wanted.said if wanted.said in _TORCHRUN_WORDS else int(wanted.said)
    here = count_gpus(environ)
    return max(1, here if wanted.at_most == "gpu" else min(here, int(wanted.at_most)))


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
