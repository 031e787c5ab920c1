"""A recipe that is run by hand: its jobs, from the first preparation to the exit code."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from nemo_runspec.bundles import keep_bundle
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.execution.attach import Attached, attach, held_signals
from nemo_runspec.execution.errors import UnreachableError
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.patience import patience_seconds
from nemo_runspec.execution.protocol import Executor, Handle, Request, State, Status
from nemo_runspec.execution.segments import more_segments
from nemo_runspec.jobs import JobPaths
from nemo_runspec.openlineage.by_hand import RecipeLineage, told_to_openlineage
from nemo_runspec.pipeline.by_hand import ByHand, bring_up_inputs, open_by_hand
from nemo_runspec.pipeline.patience import (
    GivenUp,
    Patience,
    is_unreachable,
)
from nemo_runspec.pipeline.silence import broken_silence
from nemo_runspec.pipeline.submit import (
    DEFAULT_EXECUTOR,
    Build,
    ComposedJob,
    find_python,
    job_python,
    new_job_folder,
    prepare_job,
)
from nemo_runspec.recipe_report import RecipeReport, StartedJob, how_to
from nemo_runspec.utils import write_atomically


def start_recipe(composed: ComposedJob, executor: Executor, ctx: GlobalContext) -> int:
    """Runs a recipe, or stages it.

    Args:
        composed: what to run.
        executor: what runs it.
        ctx: the command line.

    Returns:
        The job's exit code, 128 + n when signal n made us end it; 0 for a detached or a staged job.

    Raises:
        NemoRunspecError: if something is wrong with the input; nothing is left behind then.
    """
    if ctx.force_squash and executor.name == DEFAULT_EXECUTOR:
        print("note: --force-squash: a local job runs without an image", file=sys.stderr)
    root = composed.jobs_root()
    # What comes before the job is no part of the one document.
    aside = sys.stderr if ctx.json else sys.stdout
    if ctx.preflight:
        with contextlib.redirect_stdout(aside):
            is_ready = _is_ready(composed, root)
        if not is_ready:
            print(f"error: {composed.name}: nothing was started", file=sys.stderr)
            return 1
    found = find_python(composed.bundle.document) if executor.runs_here else None
    with contextlib.redirect_stdout(aside):
        code = bring_up_inputs(composed, ctx, root)
    if code:
        return code
    by_hand = open_by_hand(composed)
    with told_to_openlineage(by_hand.view) as lineage:
        report = RecipeReport(composed, executor, by_hand, is_json=ctx.json)
        recipe = _Recipe(composed, executor, by_hand, root, found, lineage, report)
        return recipe.stage() if ctx.stage else recipe.run(is_attached=not ctx.batch)


def _is_ready(composed: ComposedJob, root: Path) -> bool:
    from nemo_runspec.preflight.recipes import preflight  # few ask for it

    return preflight(composed, root)


@dataclass(frozen=True)
class _Recipe:
    """A recipe that is run by hand.

    Args:
        composed: what to run.
        executor: what runs it.
        by_hand: its artifacts.
        root: the folder of the jobs' folders.
        found: from `find_python`, for an executor of this machine.
        lineage: told of its jobs.
        report: tells people of them.
    """

    composed: ComposedJob
    executor: Executor
    by_hand: ByHand
    root: Path
    found: tuple[Path, bool] | None
    lineage: RecipeLineage
    report: RecipeReport

    def stage(self) -> int:
        with new_job_folder(self.composed.name, self.root) as paths:
            self.executor.stage(self._request(paths, Build(paths.output)))
        self.report.staged(paths)
        return 0

    def run(self, *, is_attached: bool) -> int:
        """Runs it: as many jobs as it takes, where the profile lets an unfinished one go on."""
        output: Path | None = None
        starts = 0
        while True:
            job, signals = self._submit(output, starts + 1, is_attached=is_attached)
            self.lineage.started(job.paths)
            output = job.output
            if not starts and not signals:
                self.report.submitted(job, is_attached=is_attached)
            if signals and self.executor.runs_here:
                self.executor.cancel(job.handle)
                attached = Attached(self.executor.wait(job.handle), signals[0])
            elif signals:
                attached = Attached(Status(State.RUNNING), signals[0])
            elif is_attached:
                attached = self._follow(job)
            else:
                self.by_hand.record_later(job.handle, job.paths)
                self.report.detached(job)
                return 0
            self.lineage.ended(job.paths, attached.status)
            starts = max(starts + 1, attached.status.attempt or 0)
            if not self._goes_on(attached, starts):
                if not attached.status.state.is_final:
                    self.by_hand.record_later(job.handle, job.paths)
                return self.report.ended(attached, job)
            why = attached.status.why or "it was ended"
            print(f"{self.composed.name}: unfinished ({why}), goes on", file=sys.stderr)

    def _request(self, paths: JobPaths, build: Build) -> Request:
        kept = keep_bundle(self.composed.bundle, self.root)
        python = JobPython() if self.found is None else job_python(kept, self.found)
        build = replace(build, context=self.by_hand.context(paths, build.output))
        return prepare_job(self.composed, paths, kept, python, build, self.executor)

    def _submit(
        self, output: Path | None, attempt: int, *, is_attached: bool
    ) -> tuple[StartedJob, list[int]]:
        """Starts one job; also the signals that came meanwhile."""
        # Between its start and its handle nobody could find the job to end it.
        with held_signals() as signals:
            with new_job_folder(self.composed.name, self.root) as paths:
                folder = output or paths.output
                request = self._request(paths, Build(folder, attempt))
                is_ours = is_attached and self.executor.runs_here
                handle = self._hand_over(request, paths, signals, attached=is_ours)
            # Outside of the block, which takes the folder away: the job may have been taken.
            if isinstance(handle, UnreachableError):
                raise handle
            write_atomically(paths.handle, f"{handle.to_json()}\n", durable=False)
        return StartedJob(handle, paths, folder), signals

    def _hand_over(
        self, request: Request, paths: JobPaths, signals: list[int], *, attached: bool
    ) -> Handle | UnreachableError:
        """Submits a job, once: where nobody answers, it may have been taken all the same."""
        is_first = True

        def submit() -> Handle:
            nonlocal is_first
            found = None if is_first else self.executor.find(paths.folder)
            is_first = False
            return found or self.executor.submit(request, attached=attached)

        patience = Patience(patience_seconds(), stopping=lambda: bool(signals))
        try:
            return patience.until_answered(submit, is_unreachable, _note)
        except GivenUp as given_up:
            return UnreachableError(
                f"{self.composed.name}: {given_up}; whether it was submitted is not known: "
                f"`nemo-runspec jobs ls` tells once somebody answers; it is in {paths.folder}"
            )

    def _follow(self, job: StartedJob) -> Attached:
        """Attached: the job's output here, its exit code ours."""
        patience = Patience(patience_seconds(), stopping=lambda: False)

        def answered(_error: UnreachableError) -> None:
            look = partial(self.executor.status, job.handle)
            try:
                patience.until_answered(look, is_unreachable, _note)
            except GivenUp as given_up:
                raise UnreachableError(
                    f"{self.composed.name}: {given_up}; the job may go on without us; "
                    f"{how_to(job.paths)}"
                ) from given_up

        sys.stdout.flush()
        name, stream = self.composed.name, self.report.job_output
        with broken_silence(name, self.executor, job.handle, stream) as out:
            attached = attach(self.executor, job.handle, out, answered)
        if attached.signum is None and attached.status.state is State.SUCCEEDED:
            self.by_hand.record(job.paths, job.output)
        return attached

    def _goes_on(self, attached: Attached, starts: int) -> bool:
        return (
            attached.signum is None
            and attached.status.state is State.UNFINISHED
            and more_segments(self.composed.profile, starts)
        )


def _note(what: str) -> None:
    print(f"note: {what}", file=sys.stderr, flush=True)
