"""`pants run` of a recipe: its job bundle, started by the bundle's own launcher, or by the one with
NeMo-Run where the profile needs that."""

from __future__ import annotations

from collections.abc import Iterable

from pants.core.goals.run import RunRequest, RunSubsystem
from pants.engine.fs import EMPTY_DIGEST, AddPrefix, MergeDigests
from pants.engine.rules import Rule, collect_rules
from pants.engine.unions import UnionRule
from pants.util.docutil import bin_name

from pants_runspec.artifact.by_hand import BUNDLES_FOLDER, InputsRequest, find_inputs
from pants_runspec.engine import add_prefix, implicitly, merge_digests, rule
from pants_runspec.launcher import (
    LAUNCHER_FOLDER,
    LAUNCHER_NAME,
    LauncherRequest,
    build_launcher,
)
from pants_runspec.launcher_tools import needs_nemo_run
from pants_runspec.profile import ProfileRequest, executors_overridden, read_profile
from pants_runspec.recipe.bundle import BundleRequest, assemble_bundle
from pants_runspec.recipe.spec import RecipeRequest, resolve_recipe
from pants_runspec.target_types import RecipeFieldSet
from runspec.arguments import Arguments, ArgumentsError, parse_arguments

BUNDLE = "bundle"
INPUTS = "inputs"


def request_arguments(arguments: tuple[str, ...]) -> Arguments | None:
    """Return a command line for which a request is made, to run it or to show it, taken apart.

    The help page needs none, nor does a mistyped option: the launcher says what is wrong with it.
    """
    try:
        parsed = parse_arguments(arguments)
    except ArgumentsError:
        return None
    return None if parsed.help else parsed


def job_arguments(arguments: tuple[str, ...]) -> Arguments | None:
    """Return a command line that runs a job, taken apart: wheels are needed then, and only then."""
    parsed = request_arguments(arguments)
    return None if parsed is None or parsed.dry_run else parsed


@rule(desc="Prepare to run a recipe")
async def run_recipe(field_set: RecipeFieldSet, run_subsystem: RunSubsystem) -> RunRequest:
    arguments = job_arguments(tuple(run_subsystem.args))
    bundle = await assemble_bundle(
        BundleRequest(field_set, with_wheels=arguments is not None), **implicitly()
    )
    digest = await add_prefix(AddPrefix(bundle.digest, BUNDLE))
    command = f"run {field_set.address} --"
    env = {
        "RUNSPEC_COMMAND": f"{bin_name()} {command}",
        "RUNSPEC_LAUNCHER_PYTHON": bundle.launcher_python.path,
    }
    requested = request_arguments(tuple(run_subsystem.args))
    profile = await read_profile(
        ProfileRequest(requested.profile if requested else None), **implicitly()
    )
    overridden = executors_overridden(requested.dotlist if requested else ())
    if needs_nemo_run((*profile.executors, *overridden)):
        # Beside the bundle, which is the same on every profile.
        launcher = await build_launcher(LauncherRequest(with_nemo_run=True), **implicitly())
        launcher_folder = await add_prefix(AddPrefix(launcher.digest, LAUNCHER_FOLDER))
        digest = await merge_digests(MergeDigests([digest, launcher_folder]))
        env["RUNSPEC_LAUNCHER_PEX"] = f"{{chroot}}/{LAUNCHER_FOLDER}/{LAUNCHER_NAME}"
        env["RUNSPEC_LAUNCHER_PYTHON"] = launcher.python.path
    if bundle.job_python:
        env["RUNSPEC_PYTHON"] = bundle.job_python.path
    if arguments is not None and not arguments.stage:
        recipe = await resolve_recipe(RecipeRequest(field_set), **implicitly())
        inputs = await find_inputs(InputsRequest(recipe, arguments, command), **implicitly())
        if inputs.digest != EMPTY_DIGEST:
            inputs_folder = await add_prefix(AddPrefix(inputs.digest, INPUTS))
            digest = await merge_digests(MergeDigests([digest, inputs_folder]))
            env["RUNSPEC_INPUTS_PLAN"] = f"{{chroot}}/{INPUTS}"
            env["RUNSPEC_INPUTS_BUNDLES"] = f"{{chroot}}/{INPUTS}/{BUNDLES_FOLDER}"
    return RunRequest(digest=digest, args=(f"{{chroot}}/{BUNDLE}/run",), extra_env=env)


def rules() -> Iterable[Rule | UnionRule]:
    return [*collect_rules(), *RecipeFieldSet.rules()]
