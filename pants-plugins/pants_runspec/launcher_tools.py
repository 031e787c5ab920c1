"""`[nemo-runspec]` and `[nemo-runspec-slurm]`: where the launcher comes from, as Pants tools of
their own."""

from __future__ import annotations

from collections.abc import Iterable

from pants.backend.python.subsystems.python_tool_base import PythonToolBase
from pants.backend.python.target_types import EntryPoint
from pants.engine.goal import GoalSubsystem
from pants.option.option_types import ArgsListOption, StrOption
from pants.util.strutil import softwrap

from runspec.executors import NEMO_RUN_EXECUTORS


class LauncherTool(PythonToolBase):
    """A launcher: the command line that runs job bundles.

    Attributes:
        excluded: projects that stay out of it, although something in it names them.
        example_source: what `source` is in the library's own repository.
    """

    default_main = EntryPoint("nemo_runspec.cli", "main")
    default_interpreter_constraints = ["CPython>=3.10,<3.14"]
    register_interpreter_constraints = True
    excluded: tuple[str, ...] = ()

    source = StrOption(
        default=None,
        advanced=True,
        help=lambda cls: softwrap(
            f"""
            Address of the target that holds the library's command line, where it is built from
            source: `{cls.example_source}`. Unset, `install_from_resolve` counts.
            """
        ),
    )
    example_source: str


class NemoRunspec(LauncherTool, GoalSubsystem):
    """The launcher, and the goal of the same name that runs its command line."""

    options_scope = "nemo-runspec"
    name = "nemo-runspec"
    help_short = "Runs the launcher's command line, and says where the launcher comes from."
    help = softwrap(
        """
        Runs the command line of the launcher: the store of artifacts, jobs, promote, accept,
        revoke.

            pants nemo-runspec -- --help
            pants nemo-runspec -- store ls
            pants nemo-runspec -- promote nano3-sft-model:v3 prod

        All after `--` is the launcher's, which runs in the build root, so that paths are relative
        to it; its exit code is the goal's.

        The options say where the launcher comes from, for all goals that need it.
        Add the library's wheel, `nemo-runspec`, to a resolve and name that resolve in
        `install_from_resolve`; upgrade it there like any other tool. In a repository that holds the
        library itself, `source` builds it from there. One of the two must be set: no public package
        index has the wheel yet.

        Profiles of env.toml whose executor needs NeMo-Run get the launcher of
        `[nemo-runspec-slurm]` instead.
        """
    )
    default_version = "nemo-runspec==0.1.0"
    default_requirements = ["nemo-runspec>=0.1,<0.2"]
    # Pants asks every tool for one. It comes with the first release; until then `NoLauncherError`
    # says what to set.
    default_lockfile_resource = ("pants_runspec", "nemo_runspec.lock")
    example_source = "src/nemo_runspec/cli.py"

    args = ArgsListOption(example="store ls", tool_name="the launcher", passthrough=True)


class NemoRunspecSlurm(LauncherTool):
    """The launcher with NeMo-Run, for the executors that need it."""

    options_scope = "nemo-runspec-slurm"
    name = "nemo-runspec-slurm"
    help_short = "Says where the launcher with NeMo-Run comes from, for Slurm and the like."
    help = softwrap(
        f"""
        The launcher with NeMo-Run, which makes the requests to a cluster's scheduler. It is built
        only when it is needed: for a profile of env.toml whose `executor` or `supervisor` is one of
        {", ".join(sorted(NEMO_RUN_EXECUTORS))}, and for `pants package` of a recipe whose
        `executors` names one of them.

        NeMo-Run and what it needs are half a gigabyte, with pins of their own, so they stand in a
        resolve of their own. Add `nemo-runspec[slurm]` to it and name it in
        `install_from_resolve`:

            [python.resolves]
            nemo-runspec-slurm = "3rdparty/python/nemo-runspec-slurm.lock"

            [nemo-runspec-slurm]
            install_from_resolve = "nemo-runspec-slurm"

        In a repository that holds the library itself, `source` builds it from there, by a target in
        that resolve.
        """
    )
    default_version = "nemo-runspec[slurm]==0.1.0"
    default_requirements = ["nemo-runspec[slurm]>=0.1,<0.2"]
    default_lockfile_resource = ("pants_runspec", "nemo_runspec_slurm.lock")
    example_source = "src/nemo_runspec/cli.py:slurm"
    # A third of it all: one of NeMo-Run's requirements names it, and no executor imports it.
    excluded = ("ray",)


class NoLauncherError(Exception):
    """Nothing says where the launcher comes from."""

    def __init__(self, tool: LauncherTool) -> None:
        super().__init__(
            f"`[{tool.options_scope}].install_from_resolve` is not set, and no package index has "
            f"{tool.default_version} yet; add its wheel to a resolve and name that resolve there, "
            f"or set `[{tool.options_scope}].source` to the library's target"
        )


def needs_nemo_run(executors: Iterable[str]) -> bool:
    """Tell whether the launcher for these executors is the one with NeMo-Run.

    What only the run side can resolve (`${oc.env:EXECUTOR}`) may turn out as any of them.
    """
    return any(name in NEMO_RUN_EXECUTORS or "${" in name for name in executors)
