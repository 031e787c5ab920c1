"""`pants run` of a recipe: its job bundle, started by the bundle's own launcher."""

from __future__ import annotations

from collections.abc import Iterable

from pants.core.goals.run import RunRequest, RunSubsystem
from pants.engine.fs import AddPrefix
from pants.engine.rules import Rule, collect_rules
from pants.engine.unions import UnionRule
from pants.util.docutil import bin_name

from pants_runspec.engine import add_prefix, implicitly, rule
from pants_runspec.recipe.bundle import BundleRequest, assemble_bundle
from pants_runspec.target_types import RecipeFieldSet
from runspec.arguments import ArgumentsError, parse_arguments

BUNDLE = "bundle"


def runs_the_job(arguments: tuple[str, ...]) -> bool:
    """Tell whether a command line runs a job: wheels are needed then, and only then.

    A dry run, the help page and a mistyped option need none; the launcher says what is wrong with
    the latter.
    """
    try:
        parsed = parse_arguments(arguments)
    except ArgumentsError:
        return False
    return not (parsed.dry_run or parsed.help)


@rule(desc="Prepare to run a recipe")
async def run_recipe(field_set: RecipeFieldSet, run_subsystem: RunSubsystem) -> RunRequest:
    bundle = await assemble_bundle(
        BundleRequest(field_set, with_wheels=runs_the_job(tuple(run_subsystem.args))),
        **implicitly(),
    )
    digest = await add_prefix(AddPrefix(bundle.digest, BUNDLE))
    env = {
        "RUNSPEC_COMMAND": f"{bin_name()} run {field_set.address} --",
        "RUNSPEC_LAUNCHER_PYTHON": bundle.launcher_python.path,
    }
    if bundle.job_python:
        env["RUNSPEC_PYTHON"] = bundle.job_python.path
    return RunRequest(digest=digest, args=(f"{{chroot}}/{BUNDLE}/run",), extra_env=env)


def rules() -> Iterable[Rule | UnionRule]:
    return [*collect_rules(), *RecipeFieldSet.rules()]
