"""`job.sh`: what runs on a node of a cluster, whichever executor brought it there.

One bash script a job, run on each of its nodes as `bash job.sh`; its exit code is the job's there.
It takes nothing from its surroundings but what stands in it, in the file of secrets beside it, and
what the node itself has: the environment of whoever submitted it need not come along.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

from nemo_runspec.execution.command import (
    RUN_SECRET_COMMAND,
    SECRET_COMMAND_VARIABLE,
    gpus_to_count,
    node_command,
    without_secrets,
)
from nemo_runspec.execution.environment import is_shell_name, runspec_variables
from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.interpreter import fitting_minors, fitting_versions, version_check
from nemo_runspec.execution.nodes import Nodes
from nemo_runspec.execution.own_source import own_source
from nemo_runspec.execution.protocol import Job
from nemo_runspec.execution.secret_file import split_secrets, write_secrets
from nemo_runspec.jobs import JobPaths
from runspec.run_script import FIND_PYTHON


@dataclass(frozen=True)
class JobScript:
    """What to run on each node of a job.

    Args:
        text: `job.sh`. No secret is in it.
        shown: the same as people may see it.
        secrets: the variables that are secret, by name; `stage` writes them.
    """

    text: str
    shown: str
    secrets: Mapping[str, str]

    def stage(self, paths: JobPaths) -> None:
        """Writes `job.sh` and what it needs beside it into the job's folder.

        The file of secrets is the only one that others must not see. `remove_secrets` takes it away
        once the job will not be started again.

        Raises:
            OSError: the folder cannot be written.
        """
        source = own_source("nemo_runspec.execution", "node_python.py")
        _write(paths.node_python, source, 0o644)
        _write(paths.script, _bytes(self.text), 0o755)
        if self.secrets:
            write_secrets(paths.secrets, self.secrets)


def remove_secrets(paths: JobPaths) -> None:
    """Takes away the secrets of a job that has ended; there may be none."""
    paths.secrets.unlink(missing_ok=True)


def job_script(
    job: Job, nodes: Nodes | None = None, *, extra_env: Mapping[str, str] | None = None
) -> JobScript:
    """The script of a job.

    Args:
        job: its paths are those that the node sees. Its `python` is used where it names an
            interpreter; else the node's own is found, for `package`.
        nodes: how its processes find each other; default: there is one node.
        extra_env: further variables, of the executor; those that the job declares win.

    Raises:
        ExecutionError: the profile holds what cannot be run.
    """
    nodes = nodes or Nodes()
    output = job.output or JobPaths(job.folder).output
    told = runspec_variables(job.folder, output, job.code, attempt=job.attempt, context=job.context)
    variables = {**told, **(extra_env or {}), **job.env}
    for name in variables:
        if not is_shell_name(name):
            raise ExecutionError(
                f"run.env.env_vars: {name!r} is no name that a shell can give a variable; "
                "use letters, digits and underscores"
            )
    plain, secrets = split_secrets(variables)
    command = node_command(job, nodes)
    shown = node_command(without_secrets(job), nodes)
    if shown != command:
        secrets[SECRET_COMMAND_VARIABLE] = command
    text = _script(job, plain, secrets, command if shown == command else None)
    return JobScript(text, _script(job, plain, secrets, shown), secrets)


def _script(
    job: Job, variables: Mapping[str, str], secrets: Mapping[str, str], command: str | None
) -> str:
    """The script; a command that is not to be seen comes with the secrets."""
    variables = dict(variables)
    python_path = variables.pop("PYTHONPATH", "")
    has_own_attempt = "RUNSPEC_ATTEMPT" in job.env
    if not has_own_attempt:
        del variables["RUNSPEC_ATTEMPT"]
    parts = [
        f"#!/bin/bash\n# {_one_line(job.name)}\n",
        _PREPARE,
        "" if job.package.inherit_path else "unset PYTHONPATH PYTHONHOME\n",
        "\n# What the job is told.\n",
        *(_export(name, value) for name, value in sorted(variables.items())),
        # Slurm starts a job again itself: after a lost node, say.
        ""
        if has_own_attempt
        else f"export RUNSPEC_ATTEMPT=$(({job.attempt} + ${{SLURM_RESTART_COUNT:-0}}))\n",
        _secrets_text(job, secrets),
        _python_text(job, python_path),
        _workdir_text(job),
        "\n# The job.\n",
        f"{command}\n" if command is not None else RUN_SECRET_COMMAND,
    ]
    return "".join(parts)


_PREPARE = """\
exec </dev/null
# What another Python or PEX left behind.
unset PEX PEX_ROOT PEX_INTERPRETER PEX_MODULE PEX_SCRIPT PEX_PYTHON PEX_PYTHON_PATH PEX_PATH
"""


def _secrets_text(job: Job, secrets: Mapping[str, str]) -> str:
    if not secrets:
        return ""
    path = shlex.quote(str(JobPaths(job.folder).secrets))
    names = ", ".join(sorted(secrets))
    return (
        f"\n# Not to be seen: {names}\n"
        f"if [ ! -r {path} ]; then\n"
        f'    printf "error: %s is gone: the job had come to its end\\n" {path} >&2\n'
        "    exit 2\n"
        "fi\n"
        f". {path}\n"
    )


def _python_text(job: Job, python_path: str) -> str:
    """How the job's Python is found on the node and set up."""
    interpreter = job.python.interpreter
    options = []
    if interpreter is None and job.package.pex is not None:
        options.append(_option("--pex", job.package.pex))
    if job.package.inherit_path:
        options.append("--image")
    packages = job.python.packages if interpreter is not None else ()
    options += [_option("--before", path) for path in (*job.source_roots, *packages)]
    if python_path:
        options.append(_option("--after", python_path))
    gpus = gpus_to_count(job)
    if gpus is not None:
        options.append(_option("--gpus", gpus))
    if interpreter is not None:
        find = f"__python={shlex.quote(str(interpreter))}\n"
    elif job.package.inherit_path:
        find = _OWN_PYTHON
    else:
        find = _SEARCH
    versions, minors = _fitting(job.package.interpreter_constraints)
    wanted = " or ".join(job.package.interpreter_constraints) or "any Python"
    find = (
        find.replace("@versions@", versions)
        .replace("@minors@", minors)
        .replace("@wanted@", shlex.quote(wanted))
        .replace("@functions@\n", indent(FIND_PYTHON, "    "))
    )
    script = shlex.quote(str(JobPaths(job.folder).node_python))
    words = " \\\n    ".join(['--interpreter="$__python"', *options])
    return (
        f"\n# Its Python.\n{find}"
        f'__setting=$("$__python" -I {script} \\\n    {words}) || exit 2\n'
        'eval "$__setting"\n'
        "unset __python __setting\n"
    )


