"""`launch = "ray"` on this machine: a real Ray for the job alone, on loopback."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.local import LocalExecutor
from nemo_runspec.execution.protocol import Job, State
from nemo_runspec.jobs import JobPaths
from runspec import RunspecRun
from tests.integration.clusters.ray_cluster import (
    listening,
    missing_ray,
    processes_with,
    ray_python,
)
from tests.nemo_runspec.executor_contract import make_job, wait_for

PATIENCE_SECONDS = 300  # for a machine that has much else to do
SCRIPT = """
    import json, os, sys, time
    import ray

    ray.init(logging_level="ERROR")

    @ray.remote
    def double(number):
        import helper
        return helper.FACTOR * number

    folder = ray.get_runtime_context().get_session_name()
    print(json.dumps([folder, ray.get([double.remote(n) for n in range(4)])]))
    sys.stdout.flush()
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.1)
    sys.exit(3)
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    reason = missing_ray()
    if reason is not None:
        pytest.skip(reason)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    made = make_job(tmp_path, SCRIPT, env={"GATE": str(tmp_path / "gate")})
    (made.code / "helper.py").write_text("FACTOR = 2\n")
    return replace(
        made,
        spec=replace(made.spec, run=RunspecRun(launch="ray")),
        python=JobPython(Path(ray_python() or "")),
    )


def said(job: Job) -> list[list[object]]:
    lines = JobPaths(job.folder).log.read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("[")]


def test_a_ray_for_the_job_alone(job: Job, tmp_path: Path) -> None:
    executor = LocalExecutor()
    handle = executor.submit(executor.prepare(job), attached=True)
    try:
        wait_for(lambda: said(job) or executor.status(handle).state.is_final, "tasks")
        ((session, doubled),) = said(job)
        assert doubled == [0, 2, 4, 6]
        ours = processes_with(str(session))
        assert ours
        hosts = {each.rpartition(":")[0] for each in listening(ours)}
        assert hosts and hosts <= {"127.0.0.1", "[::ffff:127.0.0.1]"}
    finally:
        (tmp_path / "gate").touch()
    assert executor.wait(handle, PATIENCE_SECONDS).exit_code == 3
    wait_for(lambda: not processes_with(str(session)), "Ray's end")


def test_it_ends_with_a_cancelled_job(job: Job) -> None:
    executor = LocalExecutor()
    handle = executor.submit(executor.prepare(job), attached=True)
    wait_for(lambda: said(job) or executor.status(handle).state.is_final, "tasks")
    session = said(job)[0][0]
    executor.cancel(handle)
    assert executor.wait(handle, PATIENCE_SECONDS).state is State.CANCELLED
    wait_for(lambda: not processes_with(str(session)), "Ray's end")
