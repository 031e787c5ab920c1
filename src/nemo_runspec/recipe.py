"""`nemo-runspec recipe`: one bundle and one command line, from config to exit code.

`run_recipe` is the whole way, in order; what it calls are the library's own functions, so that
a command of one's own (for another executor, say) starts as a copy of it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from nemo_runspec.bundles import BundleFolder, keep_bundle, read_bundle
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.display import display_job_completion, display_job_config
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.execution.attach import Attached, attach, held_signals
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.protocol import Executor, Handle, State
from nemo_runspec.execution.registry import get_executor, has_executor
from nemo_runspec.jobs import JobPaths, bundle_copy, jobs_root, plan_job_folder
from nemo_runspec.pipeline.by_hand import ByHand, bring_up_inputs, open_by_hand
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
    if ctx.dry_run:
        return _show(composed)

    executor = get_executor(composed.executor)
    if ctx.force_squash and executor.name == DEFAULT_EXECUTOR:
        print("note: --force-squash: a local job runs without an image", file=sys.stderr)
    found = find_python(bundle.document)
    root = jobs_root()
    code = bring_up_inputs(composed, ctx, root)
    if code:
        return code
    by_hand = open_by_hand(composed)
    with ExitStack() as until_started, new_job_folder(composed.name, root) as paths:
        kept = keep_bundle(bundle, root)
        python = job_python(kept, found)
        build = Build(paths.output, context=by_hand.context(paths))
        request = prepare_job(composed, paths, kept, python, build, executor)
        if ctx.stage:
            executor.stage(request)
            print(f"{composed.name}: staged in {paths.folder}; run it with: sh {paths.command}")
            return 0
        # Between its start and its handle nobody could find the job to end it.
        signals = until_started.enter_context(held_signals())
        handle = executor.submit(request, attached=not ctx.batch)
    if signals:
        executor.cancel(handle)
        return _report_end(composed, Attached(executor.wait(handle), signals[0]), paths)
    if ctx.batch:
        by_hand.record_later(handle, paths)
        print(f"{composed.name}: runs as process {handle.id} in {paths.folder}")
        print(f"follow it with: tail -f {paths.log}")
        return 0
    return _follow(composed, executor, handle, paths, by_hand)


def _show(composed: ComposedJob) -> int:
    """The dry run: the compiled config and the command, nothing written."""
    root = jobs_root()
    kept = bundle_copy(root, composed.bundle.document.digest)
    bundle = BundleFolder(kept, composed.bundle.document)
    # Which Python it will be is found out when it runs; that there is one shows in PATH.
    python = JobPython(Path("python"))
    can_run = has_executor(composed.executor)
    executor = get_executor(composed.executor if can_run else DEFAULT_EXECUTOR)
    paths = JobPaths(plan_job_folder(composed.name, root))
    composed = composed.with_run(output_dir=str(paths.output))
    request = executor.prepare(composed.job(paths, bundle, python, Build(paths.output)))
    display_job_config(composed.job_config)
    note = "" if can_run else f", as it would run here: {composed.executor} is no executor yet"
    print(f"Command ({executor.name}{note}):\n")
    print(request.shell_text())
    return 0


def _follow(
    composed: ComposedJob, executor: Executor, handle: Handle, paths: JobPaths, by_hand: ByHand
) -> int:
    """Attached: the job's output here, its exit code ours."""
    sys.stdout.flush()
    attached = attach(executor, handle, sys.stdout.buffer)
    if attached.signum is None and attached.status.state is State.SUCCEEDED:
        by_hand.record(paths)
    return _report_end(composed, attached, paths)


def _report_end(composed: ComposedJob, attached: Attached, paths: JobPaths) -> int:
    code = attached.exit_code
    if attached.status.state is State.SUCCEEDED:
        seconds = attached.status.seconds or 0.0
        details = {"Time": f"{seconds:.1f} s", "Job": paths.folder, "Log": paths.log}
        display_job_completion(composed.name, details)
        return code
    how = {State.LOST: "lost, nobody saw how it ended", State.CANCELLED: "cancelled"}
    ended = how.get(attached.status.state, f"exit code {code}")
    print(f"error: {composed.name}: {ended}; log: {paths.log}", file=sys.stderr)
    return code
