"""`nemo-runspec recipe`: one bundle and one command line, from config to exit code.

`run_recipe` is the whole way, in order; what it calls are the library's own functions, so that
a command of one's own (for another executor, say) starts as a copy of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nemo_runspec.bundles import BundleFolder, read_bundle
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.display import display_job_config
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.protocol import Executor
from nemo_runspec.execution.registry import get_executor
from nemo_runspec.jobs import JobPaths, bundle_copy, plan_job_folder
from nemo_runspec.pipeline.submit import (
    Build,
    ComposedJob,
    compose,
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
    executor = get_executor(composed.executor)
    if ctx.dry_run:
        return _show(composed, executor)

    # Not at the top: it brings all that a run needs, and a dry run does not.
    from nemo_runspec.recipe_run import start_recipe

    return start_recipe(composed, executor, ctx)


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
