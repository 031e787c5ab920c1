"""The Python of a job: an interpreter and the third-party packages of its bundle's `job.pex`.

The job runs on the interpreter itself, not inside `python job.pex script`: PEX would run the
script in a `__main__` of its own, in which classes and functions cannot be pickled, so that
multiprocessing would fail. PEX unpacks what it holds and says where; the rest is plain Python.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nemo_runspec.execution.environment import inherited_environment
from nemo_runspec.execution.errors import ExecutionError

_PROBE = "import json, sys; print(json.dumps([sys.executable, sys.path]))"


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
        pex: the PEX. In venv mode it becomes a virtual environment; else its packages are put
            before those of the interpreter, as `--inherit-path=fallback` does.
        environ: the environment to unpack it in.

    Returns:
        The virtual environment's interpreter, or `interpreter` and the packages.

    Raises:
        ExecutionError: if PEX refuses, for example an interpreter that it is not made for.
    """
    opened = subprocess.run(
        [str(interpreter), str(pex), "-c", _PROBE],
        env={**inherited_environment(environ), "PEX_INTERPRETER": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if opened.returncode:
        said = opened.stderr.strip().rpartition("\n")[2] or f"exit code {opened.returncode}"
        raise ExecutionError(f"{pex}: cannot be opened with {interpreter}: {said}")
    executable, path = json.loads(opened.stdout)
    # PEX keeps each distribution in a folder that is named as its wheel.
    packages = tuple(Path(entry) for entry in path if entry.endswith(".whl"))
    return JobPython(Path(executable), packages)
