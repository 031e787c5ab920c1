"""A cluster of one machine, whose whole state is files: what a test says happens, happens.

Its jobs are what `job_script` makes of them, run by a process that no submitter knows of. What
stands in the folder that `FAKE_CLUSTER` names tells it what to do:

    down        a file: nobody answers
    hold        a file: jobs wait in the queue
    swallow     a file: the next submit is taken, and its answer lost; it removes the file
    die         a file: the next submitter is killed once its job was taken; it removes the file
    jobs/N      job N: `job.json`, and `state.json` once it was started

A job that exits with 99 was ended by its time limit; one that exits with 98 is queued again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.job_script import JobScript, job_script
from nemo_runspec.execution.protocol import Executor, Handle, Job, Request, State, Status
from nemo_runspec.jobs import JobPaths
from nemo_runspec.utils import write_atomically

VARIABLE = "FAKE_CLUSTER"
NAME = "fake"
TIME_LIMIT = 99
REQUEUED = 98

_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class FakeRequest(Request):
    folder: Path
    script: JobScript
    attempt: int

    def shell_text(self) -> str:
        return self.script.shown


class FakeCluster(Executor):
    """The cluster in the folder that the environment names."""

    name = NAME

    @property
    def _folder(self) -> Path:
        return Path(os.environ[VARIABLE])

    def prepare(self, job: Job) -> FakeRequest:
        return FakeRequest(job.folder, job_script(job), job.attempt)

    def stage(self, request: Request) -> None:
        assert isinstance(request, FakeRequest)
        paths = JobPaths(request.folder)
        paths.log.parent.mkdir(exist_ok=True)
        paths.log.touch()
        request.script.stage(paths)

    def submit(self, request: Request, *, attached: bool) -> Handle:
        assert not attached
        self._answer()
        self.stage(request)
        assert isinstance(request, FakeRequest)
        job_id = self._take(request)
        for name, what in (("die", self._die), ("swallow", self._lose_answer)):
            control = self._folder / name
            if control.exists():
                control.unlink()
                what()
        return Handle(self.name, str(request.folder), job_id)

    def find(self, folder: Path) -> Handle | None:
        self._answer()
        for job in (self._folder / "jobs").glob("*/job.json"):
            if json.loads(job.read_text())["folder"] == str(folder):
                return Handle(self.name, str(folder), job.parent.name)
        return None

    def status(self, handle: Handle) -> Status:
        self._answer()
        job = self._folder / "jobs" / handle.id
        if not job.is_dir():
            raise ExecutionError(f"no job {handle.id}")
        state = _read(job / "state.json")
        if not state:
            return Status(State.PENDING, why="Resources")
        values = {key: state.get(key) for key in ("started_at", "ended_at", "attempt", "why")}
        if state["state"] == "queued":
            return Status(State.PENDING, why="requeued", attempt=state["attempt"] + 1)
        if state["state"] == "running":
            return Status(State.RUNNING, **values)
        code = state["exit_code"]
        if state.get("cancelled"):
            return Status(State.CANCELLED, code, **values)
        if code == TIME_LIMIT:
            return Status(State.UNFINISHED, code, **{**values, "why": "time limit"})
        return Status(State.FAILED if code else State.SUCCEEDED, code, **values)

    def logs(self, handle: Handle, *, follow: bool = False) -> Iterator[bytes]:
        with open(JobPaths(Path(handle.folder)).log, "rb") as log:
            while True:
                ended = not follow or self.status(handle).state.is_final
                yield log.read()
                if ended:
                    return
                time.sleep(_POLL_SECONDS)

    def cancel(self, handle: Handle) -> None:
        self._answer()
        job = self._folder / "jobs" / handle.id
        (job / "cancel").touch()

    def wait(self, handle: Handle, timeout: float | None = None) -> Status:
        end = None if timeout is None else time.monotonic() + timeout
        while not (status := self.status(handle)).state.is_final:
            if end is not None and time.monotonic() >= end:
                break
            time.sleep(_POLL_SECONDS)
        return status

    def _take(self, request: FakeRequest) -> str:
        jobs = self._folder / "jobs"
        jobs.mkdir(exist_ok=True)
        number = len(list(jobs.iterdir())) + 1
        while True:
            try:
                (jobs / str(number)).mkdir()
                break
            except FileExistsError:
                number += 1
        job = jobs / str(number)
        told = {"folder": str(request.folder), "attempt": request.attempt}
        write_atomically(job / "job.json", json.dumps(told))
        subprocess.Popen(
            [sys.executable, __file__, str(self._folder), str(number)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return str(number)

    def _answer(self) -> None:
        if (self._folder / "down").exists():
            raise UnreachableError("fake: connection refused")

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _lose_answer(self) -> None:
        raise UnreachableError("fake: timed out")


def install(site: Path) -> None:
    """Makes it an installed executor of every Python that has `site` among its paths."""
    info = site / "fake_cluster-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-cluster\nVersion: 1\n")
    target = "tests.nemo_runspec.pipeline.fake_cluster:FakeCluster"
    (info / "entry_points.txt").write_text(f"[nemo_runspec.executors]\n{NAME} = {target}\n")


def _run(cluster: Path, number: str) -> None:
    """The node that a job runs on."""
    job = cluster / "jobs" / number
    told = json.loads((job / "job.json").read_text())
    paths = JobPaths(Path(told["folder"]))
    restarts = 0
    while True:
        while (cluster / "hold").exists() and not (job / "cancel").exists():
            time.sleep(_POLL_SECONDS)
        attempt = told["attempt"] + restarts
        state: dict[str, Any] = {"attempt": attempt, "started_at": time.time()}
        _write(job, {**state, "state": "running"})
        with open(paths.log, "ab") as log:
            process = subprocess.Popen(
                ["bash", str(paths.script)],
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": os.environ.get("HOME", "/"),
                    "SLURM_RESTART_COUNT": str(restarts),
                    VARIABLE: str(cluster),
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        cancelled = False
        while process.poll() is None:
            if (job / "cancel").exists() and not cancelled:
                cancelled = True
                os.killpg(process.pid, signal.SIGTERM)
            time.sleep(_POLL_SECONDS)
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        if code == REQUEUED and not cancelled:
            _write(job, {**state, "state": "queued"})
            restarts += 1
            continue
        ended = {"state": "ended", "exit_code": code, "ended_at": time.time()}
        _write(job, {**state, **ended, "cancelled": cancelled})
        return


def _write(job: Path, state: Mapping[str, Any]) -> None:
    write_atomically(job / "state.json", json.dumps(state), durable=False)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return {}


if __name__ == "__main__":
    _run(Path(sys.argv[1]), sys.argv[2])
