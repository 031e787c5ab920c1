"""What a job says of itself, what Slurm says of it, and what both come to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.protocol import State, Status
from nemo_runspec.execution.slurm.client import SlurmJob

# What a job's own record may say beside the states that it ends in.
_RUNNING = "running"
_REQUEUED = "requeued"
_ENDED = {
    "succeeded": State.SUCCEEDED,
    "failed": State.FAILED,
    "cancelled": State.CANCELLED,
    "unfinished": State.UNFINISHED,
}

# squeue(1), "JOB STATE CODES".
_QUEUED = (
    "CONFIGURING",
    "PENDING",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "RESV_DEL_HOLD",
    "SPECIAL_EXIT",
)
_ACTIVE = ("COMPLETING", "RESIZING", "RUNNING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED")
_BY_ITSELF = ("COMPLETED", "FAILED")
_UNFINISHED = {
    "BOOT_FAIL": "a node did not start",
    "DEADLINE": "its deadline",
    "NODE_FAIL": "node failure",
    "PREEMPTED": "preemption",
    "TIMEOUT": "time limit",
}
# Reasons that squeue gives for waiting, as people say them; others are shown as they are.
_WAITS = {
    "BeginTime": "waits to start again",
    "Priority": "waits behind others",
    "Resources": "waits for resources",
    "JobHeldUser": "held; scontrol release lets it start",
    "JobHeldAdmin": "held by the cluster's administrators",
    "Dependency": "waits for another job",
}
_TERMINATED = 128 + 15


@dataclass(frozen=True)
class Record:
    """The record that the batch script keeps.

    Args:
        job_id: the job's.
        state: `running`, `requeued` or how it ended.
        attempt: how many times it was started with its output folder.
        started_at: the last time, in seconds since the epoch.
        ended_at: likewise; None unless it ended.
        exit_code: of the process that failed first, else 0; None while it runs.
        why: what people should know of it.
    """

    job_id: str
    state: str
    attempt: int
    started_at: float
    ended_at: float | None
    exit_code: int | None
    why: str

    @property
    def is_final(self) -> bool:
        return self.state in _ENDED

    def status(self) -> Status:
        """What a final record says."""
        return Status(
            _ENDED[self.state],
            self.exit_code,
            self.started_at,
            self.ended_at,
            self.why or None,
            self.attempt,
        )


def read_record(path: Path) -> Record | None:
    """A job's record; None where its batch script was not started yet.

    Raises:
        ExecutionError: the file is something else.
    """
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Record(
            job_id=str(document["job_id"]),
            state=str(document["state"]),
            attempt=int(document["attempt"]),
            started_at=float(document["started_at"]),
            ended_at=document["ended_at"],
            exit_code=document["exit_code"],
            why=str(document["why"]),
        )
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise ExecutionError(f"{path}: not a job's record: {error}") from error


def joint_status(record: Record | None, job: SlurmJob | None, *, is_cancelled: bool) -> Status:
    """The status of a job whose record does not say that it has ended.

    Args:
        record: its own.
        job: what Slurm says; None if it knows no such job.
        is_cancelled: whether somebody asked for its end.
    """
    started_at = record.started_at if record else None
    attempt = record.attempt if record else None
    if job is None:
        if is_cancelled:
            return Status(State.CANCELLED, None, started_at, None, None, attempt)
        return Status(
            State.LOST, None, started_at, None, "Slurm does not know it any more", attempt
        )
    if job.state in _QUEUED:
        waits = _WAITS.get(job.reason, job.reason)
        before = f"{record.why}; " if record and record.why else ""
        return Status(State.PENDING, why=f"{before}{waits}" or None, attempt=attempt)
    if job.state in _ACTIVE:
        if record is not None and record.state == _REQUEUED:
            return Status(State.PENDING, why=record.why or None, attempt=attempt)
        why = record.why if record and record.state == _RUNNING else ""
        return Status(State.RUNNING, None, started_at or job.started_at, None, why or None, attempt)
    if record is not None and record.why and not is_cancelled and job.state in _BY_ITSELF:
        # Its script was told to end it and left the rest to Slurm, which then did not go on.
        code = job.exit_code or _TERMINATED
        return Status(State.UNFINISHED, code, started_at, job.ended_at, record.why, attempt)
    return _ended(job, is_cancelled, started_at or job.started_at, attempt)


def _ended(
    job: SlurmJob, is_cancelled: bool, started_at: float | None, attempt: int | None
) -> Status:
    """What Slurm says of a job that did not live to say it itself."""
    code, why = job.exit_code, job.reason or None
    if is_cancelled or job.state == "CANCELLED":
        state, code = State.CANCELLED, code or _TERMINATED
    elif job.state in _UNFINISHED:
        state, why = State.UNFINISHED, _UNFINISHED[job.state]
        code = code or _TERMINATED
    elif job.state == "COMPLETED":
        state, code = State.SUCCEEDED, code or 0
    elif job.state == "OUT_OF_MEMORY":
        state, code, why = State.FAILED, code or 128 + 9, "out of memory"
    elif job.state == "FAILED":
        state, code = State.FAILED, code or 1
    else:
        state, why = State.LOST, f"Slurm says {job.state or 'nothing'} of it"
    return Status(state, code, started_at, job.ended_at, why, attempt)