_SEARCH = """\
__python=$(
    versions='@versions@'
    minors='@minors@'
@functions@
    python=$RUNSPEC_PYTHON
    if [ -n "$python" ]; then
        fits "$python"
    else
        find_python
    fi && printf '%s\\n' "$python"
) || {
    printf 'error: no interpreter for %s on %s; %s\\n' @wanted@ "$(uname -n)" \\
        "install one there or set RUNSPEC_PYTHON to its path" >&2
    exit 2
}
"""

_OWN_PYTHON = """\
__python=${RUNSPEC_PYTHON:-$(type -P python || type -P python3)}
(
    versions='@versions@'
@functions@
    fits "$__python"
) || {
    printf 'error: the image has no Python for %s: %s is %s\\n' @wanted@ "${__python:-python}" \\
        "$("${__python:-false}" -V 2>&1 || printf 'none that runs')" >&2
    exit 2
}
"""


def _workdir_text(job: Job) -> str:
    workdir = shlex.quote(str(job.workdir))
    return (
        '\nmkdir -p -- "$RUNSPEC_OUTPUT_DIR" || exit 2\n'
        f"cd -- {workdir} 2>/dev/null || {{\n"
        f'    printf "error: run.workdir: no folder %s on %s\\n" {workdir} "$(uname -n)" >&2\n'
        "    exit 2\n"
        "}\n"
    )


def _fitting(constraints: Iterable[str]) -> tuple[str, str]:
    """The versions of Python that fit, as `FIND_PYTHON` wants them: all, and the minors."""
    fits = version_check(tuple(constraints))
    return " ".join(fitting_versions(fits)), " ".join(fitting_minors(fits))


def _option(name: str, value: object) -> str:
    # In one word: a value may begin with a dash.
    return f"{name}={shlex.quote(str(value))}"


def _export(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _bytes(text: str) -> bytes:
    # Arguments and variables hold any byte; each stands as the surrogate that Python made of it.
    return text.encode("utf-8", "surrogateescape")


def _write(path: Path, content: bytes, mode: int) -> None:
    """Writes a file that is never there with other rights than its own, nor in part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
    os.replace(temporary, path)
