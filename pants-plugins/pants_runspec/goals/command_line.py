"""`pants nemo-runspec -- …`: the launcher's own command line."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from pants.base.specs import Specs
from pants.engine.console import Console
from pants.engine.env_vars import CompleteEnvironmentVars
from pants.engine.fs import AddPrefix
from pants.engine.goal import Goal
from pants.engine.rules import Rule, collect_rules, goal_rule
from pants.engine.unions import UnionRule
from pants.option.global_options import GlobalOptions

from pants_runspec.engine import add_prefix, implicitly, run_interactive_process
from pants_runspec.launcher import (
    LAUNCHER_FOLDER,
    LauncherRequest,
    build_launcher,
    in_foreground,
)
from pants_runspec.launcher_tools import NemoRunspec, needs_nemo_run
from pants_runspec.profile import ProfileRequest, profile_named, read_profile

_EXIT_BAD_INPUT = 2


class NemoRunspecGoal(Goal):
    subsystem_cls = NemoRunspec
    environment_behavior = Goal.EnvironmentBehavior.LOCAL_ONLY


@goal_rule
async def run_command_line(
    console: Console,
    specs: Specs,
    tool: NemoRunspec,
    global_options: GlobalOptions,
    environment: CompleteEnvironmentVars,
) -> NemoRunspecGoal:
    if specs:
        console.print_stderr(
            f"error: {tool.name} takes no targets; write its command after `--`, as in "
            f"{tool.name} -- store ls"
        )
        return NemoRunspecGoal(exit_code=_EXIT_BAD_INPUT)
    profile = await read_profile(ProfileRequest(profile_named(tool.args)), **implicitly())
    launcher = await build_launcher(
        LauncherRequest(needs_nemo_run(profile.executors)), **implicitly()
    )
    files = await add_prefix(AddPrefix(launcher.digest, LAUNCHER_FOLDER))
    command = f"{tool.name} -- {shlex.join(tool.args)}".rstrip()
    result = await run_interactive_process(
        in_foreground(
            launcher,
            tool.args,
            files,
            environment=environment,
            command=command,
            keep_sandboxes=global_options.keep_sandboxes,
        )
    )
    return NemoRunspecGoal(exit_code=result.exit_code)


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
