"""`nemo-runspec recipe`: one bundle and one command line, from config to exit code.

`run_recipe` is the whole way, in order; what it calls are the library's own functions, so that
a command of one's own (for another executor, say) starts as a copy of it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from nemo_runspec.bundles import BundleFolder, keep_bundle, read_bundle
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.command_line import typed
from nemo_runspec.display import display_job_completion, display_job_config
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.execution.attach import Attached, attach, held_signals
from nemo_runspec.execution.errors import UnreachableError
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.patience import patience_seconds
from nemo_runspec.execution.protocol import Executor, Handle, Request, State, Status
from nemo_runspec.execution.registry import get_executor
from nemo_runspec.execution.segments import more_segments
from nemo_runspec.jobs import JobPaths, bundle_copy, plan_job_folder
from nemo_runspec.pipeline.by_hand import ByHand, bring_up_inputs, open_by_hand
from nemo_runspec.pipeline.patience import (
    GivenUp,
    Patience,
    is_unreachable,
)
from nemo_runspec.pipeline.submit import (
    DEFAULT_EXECUTOR,
    Build,
    ComposedJob,
    compose,
    find_python,
    job_python,
    new_job_folder,
    prepare_job,
)
from nemo_runspec.utils import write_atomically


def run_recipe(folder: Path, ctx: GlobalContext, argv: Sequence[str]) -> int:
    """Runs the recipe of a bundle, or shows what would run.

    Args:
        folder: the job bundle.
        ctx: the command line, read.
        argv: the command line as it was typed, for the job's record.

    Returns:
        The job's exit code, 128 + n when signal n made us end it; 0 for a dry run, a detached
        or a staged job.

    Raises:
        NemoRunspecError: if something is wrong with the input; nothing is left behind then.
            Files of the bundle's code are called what they are called in the repository.
    """
    bundle = read_bundle(folder)
    try:
        return _run(bundle, ctx, argv)
    except NemoRunspecError as error:
        error.args = tuple(
            bundle.in_repository(part) if isinstance(part, str) else part for part in error.args
        )
        raise


def _run(bundle: BundleFolder, ctx: GlobalContext, argv: Sequence[str]) -> int:
    composed = compose(bundle, ctx, argv)
    executor = get_executor(composed.executor)
    if ctx.dry_run:
        return _show(composed, executor)

    if ctx.force_squash and executor.name == DEFAULT_EXECUTOR:
        print("note: --force-squash: a local job runs without an image", file=sys.stderr)
    root = composed.jobs_root()
    if ctx.preflight and not _is_ready(composed, root):
        print(f"error: {composed.name}: nothing was started", file=sys.stderr)
        return 1
    found = find_python(bundle.document) if executor.runs_here else None
    code = bring_up_inputs(composed, ctx, root)
    if code:
        return code
    recipe = _Recipe(composed, executor, open_by_hand(composed), root, found)
    return recipe.stage() if ctx.stage else recipe.run(is_attached=not ctx.batch)


def _is_ready(composed: ComposedJob, root: Path) -> bool:
    from nemo_runspec.preflight.recipes import preflight  # few ask for it

    return preflight(composed, root)


def _show(composed: ComposedJob, executor: Executor) -> int:
    """The dry run: the compiled config and the request, nothing written."""
    root = composed.jobs_root()
    kept = bundle_copy(root, composed.bundle.document.digest)
    bundle = BundleFolder(kept, composed.bundle.document)
    # Which Python it will be is found out when it runs; that there is one shows in PATH.
    python = JobPython(Path("python") if executor.runs_here else None)
    paths = JobPaths(plan_job_folder(composed.name, root))
    composed = composed.with_run(output_dir=str(paths.output))
    request = executor.prepare(composed.job(paths, bundle, python, Build(paths.output)))
    display_job_config(composed.job_config)
    print(f"Command ({executor.name}):\n")
    print(request.shell_text())
    return 0


@dataclass(frozen=True)
class _Recipe:
    """A recipe that is run by hand.

    Args:
        composed: what to run.
        executor: what runs it.
        by_hand: its artifacts.
        root: the folder of the jobs' folders.
        found: from `find_python`, for an executor of this machine.
    """

    composed: ComposedJob
    executor: Executor
    by_hand: ByHand
    root: Path
    found: tuple[Path, bool] | None

    def stage(self) -> int:
        with new_job_folder(self.composed.name, self.root) as paths:
            self.executor.stage(self._request(paths, Build(paths.output)))
        how = f"; run it with: sh {paths.command}" if self.executor.runs_here else ""
        print(f"{self.composed.name}: staged in {paths.folder}{how}")
        return 0

    def run(self, *, is_attached: bool) -> int:
        """Runs it: as many jobs as it takes, where the profile lets an unfinished one go on."""
        output: Path | None = None
        starts = 0
        while True:
            job, signals = self._submit(output, starts + 1, is_attached=is_attached)
            output = job.output
            if signals and self.executor.runs_here:
                self.executor.cancel(job.handle)
                attached = Attached(self.executor.wait(job.handle), signals[0])
            elif signals:
                attached = Attached(Status(State.RUNNING), signals[0])
            elif is_attached:
                attached = self._follow(job)
            else:
                self.by_hand.record_later(job.handle, job.paths)
                self._report_start(job)
                return 0
            starts = max(starts + 1, attached.status.attempt or 0)
            if not self._goes_on(attached, starts):
                return self._report_end(attached, job)
            why = attached.status.why or "it was ended"
            print(f"{self.composed.name}: unfinished ({why}), goes on", file=sys.stderr)

    def _request(self, paths: JobPaths, build: Build) -> Request:
        kept = keep_bundle(self.composed.bundle, self.root)
        python = JobPython() if self.found is None else job_python(kept, self.found)
        build = replace(build, context=self.by_hand.context(paths, build.output))
        return prepare_job(self.composed, paths, kept, python, build, self.executor)

    def _submit(
        self, output: Path | None, attempt: int, *, is_attached: bool
    ) -> tuple[_Started, list[int]]:
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
        return _Started(handle, paths, folder), signals

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

    def _follow(self, job: _Started) -> Attached:
        """Attached: the job's output here, its exit code ours."""
        patience = Patience(patience_seconds(), stopping=lambda: False)

        def answered(_error: UnreachableError) -> None:
            look = partial(self.executor.status, job.handle)
            try:
                patience.until_answered(look, is_unreachable, _note)
            except GivenUp as given_up:
                raise UnreachableError(
                    f"{self.composed.name}: {given_up}; the job may go on without us; "
                    f"{_how_to(job.paths)}"
                ) from given_up

        sys.stdout.flush()
        attached = attach(self.executor, job.handle, sys.stdout.buffer, answered)
        if attached.signum is None and attached.status.state is State.SUCCEEDED:
            self.by_hand.record(job.paths, job.output)
        return attached

    def _goes_on(self, attached: Attached, starts: int) -> bool:
        return (
            attached.signum is None
            and attached.status.state is State.UNFINISHED
            and more_segments(self.composed.profile, starts)
        )

    def _report_start(self, job: _Started) -> None:
        if self.executor.runs_here:
            print(f"{self.composed.name}: runs as process {job.handle.id} in {job.paths.folder}")
            print(f"follow it with: {typed('jobs', 'logs', '-f', str(job.paths.folder))}")
            return
        number = f"job {job.handle.id} of {self.executor.name}"
        print(f"{self.composed.name}: {number}, in {job.paths.folder}")
        print(_how_to(job.paths))

    def _report_end(self, attached: Attached, job: _Started) -> int:
        name, status, code = self.composed.name, attached.status, attached.exit_code
        if status.state is State.SUCCEEDED:
            seconds = status.seconds or 0.0
            details = {"Time": f"{seconds:.1f} s", "Job": job.paths.folder, "Log": job.paths.log}
            display_job_completion(name, details)
            return code
        if not status.state.is_final:
            self.by_hand.record_later(job.handle, job.paths)
            number = f"job {job.handle.id} of {self.executor.name}"
            print(f"{name} goes on as {number}; {_how_to(job.paths)}", file=sys.stderr)
            return code
        if status.state is State.UNFINISHED:
            print(
                f"error: {name}: unfinished ({status.why or 'it was ended'}); what it wrote is in "
                f"{job.output}; more segments in the profile let it go on; log: {job.paths.log}",
                file=sys.stderr,
            )
            return code or 1
        how = {State.LOST: "lost, nobody saw how it ended", State.CANCELLED: "cancelled"}
        ended = how.get(status.state, f"exit code {code}")
        why = f" ({status.why})" if status.why else ""
        print(f"error: {name}: {ended}{why}; log: {job.paths.log}", file=sys.stderr)
        return code


@dataclass(frozen=True)
class _Started:
    """A job that was started.

    Args:
        handle: by which its executor finds it.
        paths: its folder.
        output: the folder that it writes to.
    """

    handle: Handle
    paths: JobPaths
    output: Path


def _how_to(paths: JobPaths) -> str:
    folder = str(paths.folder)
    follow, end = typed("jobs", "logs", "-f", folder), typed("jobs", "cancel", folder)
    return f"follow it with: {follow}; end it with: {end}"


def _note(what: str) -> None:
    print(f"note: {what}", file=sys.stderr, flush=True)
