from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nemo_runspec.execution import ExecutionError
from nemo_runspec.execution.job_python import JobPython, open_job_pex
from nemo_runspec.execution.local import LocalExecutor
from tests.nemo_runspec.example_pex import SCRIPT, make_pex
from tests.nemo_runspec.executor_contract import make_job, run_job


def test_a_job_runs_as_plain_python(tmp_path: Path) -> None:
    pex = make_pex(tmp_path / "job it's.pex")
    python = open_job_pex(Path(sys.executable), pex, {"PEX_ROOT": "/not/ours"})
    assert python.interpreter == Path(sys.executable)
    assert python.packages == (pex / ".deps" / "thing-1.0-py3-none-any.whl",)

    job = make_job(tmp_path, SCRIPT, python=python)
    _, exit_code, log = run_job(LocalExecutor(), job)
    assert (exit_code, log) == (0, "42\nb'42\\n'\nb'42\\n'\n")


def test_the_python_of_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "image" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").write_text(f'#!/bin/sh\necho own\nexec "{sys.executable}" "$@"\n')
    (folder / "python").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    job = make_job(tmp_path, "print('ran')", python=JobPython())
    _, exit_code, log = run_job(LocalExecutor(), job)
    assert (exit_code, log) == (0, "own\nran\n")


def test_a_pex_for_another_interpreter(tmp_path: Path) -> None:
    said = "import sys; sys.exit('first\\nFailed to find compatible interpreter')"
    pex = make_pex(tmp_path / "job.pex", said)
    with pytest.raises(ExecutionError, match=r"job\.pex: cannot.*: Failed to find compatible"):
        open_job_pex(Path(sys.executable), pex, {})
