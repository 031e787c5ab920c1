"""The launcher, the command line that runs job bundles: built, asked, and started in the
foreground."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.target_types import PexLayout, PythonResolveField
from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.pex import CompletePlatforms, PexRequest
from pants.backend.python.util_rules.python_sources import PythonSourceFilesRequest
from pants.base.build_root import BuildRoot
from pants.engine.addresses import UnparsedAddressInputs
from pants.engine.env_vars import CompleteEnvironmentVars
from pants.engine.fs import Digest
from pants.engine.process import InteractiveProcess, Process, ProcessCacheScope
from pants.engine.rules import Rule, collect_rules
from pants.engine.target import TransitiveTargetsRequest
from pants.engine.unions import UnionRule
from pants.option.global_options import KeepSandboxes
from pants.util.docutil import bin_name
from pants.util.logging import LogLevel

from pants_runspec.engine import (
    create_pex,
    execute_process,
    execute_process_or_raise,
    find_interpreter,
    implicitly,
    prepare_python_sources,
    resolve_unparsed_address_inputs,
    rule,
    strip_python_sources,
    transitive_targets,
)
from pants_runspec.launcher_tools import (
    LauncherTool,
    NemoRunspec,
    NemoRunspecSlurm,
    NoLauncherError,
)
from pants_runspec.recipe.locked_pex import LockedPexRequest, build_locked_pex
from pants_runspec.recipe.requirements import requirement_strings

LAUNCHER_NAME = "launcher.pex"

# `--venv` makes the launcher start in a tenth of the time from its second start on.
PEX_ARGUMENTS = ("--venv", "--no-emit-warnings")


@dataclass(frozen=True)
class PythonVersionRequest:
    """A request for the interpreter that Pants chooses for some constraints."""

    interpreter_constraints: InterpreterConstraints


@dataclass(frozen=True)
class PythonVersion:
    """An interpreter of this machine: its path and its `major.minor` version."""

    path: str
    version: str


@dataclass(frozen=True)
class LauncherRequest:
    """A request for the launcher's PEX, the one with NeMo-Run if need be."""

    with_nemo_run: bool = False


@dataclass(frozen=True)
class Launcher:
    """The launcher: a digest with `launcher.pex`, and the interpreter it was built for."""

    digest: Digest
    python: PythonVersion


