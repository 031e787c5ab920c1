"""torchrun in earnest: processes that add up numbers over gloo."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from nemo_runspec.execution.job_script import job_script
from nemo_runspec.execution.local import LocalExecutor
from nemo_runspec.execution.nodes import Nodes
from nemo_runspec.jobs import JobPaths
from tests.nemo_runspec.executor_contract import PATIENCE_SECONDS, run_job
from tests.nemo_runspec.torch_jobs import VARIABLE, results, torch_job, torch_python


@pytest.fixture(scope="module")
def python() -> Path:
    found = torch_python()
    if found is None:
        pytest.skip(
            "no interpreter imports torch: `apt-get install python3-torch`, or set "
            f"{VARIABLE}=PYTHON to one that does"
        )
    return found


def test_two_processes(tmp_path: Path, python: Path) -> None:
    _, exit_code, log = run_job(LocalExecutor(), torch_job(tmp_path, python, 2))
    assert exit_code == 0, log
    assert results(log) == ["0 of 2: 11", "1 of 2: 11"]


def test_a_process_that_fails(tmp_path: Path, python: Path) -> None:
    _, exit_code, log = run_job(LocalExecutor(), torch_job(tmp_path, python, 2, code=3))
    assert exit_code == 1, log


def test_two_nodes(tmp_path: Path, python: Path) -> None:
    job = torch_job(tmp_path, python, 2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    nodes = Nodes(count=2, rank="$RANK_OF_NODE", port="$PORT")
    job_script(job, nodes).stage(JobPaths(job.folder))
    running = [
        subprocess.Popen(
            ["bash", str(JobPaths(job.folder).script)],
            env={
                "PATH": "/usr/bin:/bin",
                "RANK_OF_NODE": str(rank),
                "PORT": str(port),
                "RUNSPEC_PEX_ROOT": str(tmp_path / f"node {rank}"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    logs = [process.communicate(timeout=PATIENCE_SECONDS)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], logs
    # Each node has the ranks that its number gives it.
    assert results(logs[0]) == ["0 of 4: 1111", "1 of 4: 1111"]
    assert results(logs[1]) == ["2 of 4: 1111", "3 of 4: 1111"]
