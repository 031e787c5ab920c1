"""The executors of a profile of env.toml, as far as the build side has to know them: they decide
which launcher is built.

The launcher reads the file itself, with all that can stand in it, and says what is wrong with it;
here whatever cannot be read names no executor.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pants.base.build_root import BuildRoot
from pants.engine.env_vars import CompleteEnvironmentVars
from pants.engine.internals.session import RunId
from pants.engine.rules import Rule, collect_rules
from pants.engine.unions import UnionRule

from pants_runspec.engine import rule
from runspec.arguments import OPTIONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENV_FILE_NAME = "env.toml"
ENV_FILE_VARIABLE = "NEMOTRON_ENV_FILE"

# The keys that name an executor: that of the jobs, and that of the supervisor of a pipeline.
_EXECUTOR_KEYS = ("executor", "supervisor")

# How the launcher's command line names a profile; `recipe` has short forms too.
_PROFILE_OPTION = "--profile"
_RECIPE_PROFILE_OPTIONS = frozenset(
    name for option in OPTIONS if option.field in ("run", "batch") for name in option.names
)


@dataclass(frozen=True)
class ProfileRequest:
    """A request for what a profile says; without one jobs run on this machine."""

    profile: str | None


@dataclass(frozen=True)
class Profile:
    """What the build side knows of a profile.

    Attributes:
        executors: those that it names, as written; empty where the profile cannot be read.
    """

    executors: tuple[str, ...]


def executors_of(content: bytes, profile: str) -> tuple[str, ...]:
    """Return the executors that a profile of an env.toml names, sorted; none where the file or the
    profile cannot be read, or where parents are missing or form a circle."""
    try:
        tables = tomllib.loads(content.decode("utf-8-sig"))
    except ValueError:  # no TOML, or no UTF-8
        return ()
    found: dict[str, object] = {}
    seen: set[str] = set()
    name: object = profile
    while name is not None:
        table = tables.get(name) if isinstance(name, str) and name not in seen else None
        if not isinstance(table, dict):
            return ()
        seen.add(str(name))
        # What the profile says itself wins over what it extends.
        found = {**{key: table[key] for key in _EXECUTOR_KEYS if key in table}, **found}
        name = table.get("extends")
    return tuple(sorted({value for value in found.values() if isinstance(value, str)}))


def executors_overridden(dotlist: Iterable[str]) -> tuple[str, ...]:
    """Return the executors that overrides of a recipe's config name, which win over a profile's."""
    found = (override.partition("=") for override in dotlist)
    return tuple(value for key, _, value in found if key == "run.env.executor")


def profile_named(arguments: Sequence[str]) -> str | None:
    """Return the profile that a command line of the launcher runs jobs on, None if it names none.

    `plan` only compares: it runs nothing on its profile.
    """
    command = arguments[0] if arguments else None
    if command == "plan":
        return None
    names = _RECIPE_PROFILE_OPTIONS if command == "recipe" else {_PROFILE_OPTION}
    for position, argument in enumerate(arguments):
        if argument == "--":
            return None
        name, equals, value = argument.partition("=")
        if name in names:
            following = arguments[position + 1 : position + 2]
            return value if equals else next(iter(following), None)
    return None


def env_file(build_root: Path, environment: Mapping[str, str]) -> Path:
    """Return where the launcher looks for env.toml.

    It starts in the build root, whose pants.toml ends its search upwards.
    """
    written = environment.get(ENV_FILE_VARIABLE) or ENV_FILE_NAME
    if written.startswith("~/") and "HOME" in environment:
        return Path(environment["HOME"], written[2:])
    return build_root / written


@rule(desc="Read a profile")
async def read_profile(
    request: ProfileRequest,
    build_root: BuildRoot,
    environment: CompleteEnvironmentVars,
    # Anew in each run of Pants: the file changes behind its back, as Git, and with it Pants' own
    # file system, ignores it in many a repository. Nor may its secrets get into Pants' store.
    run_id: RunId,
) -> Profile:
    if request.profile is None:
        return Profile(())
    try:
        content = env_file(Path(build_root.path), environment).read_bytes()
    except OSError:
        return Profile(())
    return Profile(executors_of(content, request.profile))


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
