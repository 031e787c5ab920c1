"""The Python of a job that runs beside its launcher: an interpreter and the packages of `job.pex`.

The job runs on the interpreter itself, not inside `python job.pex script`: PEX would run the
script in a `__main__` of its own, in which classes and functions cannot be pickled, so that
multiprocessing would fail. PEX unpacks what it holds and says where; the rest is plain Python.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nemo_runspec.execution.environment import inherited_environment
from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.node_python import NodeError, not_shadowing, open_pex


@dataclass(frozen=True)
class JobPython:
    """What `python` is in a job.

    Args:
        interpreter: its executable; None: the `python` that the job's PATH finds.
        packages: folders of packages that it does not have by itself, in order.
    """

    interpreter: Path | None = None
    packages: tuple[Path, ...] = ()


def open_job_pex(interpreter: Path, pex: Path, environ: Mapping[str, str]) -> JobPython:
    """Unpacks a PEX into PEX's own cache, if it is not there yet.

    Args:
        interpreter: one that the PEX is made for.
        pex: the PEX. In venv mode it becomes a virtual environment.
        environ: the environment to unpack it in.

    Returns:
        The virtual environment's interpreter, or `interpreter` and the packages.

    Raises:
        ExecutionError: if PEX refuses, for example an interpreter that it is not made for.
    """
    try:
        opened = open_pex(str(interpreter), str(pex), inherited_environment(environ))
    except NodeError as error:
        raise ExecutionError(str(error)) from error
    return JobPython(Path(opened.executable), tuple(map(Path, opened.packages)))


def behind_own_packages(
    python: JobPython, interpreter: Path, environ: Mapping[str, str]
) -> JobPython:
    """The Python of a job with an image: its bundle adds only what the interpreter lacks.

    What is left out although its version is another is said on standard error.

    Args:
        python: from `open_job_pex`.
        interpreter: the one that runs it.
        environ: the environment that the job inherits from.

    Raises:
        ExecutionError: the interpreter does not say what it has.
    """
    packages = tuple(map(str, python.packages))
    try:
        added, note = not_shadowing(str(interpreter), packages, inherited_environment(environ))
    except NodeError as error:
        raise ExecutionError(str(error)) from error
    if note is not None:
        print(f"note: {note}", file=sys.stderr)
    return replace(python, packages=tuple(map(Path, added)))
