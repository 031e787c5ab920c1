"""`pants lineage`: what artifacts are made from, by the code of today and by the store's record."""

from __future__ import annotations

import enum
import os.path
from collections.abc import Iterable

from pants.base.specs import Specs
from pants.core.util_rules.distdir import DistDir
from pants.engine.console import Console
from pants.engine.fs import EMPTY_DIGEST, AddPrefix, CreateDigest, FileContent, Workspace
from pants.engine.goal import Goal, GoalSubsystem
from pants.engine.rules import Rule, collect_rules, goal_rule
from pants.engine.unions import UnionRule
from pants.option.global_options import GlobalOptions
from pants.option.option_types import BoolOption, EnumOption, StrListOption, StrOption
from pants.util.strutil import help_text

from pants_runspec.artifact.describe import ArtifactError
from pants_runspec.artifact.graph import PlanRequest, make_plan_folder
from pants_runspec.artifact.targets import AllArtifacts
from pants_runspec.engine import add_prefix, create_digest, implicitly
from pants_runspec.goals.plan import PLAN_FOLDER, profile_argument, shown, terminal_width
from pants_runspec.goals.selection import SelectionRequest, select_artifacts
from pants_runspec.launcher import LauncherCall, call_launcher


class LineageFormat(enum.Enum):
    tree = "tree"
    json = "json"
    mermaid = "mermaid"
    html = "html"
    openlineage = "openlineage"


class Direction(enum.Enum):
    upstream = "upstream"
    downstream = "downstream"
    both = "both"


class LineageSubsystem(GoalSubsystem):
    name = "lineage"
    help = help_text(
        """
        Shows what artifacts are made from: the targets of today joined with what the store
        recorded of them.

            pants lineage src/recipes/nano3:eval-results
            pants lineage --format=html src/recipes/nano3:eval-results
            pants lineage --direction=downstream src/recipes/nano3:sft-data
            pants lineage --at=v3 src/recipes/nano3:sft-model

        Each stands with its state, as `pants plan` tells it, and the version that the store has:
        when, by whom and from which commit it was made, what that took, and its metrics. With
        `--at` it is a version as it was recorded, whatever the BUILD files say now. With
        `--format=html` the page is written to `dist/lineage/` and its path is printed.

        Nothing is run for this.
        """
    )

    direction = EnumOption(
        default=Direction.upstream,
        help="What the artifacts are made from, what is made from them, or both.",
    )
    format = EnumOption(
        default=LineageFormat.tree,
        help="How to show it: as a tree for people, as JSON with everything, as a Mermaid "
        "flowchart, as a page for a browser, or as OpenLineage events.",
    )
    at = StrOption(
        default=None,
        help="A recorded version instead of today's targets, from its manifest alone: `--at=v3`, "
        "or an alias.",
    )
    type = StrListOption(
        help="Only versions of these classes, such as `ModelArtifact`, beside what was asked for.",
    )
    keys = BoolOption(
        default=False,
        help="In the tree, also what the key of each version was made of: config, code and so on.",
    )
    output = StrOption(
        default=None,
        help="Write to this file, named by its path in the build root, and print the path. A page "
        "is written to `dist/lineage/` without it.",
    )
    profile = StrOption(
        default=None,
        help="The profile of env.toml that the artifacts would be made with: `--profile=prod`.",
    )


class LineageGoal(Goal):
    subsystem_cls = LineageSubsystem
    environment_behavior = Goal.EnvironmentBehavior.LOCAL_ONLY


class OutputError(ArtifactError):
    """A file cannot be written where it is wanted.

    Args:
        path: where, as it was written.
    """

    def __init__(self, path: str) -> None:
        super().__init__(
            f"--lineage-output={path} is not in this repository; name a path in the build root, as "
            "in --output=dist/lineage.html"
        )


def output_path(lineage: LineageSubsystem, names: Iterable[str], dist: DistDir) -> str | None:
    """Return the file to write, by its path in the build root; None where it is printed.

    Args:
        lineage: the options.
        names: the artifacts that were asked for.
        dist: where Pants writes what it makes.
    """
    if lineage.output is not None:
        path = os.path.normpath(lineage.output)
        if os.path.isabs(path) or path.split(os.sep)[0] in (os.pardir, os.curdir):
            raise OutputError(lineage.output)
        return path
    if lineage.format != LineageFormat.html:
        return None
    several = sorted(names)
    name = several[0].replace("/", "-") if len(several) == 1 else "lineage"
    version = f"-{lineage.at}" if lineage.at else ""
    return str(dist.relpath / "lineage" / f"{name}{version}.html")


def launcher_options(
    lineage: LineageSubsystem, console: Console, global_options: GlobalOptions
) -> tuple[str, ...]:
    """Return the options of the launcher's own `lineage`."""
    is_shown = lineage.format == LineageFormat.tree and lineage.output is None
    width = terminal_width(console) if is_shown else None
    return (
        f"--direction={lineage.direction.value}",
        f"--format={lineage.format.value}",
        *(f"--type={each}" for each in lineage.type),
        *((f"--at={lineage.at}",) if lineage.at else ()),
        *(("--keys",) if lineage.keys else ()),
        *profile_argument(lineage.profile),
        *(("--color",) if is_shown and global_options.colors else ()),
        *((f"--width={width}",) if width else ()),
    )


@goal_rule
async def lineage_goal(
    console: Console,
    specs: Specs,
    lineage: LineageSubsystem,
    everything: AllArtifacts,
    dist: DistDir,
    workspace: Workspace,
    global_options: GlobalOptions,
) -> LineageGoal:
    selection = await select_artifacts(SelectionRequest(specs), **implicitly())
    if not selection.roots:
        console.print_stderr(selection.nothing)
        return LineageGoal(exit_code=0)
    names = [everything.artifacts[each].name for each in selection.roots]
    path = output_path(lineage, names, dist)
    if lineage.at:
        # What it was made from is recorded; what the code says now is of no account.
        subjects, files = tuple(names), EMPTY_DIGEST
    else:
        wanted = selection.roots
        if lineage.direction != Direction.upstream:
            wanted = tuple(sorted(everything.artifacts))
        folder = await make_plan_folder(PlanRequest(wanted), **implicitly())
        files = await add_prefix(AddPrefix(folder.digest, PLAN_FOLDER))
        subjects = (f"--plan={{chroot}}/{PLAN_FOLDER}", *selection.roots)
    answer = await call_launcher(
        LauncherCall(
            arguments=(
                "lineage",
                *subjects,
                *launcher_options(lineage, console, global_options),
            ),
            files=files,
            command=shown(lineage, selection.written, profile_argument(lineage.profile)),
            description="Reading what was made from what",
        ),
        **implicitly(),
    )
    console.write_stderr(answer.stderr.decode(errors="replace"))
    if path is None or answer.exit_code:
        console.write_stdout(answer.stdout.decode(errors="replace"))
        return LineageGoal(exit_code=answer.exit_code)
    digest = await create_digest(CreateDigest([FileContent(path, answer.stdout)]))
    workspace.write_digest(digest)
    console.print_stdout(path)
    return LineageGoal(exit_code=0)


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
