"""What a recipe that is run by hand tells: its submission, its start, its end."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from nemo_runspec.artifacts.job_context import JobRecord, read_records
from nemo_runspec.command_line import typed
from nemo_runspec.display import (
    display_job_completion,
    display_job_submission,
    is_terminal,
)
from nemo_runspec.execution.attach import Attached
from nemo_runspec.execution.protocol import Executor, Handle, State
from nemo_runspec.jobs import JobPaths
from nemo_runspec.pipeline.by_hand import ByHand
from nemo_runspec.pipeline.made import labelled_details, version_details
from nemo_runspec.pipeline.progress import duration
from nemo_runspec.pipeline.submit import ComposedJob
from nemo_runspec.store_admin.text import print_json


@dataclass(frozen=True)
class StartedJob:
    """A job that was started.

    Args:
        handle: by which its executor finds it.
        paths: its folder.
        output: the folder that it writes to.
    """

    handle: Handle
    paths: JobPaths
    output: Path


@dataclass(frozen=True)
class RecipeReport:
    """Tells of a recipe's jobs.

    As JSON it is one document at the end, alone on standard output:
    ``{"name", "state", "exit_code", "seconds", "executor", "id", "job", "log", "versions"}``, where
    each of ``versions`` is ``{"reference", "manifest", "wandb", "metrics": {name: number}}``. Of a
    detached or staged job it has what is known of it.

    Args:
        composed: the recipe's job.
        executor: what runs it.
        by_hand: its artifacts.
        is_json: whether it is told as JSON.
    """

    composed: ComposedJob
    executor: Executor
    by_hand: ByHand
    is_json: bool = False

    @property
    def job_output(self) -> BinaryIO:
        """Where the output of an attached job goes."""
        return (sys.stderr if self.is_json else sys.stdout).buffer

    def staged(self, paths: JobPaths) -> None:
        """A job's files are where it would run, and nothing was started."""
        name, folder = self.composed.name, paths.folder
        if self.is_json:
            told = {"name": name, "executor": self.executor.name, "job": str(folder)}
            print_json({**told, "state": "staged", "exit_code": 0})
        else:
            how = f"; run it with: sh {paths.command}" if self.executor.runs_here else ""
            print(f"{name}: staged in {folder}{how}")

    def submitted(self, job: StartedJob, *, is_attached: bool) -> None:
        """The tree of what was submitted.

        Where nobody watches, an attached job's output stands alone on standard output.
        """
        if self.is_json or (is_attached and not is_terminal()):
            return
        settings = self.composed.settings()
        mode = "local" if self.executor.runs_here else "run"
        display_job_submission(
            job.paths.job_config,
            job.paths.train_config,
            dict(self.composed.profile.get("env_vars") or {}),
            mode if is_attached else "batch",
            artifacts={"manifest": {"root": settings.root}, "wandb": settings.wandb},
        )
        sys.stdout.flush()  # the job's output goes round Python's buffer

    def detached(self, job: StartedJob) -> None:
        """A job goes on without us."""
        if self.is_json:
            print_json({**self._facts(job), "state": "submitted", "exit_code": 0})
        elif self.executor.runs_here:
            print(f"{self.composed.name}: runs as process {job.handle.id} in {job.paths.folder}")
            print(f"follow it with: {typed('jobs', 'logs', '-f', str(job.paths.folder))}")
        else:
            number = f"job {job.handle.id} of {self.executor.name}"
            print(f"{self.composed.name}: {number}, in {job.paths.folder}")
            print(how_to(job.paths))

    def ended(self, attached: Attached, job: StartedJob) -> int:
        """A job that was attached has ended, or was left running; returns the exit code."""
        status, code = attached.status, self._exit_code(attached)
        if self.is_json:
            versions = [self._version(each) for each in self._records(job.paths)]
            print_json(
                {
                    **self._facts(job),
                    "state": status.state.value,
                    "exit_code": code,
                    "seconds": status.seconds,
                    "versions": versions if status.state is State.SUCCEEDED else [],
                }
            )
        if status.state is not State.SUCCEEDED:
            self._tell_failure(attached, job)
        elif not self.is_json:
            self._display_completion(job.paths, status.seconds or 0.0)
        return code

    def _exit_code(self, attached: Attached) -> int:
        is_unfinished = attached.status.state is State.UNFINISHED
        return attached.exit_code or (1 if is_unfinished else 0)

    def _tell_failure(self, attached: Attached, job: StartedJob) -> None:
        name, status = self.composed.name, attached.status
        if not status.state.is_final:
            number = f"job {job.handle.id} of {self.executor.name}"
            print(f"{name} goes on as {number}; {how_to(job.paths)}", file=sys.stderr)
            return
        if status.state is State.UNFINISHED:
            print(
                f"error: {name}: unfinished ({status.why or 'it was ended'}); what it wrote is in "
                f"{job.output}; more segments in the profile let it go on; log: {job.paths.log}",
                file=sys.stderr,
            )
            return
        how = {State.LOST: "lost, nobody saw how it ended", State.CANCELLED: "cancelled"}
        ended = how.get(status.state, f"exit code {attached.exit_code}")
        why = f" ({status.why})" if status.why else ""
        print(f"error: {name}: {ended}{why}; log: {job.paths.log}", file=sys.stderr)

    def _display_completion(self, paths: JobPaths, seconds: float) -> None:
        """A panel for each version; the last is the job's own, too."""
        records = self._records(paths)
        for record in records[:-1]:
            display_job_completion(record.name, labelled_details(self._details(record)))
        made = labelled_details(self._details(records[-1])) if records else {}
        own = {"Time": duration(seconds), "Job": paths.folder, "Log": paths.log}
        display_job_completion(self.composed.name, {**made, **own})

    def _facts(self, job: StartedJob) -> dict[str, Any]:
        return {
            "name": self.composed.name,
            "executor": self.executor.name,
            "id": job.handle.id,
            "job": str(job.paths.folder),
            "log": str(job.paths.log),
        }

    def _version(self, record: JobRecord) -> dict[str, Any]:
        return {"reference": f"{record.name}:v{record.version}", **self._details(record)}

    def _records(self, paths: JobPaths) -> list[JobRecord]:
        """What the job logged, the last version of each name, checkpoints on the way left out."""
        if self.by_hand.view is None:
            return []
        found = {each.name: each for each in read_records(paths.records) if not each.checkpoint}
        return list(found.values())

    def _details(self, record: JobRecord) -> dict[str, Any]:
        assert self.by_hand.view is not None
        return version_details(self.by_hand.view.store, record.name, record.version)


def how_to(paths: JobPaths) -> str:
    """How to follow a job that goes on, and how to end it."""
    folder = str(paths.folder)
    follow, end = typed("jobs", "logs", "-f", folder), typed("jobs", "cancel", folder)
    return f"follow it with: {follow}; end it with: {end}"