@dataclass(frozen=True)
class LauncherCall:
    """A request to run the launcher in the build root and wait for it.

    Attributes:
        arguments: of its command line; `{chroot}` is the folder that `files` are in.
        files: what it reads.
        command: what a person typed to get there, without the program.
        description: what a person reads meanwhile.
        outputs: folders below `{chroot}` that it writes.
    """

    arguments: tuple[str, ...]
    files: Digest
    command: str
    description: str
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class LauncherAnswer:
    """How a call of the launcher ended."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    output: Digest


# The folder with the launcher's PEX in a sandbox.
LAUNCHER_FOLDER = "__launcher"

# What another Python or PEX left behind would reach into the launcher's own.
UNWANTED_VARIABLES = frozenset(
    (
        "PYTHONHOME",
        "PYTHONPATH",
        "PEX_INTERPRETER",
        "PEX_MODULE",
        "PEX_SCRIPT",
        "PEX_PYTHON",
        "PEX_PYTHON_PATH",
    )
)


def launcher_argv(launcher: Launcher, arguments: Iterable[str]) -> tuple[str, ...]:
    """Return the command line of a launcher that lies in LAUNCHER_FOLDER of a sandbox."""
    pex = f"{{chroot}}/{LAUNCHER_FOLDER}/{LAUNCHER_NAME}"
    return (launcher.python.path, pex, *arguments)


def launcher_environment(
    environment: Mapping[str, str], launcher: Launcher, command: str
) -> dict[str, str]:
    """Return the environment of the launcher: the user's, and what a person types to get there.

    Args:
        environment: the user's.
        launcher: the launcher.
        command: the goal, with the arguments that it was given.
    """
    return {
        **{name: value for name, value in environment.items() if name not in UNWANTED_VARIABLES},
        "RUNSPEC_COMMAND": f"{bin_name()} {command}",
        "RUNSPEC_LAUNCHER_PYTHON": launcher.python.path,
    }


def in_foreground(
    launcher: Launcher,
    arguments: Iterable[str],
    files: Digest,
    *,
    environment: Mapping[str, str],
    command: str,
    keep_sandboxes: KeepSandboxes,
) -> InteractiveProcess:
    """Return the process that runs the launcher in the build root, in sight of a person.

    Args:
        launcher: the launcher.
        arguments: of its command line; `{chroot}` is the folder that `files` are in.
        files: what it reads, with the launcher itself in LAUNCHER_FOLDER.
        environment: the user's.
        command: as for `launcher_environment`.
        keep_sandboxes: whether the folder stays.
    """
    return InteractiveProcess(
        argv=launcher_argv(launcher, arguments),
        env=launcher_environment(environment, launcher, command),
        input_digest=files,
        run_in_workspace=True,
        keep_sandboxes=keep_sandboxes,
    )


@rule(desc="Find the version of a Python interpreter", level=LogLevel.DEBUG)
async def find_python_version(request: PythonVersionRequest) -> PythonVersion:
    python = await find_interpreter(request.interpreter_constraints, **implicitly())
    result = await execute_process_or_raise(
        **implicitly(
            Process(
                argv=(
                    python.path,
                    "-sE",
                    "-c",
                    "import sys; print('%d.%d' % sys.version_info[:2])",
                ),
                description=f"Ask {python.path} for its version",
                level=LogLevel.DEBUG,
                # What stands at a path can be another version after an upgrade.
                cache_scope=ProcessCacheScope.PER_RESTART_SUCCESSFUL,
            )
        )
    )
    return PythonVersion(python.path, result.stdout.decode().strip())


@rule(desc="Build the launcher")
async def build_launcher(
    request: LauncherRequest,
    plain_tool: NemoRunspec,
    slurm_tool: NemoRunspecSlurm,
    python_setup: PythonSetup,
) -> Launcher:
    tool: LauncherTool = slurm_tool if request.with_nemo_run else plain_tool
    what = "the launcher with NeMo-Run" if request.with_nemo_run else "the launcher"
    python = await find_python_version(
        PythonVersionRequest(tool.interpreter_constraints), **implicitly()
    )
    constraints = InterpreterConstraints([f"CPython=={python.version}.*"])
    if tool.source is None:
        if tool.install_from_resolve is None:
            raise NoLauncherError(tool)
        pex = await create_pex(
            PexRequest(
                output_filename=LAUNCHER_NAME,
                internal_only=False,
                requirements=tool.pex_requirements(),
                interpreter_constraints=constraints,
                main=tool.main,
                additional_args=(
                    *(f"--exclude={name}" for name in tool.excluded),
                    *PEX_ARGUMENTS,
                ),
                description=f"Building {what}",
            )
        )
        return Launcher(pex.digest, python)
    addresses = await resolve_unparsed_address_inputs(
        UnparsedAddressInputs(
            [tool.source],
            owning_address=None,
            description_of_origin=f"`[{tool.options_scope}].source`",
        ),
        **implicitly(),
    )
    closure = await transitive_targets(TransitiveTargetsRequest(addresses), **implicitly())
    sources = await prepare_python_sources(
        PythonSourceFilesRequest(closure.closure), **implicitly()
    )
    stripped = await strip_python_sources(sources)
    built = await build_locked_pex(
        LockedPexRequest(
            name=LAUNCHER_NAME,
            requirements=requirement_strings(tuple(closure.closure)),
            excluded=tool.excluded,
            resolve=closure.roots[0][PythonResolveField].normalized_value(python_setup),
            interpreter_constraints=constraints,
            complete_platforms=CompletePlatforms(),
            layout=PexLayout.ZIPAPP,
            main=tool.main,
            sources=stripped.stripped_source_files.snapshot.digest,
            arguments=PEX_ARGUMENTS,
            description=f"Building {what} from source",
        ),
        **implicitly(),
    )
    return Launcher(built.digest, python)


@rule(desc="Ask the launcher")
async def call_launcher(
    request: LauncherCall, build_root: BuildRoot, environment: CompleteEnvironmentVars
) -> LauncherAnswer:
    launcher = await build_launcher(LauncherRequest(), **implicitly())
    result = await execute_process(
        Process(
            argv=(
                "/bin/sh",
                "-c",
                # Where `pants run` starts it too: env.toml and the local store are found from here.
                'cd -- "$1" && shift && exec "$@"',
                "launcher",
                build_root.path,
                *launcher_argv(launcher, request.arguments),
            ),
            description=request.description,
            input_digest=request.files,
            immutable_input_digests={LAUNCHER_FOLDER: launcher.digest},
            output_directories=request.outputs,
            env=launcher_environment(environment, launcher, request.command),
            # It reads the store and env.toml, which change behind Pants' back.
            cache_scope=ProcessCacheScope.PER_SESSION,
            level=LogLevel.DEBUG,
        ),
        **implicitly(),
    )
    return LauncherAnswer(result.exit_code, result.stdout, result.stderr, result.output_digest)


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
