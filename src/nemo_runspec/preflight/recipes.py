"""`--preflight`: the probe in the place of recipes' jobs, before they start."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from nemo_runspec.artifacts.settings import ArtifactsSettings
from nemo_runspec.bundles import BundleFolder, keep_bundle, read_bundle
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.jobs import JobPaths
from nemo_runspec.pipeline.submit import Build, ComposedJob, compose, find_python, job_python
from nemo_runspec.preflight.checks import Check, print_checks
from nemo_runspec.preflight.job import Probe, probes_executor, run_probe

_AT_ONCE = 8
# A signal that comes just as Python begins to wait for a lock is handled when it next wakes up.
_WAKE_SECONDS = 0.2


def preflight(composed: ComposedJob, jobs: Path) -> bool:
    """Try what a recipe's job needs, and print what was found.

    Args:
        composed: the recipe's job.
        jobs: the jobs' root.

    Returns:
        Whether all is good.

    Raises:
        NemoRunspecError: something is wrong with the bundle, the profile or the store.
    """
    return print_checks(f"preflight of {composed.name}", recipe_checks(composed, jobs))


def recipe_checks(composed: ComposedJob, jobs: Path) -> list[Check]:
    """What is found where a recipe's job would run; arguments and errors as for `preflight`."""
    return _checks(composed, jobs, None)


def preflight_all(
    bundles: Mapping[str, str],
    pythons: Mapping[str, str],
    profile: str | None,
    settings: ArtifactsSettings,
    jobs: Path,
) -> bool:
    """The same for the recipes of a pipeline, all at once.

    Args:
        bundles: folder of each recipe's kept bundle, by the recipe's address.
        pythons: the interpreter of a recipe's jobs, by address, where one was chosen.
        profile: the profile of env.toml.
        settings: where versions are recorded.
        jobs: the jobs' root.
    """

    def look(recipe: str) -> tuple[str, Sequence[Check]]:
        bundle = read_bundle(Path(bundles[recipe]))
        composed = compose(bundle, GlobalContext(run=profile), [])
        python = pythons.get(recipe)
        chosen = None if python is None else Path(python)
        return recipe, _checks(composed, jobs, settings, chosen, stop.is_set)

    stop = threading.Event()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            looks = [pool.submit(look, recipe) for recipe in sorted(bundles)]
            pending = set(looks)
            while pending:
                done, pending = wait(pending, _WAKE_SECONDS, FIRST_EXCEPTION)
                for each in done:
                    each.result()
            found = [each.result() for each in looks]
        except BaseException:
            stop.set()  # Ctrl-C, or one that cannot even be tried: the pool waits for its threads
            raise
    good = [print_checks(f"preflight of {recipe}", checks) for recipe, checks in found]
    return all(good)


def _checks(
    composed: ComposedJob,
    jobs: Path,
    settings: ArtifactsSettings | None,
    chosen: Path | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> list[Check]:
    executor = probes_executor(composed.profile)
    kept: BundleFolder = keep_bundle(composed.bundle, jobs)
    python = JobPython()
    if executor.runs_here:
        python = job_python(kept, find_python(kept.document, chosen))
    nowhere = JobPaths(jobs / "preflight")
    job = composed.job(nowhere, kept, python, Build(nowhere.output))
    return run_probe(Probe(job, jobs, settings or composed.settings()), executor, stopping)
