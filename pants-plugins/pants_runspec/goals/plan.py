"""`pants plan`: which artifacts are stale, why, and what they will cost. It runs and writes
nothing."""

from __future__ import annotations

import enum
import os
import shlex
from collections.abc import Iterable

from pants.base.specs import Specs
from pants.engine.console import Console
from pants.engine.fs import AddPrefix
from pants.engine.goal import Goal, GoalSubsystem
from pants.engine.rules import Rule, collect_rules, goal_rule
from pants.engine.unions import UnionRule
from pants.option.global_options import GlobalOptions
from pants.option.option_types import BoolOption, EnumOption, FloatOption, StrOption
from pants.util.strutil import help_text

from pants_runspec.artifact.graph import PlanRequest, make_plan_folder
from pants_runspec.engine import add_prefix, implicitly
from pants_runspec.goals.selection import SelectionRequest, select_artifacts
from pants_runspec.launcher import LauncherCall, call_launcher

PLAN_FOLDER = "plan"


class PlanFormat(enum.Enum):
    table = "table"
    json = "json"
    markdown = "markdown"


class PlanSubsystem(GoalSubsystem):
    name = "plan"
    help = help_text(
        """
        Says which artifacts are stale, why, and what they will cost.

            pants plan src/recipes/nano3::
            pants plan --format=markdown src/recipes/nano3:sft-model

        It lists the named artifacts and all they are made from, in the order in which
        `pants materialize` would run them, each with its state, the reason in a sentence, and the
        GPU-hours that it took last time; below stands the bill: what all of it costs, and which
        edited file, config key or requirement causes how much of that:

        - fresh: the store has what today's code, config and inputs make;

        - stale: it will run;

        - depends: it will run, unless what it is made from comes out the same;

        - running: somebody is making it right now;

        - gone: the store has it, its data was deleted, and nothing needs it;

        - blocked: it cannot run, and the reason says why.

        In CI, `pants plan --format=markdown --max-gpu-hours=64 ::` makes the comment of a pull
        request and fails where the change costs more. `pants plan --costs ::` ranks the files of
        the repository by what editing them would make run again.

        Nothing is run, written or built for this: no wheels are needed.
        """
    )

    format = EnumOption(
        default=PlanFormat.table,
        help="How to show the plan: as a table for people, as JSON, or as Markdown.",
    )
    profile = StrOption(
        default=None,
        help="The profile of env.toml that the plan is for: `--profile=prod`.",
    )
    max_gpu_hours = FloatOption(
        default=None,
        help="Fail, after the plan is shown, where it would take more, by what it took the last "
        "time: `--max-gpu-hours=64`.",
    )
    costs = BoolOption(
        default=False,
        help="Instead of the plan, rank the files that the named artifacts depend on by what "
        "editing them makes run again; as a table or as JSON.",
    )


class PlanGoal(Goal):
    subsystem_cls = PlanSubsystem
    environment_behavior = Goal.EnvironmentBehavior.LOCAL_ONLY


def profile_argument(profile: str | None) -> tuple[str, ...]:
    """Return the launcher's argument for a profile."""
    return (f"--profile={profile}",) if profile else ()


def terminal_width(console: Console) -> int | None:
    """Return how many columns the terminal has that a goal writes to, None if it is none."""
    try:
        return os.get_terminal_size(console.stdout.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return None


def shown(goal: GoalSubsystem, written: str, options: Iterable[str] = ()) -> str:
    """Return the command that a person typed."""
    return " ".join((goal.name, *map(shlex.quote, options), written)).rstrip()


@goal_rule
async def plan_goal(
    console: Console,
    specs: Specs,
    plan: PlanSubsystem,
    global_options: GlobalOptions,
) -> PlanGoal:
    selection = await select_artifacts(SelectionRequest(specs), **implicitly())
    if not selection.roots:
        console.print_stderr(selection.nothing)
        return PlanGoal(exit_code=0)
    folder = await make_plan_folder(PlanRequest(selection.roots), **implicitly())
    files = await add_prefix(AddPrefix(folder.digest, PLAN_FOLDER))
    profile = profile_argument(plan.profile)
    hours = plan.max_gpu_hours
    limit = (f"--max-gpu-hours={hours:.15g}",) if hours is not None else ()
    width = terminal_width(console) if plan.format == PlanFormat.table else None
    look = (
        *profile,
        *limit,
        *(("--color",) if global_options.colors else ()),
        *((f"--width={width}",) if width else ()),
    )
    answer = await call_launcher(
        LauncherCall(
            arguments=(
                "costs" if plan.costs else plan.name,
                f"{{chroot}}/{PLAN_FOLDER}",
                f"--format={plan.format.value}",
                *(() if plan.costs else look),
            ),
            files=files,
            command=shown(plan, selection.written, (*profile, *limit)),
            description="Comparing artifacts with the store",
        ),
        **implicitly(),
    )
    console.write_stdout(answer.stdout.decode(errors="replace"))
    console.write_stderr(answer.stderr.decode(errors="replace"))
    return PlanGoal(exit_code=answer.exit_code)


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
