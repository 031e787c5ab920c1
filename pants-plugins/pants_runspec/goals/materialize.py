"""`pants materialize`: brings artifacts up to date; what is stale is run, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pants.base.specs import Specs
from pants.engine.console import Console
from pants.engine.env_vars import CompleteEnvironmentVars
from pants.engine.fs import AddPrefix, MergeDigests
from pants.engine.goal import Goal, GoalSubsystem
from pants.engine.rules import Rule, collect_rules, goal_rule
from pants.engine.unions import UnionRule
from pants.option.global_options import GlobalOptions
from pants.option.option_types import BoolOption, FloatOption, StrOption
from pants.util.strutil import help_text

from pants_runspec.artifact.answer import read_answer
from pants_runspec.artifact.bundles import BundlesRequest, assemble_bundles
from pants_runspec.artifact.graph import PlanRequest, make_plan_folder
from pants_runspec.engine import add_prefix, implicitly, merge_digests, run_interactive_process
from pants_runspec.goals.plan import PLAN_FOLDER, profile_argument
from pants_runspec.goals.selection import SelectionRequest, select_artifacts
from pants_runspec.launcher import (
    LAUNCHER_FOLDER,
    LauncherCall,
    LauncherRequest,
    build_launcher,
    call_launcher,
    in_foreground,
)
from pants_runspec.launcher_tools import needs_nemo_run
from pants_runspec.profile import ProfileRequest, read_profile

BUNDLES_FOLDER = "bundles"


class MaterializeSubsystem(GoalSubsystem):
    name = "materialize"
    help = help_text(
        """
        Brings artifacts up to date: runs what is stale among them and all they are made from, in
        dependency order, and nothing else.

            pants materialize src/recipes/nano3::
            pants materialize --profile=prod src/recipes/nano3:sft-model

        `pants plan` with the same arguments says beforehand what will run, and why. Only recipes
        that have to run are packaged. A failed or interrupted run goes on where it was with the
        same command. Ctrl-C stops the jobs on this machine and leaves those on a cluster running.
        """
    )

    profile = StrOption(
        default=None,
        help="The profile of env.toml to run on: `--profile=prod`. By default this machine.",
    )
    force = BoolOption(
        default=False,
        help="Run the named artifacts even if they are fresh; what they are made from stays.",
    )
    keep_going = BoolOption(
        default=False,
        help="After a failure go on with what does not depend on it, not only with what runs.",
    )
    detach = BoolOption(
        default=False,
        help="Return as soon as the run has started; it says how to follow it.",
    )
    preflight = BoolOption(
        default=False,
        help="Try first, on one node, whether the jobs of each recipe can run there: image, "
        "Python, imports, store, GPUs.",
    )
    json = BoolOption(
        default=False,
        help="Tell the end as one JSON document on standard output; the progress goes to "
        "standard error.",
    )
    max_gpu_hours = FloatOption(
        default=None,
        help="Refuse to start what took more the last time, and start nothing more once so many "
        "are spent: `--max-gpu-hours=64`.",
    )


class MaterializeGoal(Goal):
    subsystem_cls = MaterializeSubsystem
    environment_behavior = Goal.EnvironmentBehavior.LOCAL_ONLY


def options_of(materialize: MaterializeSubsystem) -> tuple[str, ...]:
    """Return the launcher's options, which are the goal's."""
    hours = materialize.max_gpu_hours
    return (
        *profile_argument(materialize.profile),
        *(("--force",) if materialize.force else ()),
        *(("--keep-going",) if materialize.keep_going else ()),
        *(("--detach",) if materialize.detach else ()),
        *(("--preflight",) if materialize.preflight else ()),
        *(("--json",) if materialize.json else ()),
        *((f"--max-gpu-hours={hours:.15g}",) if hours is not None else ()),
    )


def nothing_done(fresh: int) -> str:
    """Return what `--json` tells where nothing was to be done, as the launcher would.

    Args:
        fresh: how many artifacts are fresh.
    """
    document = {"exit_code": 0, "built": 0, "fresh": fresh, "artifacts": []}
    return json.dumps(document, indent=2)


@goal_rule
async def materialize_goal(
    console: Console,
    specs: Specs,
    materialize: MaterializeSubsystem,
    global_options: GlobalOptions,
    environment: CompleteEnvironmentVars,
) -> MaterializeGoal:
    selection = await select_artifacts(SelectionRequest(specs), **implicitly())
    if not selection.roots:
        console.print_stderr(selection.nothing)
        if materialize.json:
            console.print_stdout(nothing_done(0))
        return MaterializeGoal(exit_code=0)
    options = options_of(materialize)
    command = " ".join((materialize.name, *options, selection.written))
    folder = await make_plan_folder(PlanRequest(selection.roots), **implicitly())
    plan = await add_prefix(AddPrefix(folder.digest, PLAN_FOLDER))
    planned = await call_launcher(
        LauncherCall(
            arguments=(
                materialize.name,
                f"{{chroot}}/{PLAN_FOLDER}",
                # What would be refused is refused now, before any bundle is made.
                "--dry-run",
                *options,
            ),
            files=plan,
            command=command,
            description="Comparing artifacts with the store",
        ),
        **implicitly(),
    )
    if planned.exit_code:
        console.write_stderr(planned.stderr.decode(errors="replace"))
        return MaterializeGoal(exit_code=planned.exit_code)
    answer = read_answer(planned.stdout)
    if answer.is_done:
        count = len(answer.states)
        all_of_them = f"all {count} artifacts are" if count > 1 else "the artifact is"
        console.print_stdout(
            nothing_done(count) if materialize.json else f"nothing to do: {all_of_them} fresh"
        )
        return MaterializeGoal(exit_code=0)
    bundles = await assemble_bundles(BundlesRequest(answer.needs_bundles), **implicitly())
    bundles_folder = await add_prefix(AddPrefix(bundles.digest, BUNDLES_FOLDER))
    profile = await read_profile(ProfileRequest(materialize.profile), **implicitly())
    launcher = await build_launcher(
        LauncherRequest(needs_nemo_run(profile.executors)), **implicitly()
    )
    launcher_folder = await add_prefix(AddPrefix(launcher.digest, LAUNCHER_FOLDER))
    files = await merge_digests(MergeDigests([plan, bundles_folder, launcher_folder]))
    result = await run_interactive_process(
        in_foreground(
            launcher,
            (
                materialize.name,
                f"{{chroot}}/{PLAN_FOLDER}",
                f"--bundles={{chroot}}/{BUNDLES_FOLDER}",
                *options,
            ),
            files,
            environment=environment,
            command=command,
            keep_sandboxes=global_options.keep_sandboxes,
        )
    )
    return MaterializeGoal(exit_code=result.exit_code)


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
