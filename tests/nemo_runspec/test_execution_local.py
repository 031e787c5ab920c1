from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from nemo_runspec.execution.local import LocalExecutor
from nemo_runspec.execution.protocol import Executor, Handle, State
from nemo_runspec.execution.supervisor import find_process
from nemo_runspec.jobs import JobPaths
from tests.nemo_runspec.executor_contract import (
    PATIENCE_SECONDS,
    ExecutorContract,
    command_lines_with,
    make_job,
    wait_for,
)


class TestLocalExecutor(ExecutorContract):
    codes_of_killed = frozenset({128 + 9})

    def make_executor(self) -> Executor:
        return LocalExecutor()

    def test_a_lost_machine(self, executor: Executor, folder: Path) -> None:
        self.goes_on(executor, folder, kill_all, {State.LOST})


def kill_all(handle: Handle) -> None:
    """What a crash of the machine leaves of a job: nothing, and no word of it."""
    record = json.loads(JobPaths(Path(handle.folder)).status.read_text())
    for process in (record["supervisor"], record["job"]):
        os.kill(process["pid"], signal.SIGKILL)


def test_a_job_whose_supervisor_was_killed(tmp_path: Path) -> None:
    executor = LocalExecutor()
    job = make_job(tmp_path, "import time; time.sleep(600)")
    handle = executor.submit(executor.prepare(job), attached=False)
    record = json.loads(JobPaths(job.folder).status.read_text())
    os.kill(record["supervisor"]["pid"], signal.SIGKILL)
    wait_for(lambda: find_process(record["supervisor"]["pid"]) is None, "the supervisor's end")
    assert executor.status(handle).state is State.RUNNING
    executor.cancel(handle)
    status = executor.wait(handle, PATIENCE_SECONDS)
    assert (status.state, status.exit_code) == (State.LOST, None)
    assert find_process(record["job"]["pid"]) is None


def test_nobody_sees_a_secret_of_the_startup_commands(tmp_path: Path) -> None:
    secret = "-".join(["hush", "7a51"])
    profile = {"startup_commands": [f"export MY_TOKEN={secret}"]}
    script = """
        import os, time
        print(len(os.environ["MY_TOKEN"]), "RUNSPEC_SECRET_COMMAND" in os.environ, flush=True)
        time.sleep(600)
    """
    executor = LocalExecutor()
    job = make_job(tmp_path, script, profile=profile)
    handle = executor.submit(executor.prepare(job), attached=True)
    wait_for(lambda: b"".join(executor.logs(handle)) == b"9 False\n", "the job")
    assert command_lines_with(secret) == []
    executor.cancel(handle)
    assert executor.wait(handle, PATIENCE_SECONDS).state is State.CANCELLED


def test_a_recycled_process_number_is_not_believed(tmp_path: Path) -> None:
    executor = LocalExecutor()
    job = make_job(tmp_path, "")
    handle = executor.submit(executor.prepare(job), attached=True)
    executor.wait(handle, PATIENCE_SECONDS)
    path = JobPaths(job.folder).status
    record = json.loads(path.read_text())
    ours = {"pid": os.getpid(), "started": "long ago"}
    path.write_text(json.dumps({**record, "state": "running", "job": ours, "supervisor": ours}))
    assert executor.status(handle).state is State.LOST
    executor.cancel(handle)
