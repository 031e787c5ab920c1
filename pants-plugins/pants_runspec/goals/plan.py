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
from pants.option.option_types import EnumOption, StrOption
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
        GPU-hours that it took last time:

        - fresh: the store has what today's code, config and inputs make;

        - stale: it will run;

        - depends: it will run, unless what it is made from comes out the same;

        - running: somebody is making it right now;

        - gone: the store has it, its data was deleted, and nothing needs it;

        - blocked: it cannot run, and the reason says why.

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


def shown(plan: PlanSubsystem, written: str, options: Iterable[str] = ()) -> str:
    """Return the command that a person typed."""
    return " ".join((plan.name, *map(shlex.quote, options), written)).rstrip()


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
    width = terminal_width(console) if plan.format == PlanFormat.table else None
    answer = await call_launcher(
        LauncherCall(
            arguments=(
                "plan",
                f"{{chroot}}/{PLAN_FOLDER}",
                f"--format={plan.format.value}",
                *profile,
                *(("--color",) if global_options.colors else ()),
                *((f"--width={width}",) if width else ()),
            ),
            files=files,
            command=shown(plan, selection.written, profile),
            description="Comparing artifacts with the store",
        ),
        **implicitly(),
    )
    console.write_stdout(answer.stdout.decode(errors="replace"))
    console.write_stderr(answer.stderr.decode(errors="replace"))
    return PlanGoal(exit_code=answer.exit_code)


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
