"""A recipe as the build side knows it: the script's `[tool.runspec]` block plus what the BUILD file
overrides."""

from __future__ import annotations

import dataclasses
import glob
import os.path
import re
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.engine.addresses import Address
from pants.engine.fs import GlobMatchErrorBehavior, PathGlobs
from pants.engine.rules import Rule, collect_rules
from pants.engine.target import InvalidFieldException
from pants.engine.unions import UnionRule
from pants.util.logging import LogLevel

from pants_runspec.engine import get_digest_contents, path_globs_to_digest, rule
from pants_runspec.paths import leaves_build_root
from pants_runspec.recipe.lockfile import RequirementError, require_valid
from pants_runspec.target_types import RecipeFieldSet
from runspec import Runspec, RunspecError, parse_bytes

# `3.12`, as the field `python` has it.
VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)*")


class MissingScriptError(InvalidFieldException):
    """The `script` field of a target names no file."""

    def __init__(self, field_set: RecipeFieldSet, path: str) -> None:
        super().__init__(
            f"{field_set.address}: the `{field_set.script.alias}` field names "
            f"{field_set.script.value!r}, but there is no file {path}; give the script's path "
            "relative to the BUILD file"
        )


class BrokenScriptError(Exception):
    """A goal needs a recipe whose script has no valid `[tool.runspec]` block."""

    def __init__(self, address: Address, problem: str) -> None:
        super().__init__(f"{address}: {problem}")


class ConfigDirOutsideError(InvalidFieldException):
    """The config folder of a script lies outside the build root."""

    def __init__(self, script: str, config_dir: str) -> None:
        super().__init__(
            f"{script}: config.dir = {config_dir!r} leads out of the repository; name a folder "
            "inside it, relative to the script"
        )


class InterpreterConstraintsError(InvalidFieldException):
    """The script's `requires-python` or the target's `python` is no version specifier, or allows no
    Python that the repository and the resolve know."""

    def __init__(self, script: str, source: str, value: str, problem: str) -> None:
        super().__init__(f"{script}: {source} = {value!r} cannot be met: {problem}")


@dataclass(frozen=True)
class ScriptRequest:
    """A request to parse the script at `path` (relative to the build root)."""

    path: str


@dataclass(frozen=True)
class ParsedScript:
    """What a script says of itself. One of the two is set: a broken script is a value, so that it
    fails only the goals that need it and never `list ::`."""

    spec: Runspec | None
    problem: str | None
    is_missing: bool = False


@dataclass(frozen=True)
class RecipeRequest:
    """A request for the recipe that a target describes."""

    field_set: RecipeFieldSet


@dataclass(frozen=True)
class Recipe:
    """A recipe whose script is valid; paths are relative to the build root.

    Attributes:
        address: of its target.
        script: its script.
        spec: what the script says, with what the target's fields override.
        resolve: the resolve whose lockfile its requirements come from.
        provided: projects that are there where the job runs.
        python: the target's `python` field.
        interpreter_constraints: which interpreters the job can run on.
        python_versions: the `major.minor` versions that these allow.
    """

    address: Address
    script: str
    spec: Runspec
    resolve: str
    provided: tuple[str, ...]
    python: str | None
    interpreter_constraints: InterpreterConstraints
    python_versions: tuple[str, ...]

    @property
    def config_dir(self) -> str:
        return config_dir(self.script, self.spec)


def script_path(field_set: RecipeFieldSet) -> str:
    """Return the path of a target's script relative to the build root."""
    return field_set.script.file_path


def config_dir(script: str, spec: Runspec) -> str:
    """Return the config folder of the script at `script`, relative to the build root.

    Raises:
        ConfigDirOutsideError: the folder lies outside the build root.
    """
    folder = os.path.normpath(os.path.join(os.path.dirname(script), spec.config.dir))
    if leaves_build_root(folder):
        raise ConfigDirOutsideError(script, spec.config.dir)
    return folder


def overridden(spec: Runspec, field_set: RecipeFieldSet) -> Runspec:
    """Return `spec` with what the target's fields override."""
    run = dataclasses.replace(
        spec.run,
        launch=field_set.launch.value or spec.run.launch,
        cmd=field_set.cmd.value or spec.run.cmd,
        workdir=field_set.workdir.value or spec.run.workdir,
    )
    nodes = field_set.nodes.value
    return dataclasses.replace(
        spec,
        image=field_set.image.value or spec.image,
        run=run,
        config=dataclasses.replace(
            spec.config, default=field_set.default_config.value or spec.config.default
        ),
        resources=dataclasses.replace(
            spec.resources, nodes=spec.resources.nodes if nodes is None else nodes
        ),
        env={**spec.env, **(field_set.env.value or {})},
    )


def interpreter_constraints(
    recipe: RecipeFieldSet, script: str, spec: Runspec, python_setup: PythonSetup
) -> InterpreterConstraints:
    """Return which interpreters a recipe's job can run on.

    The target's `python` counts first, then the script's `requires-python`; what
    `[python].resolves_to_interpreter_constraints` says of the resolve holds in any case, since the
    lockfile was made for it. Without all three it is `[python].interpreter_constraints`.

    Raises:
        InterpreterConstraintsError: they are not valid or contradict each other.
    """
    resolve = recipe.resolve.normalized_value(python_setup)
    of_resolve = python_setup.resolves_to_interpreter_constraints.get(resolve, ())
    if recipe.python.value:
        source, value = recipe.python.alias, recipe.python.value
        specifier = f"=={value}.*" if VERSION.fullmatch(value) else value.removeprefix("CPython")
    elif spec.requires_python:
        source, value = "requires-python", spec.requires_python
        specifier = value
    else:
        return InterpreterConstraints(of_resolve or python_setup.interpreter_constraints)
    try:
        # Pants alone would take `CPython3.11` for the name of an interpreter.
        SpecifierSet(specifier)
    except InvalidSpecifier as error:
        problem = "it is no version specifier; write it as in `>=3.11,<3.14`"
        raise InterpreterConstraintsError(script, source, value, problem) from error
    universe = python_setup.interpreter_versions_universe
    wanted = InterpreterConstraints([f"CPython{specifier}"])
    try:
        constraints = (
            InterpreterConstraints.merge([wanted, InterpreterConstraints(of_resolve)])
            if of_resolve
            else wanted
        )
        constraints.partition_into_major_minor_versions(universe)
    except ValueError as error:
        both = f" and of the resolve {resolve} ({' or '.join(of_resolve)})" if of_resolve else ""
        problem = (
            f"none of {', '.join(universe)} (`[python].interpreter_versions_universe`) is one of "
            f"its versions{both}"
        )
        raise InterpreterConstraintsError(script, source, value, problem) from error
    return constraints


def line_of(text: str, content: bytes) -> int:
    """Return the line of a file, counted from 1, on which a text first stands; 1 if on none."""
    before, found, _ = content.partition(text.encode())
    return before.count(b"\n") + 1 if found else 1


@rule(desc="Parse a recipe's script", level=LogLevel.DEBUG)
async def parse_script(request: ScriptRequest) -> ParsedScript:
    digest = await path_globs_to_digest(
        PathGlobs(
            [glob.escape(request.path)], glob_match_error_behavior=GlobMatchErrorBehavior.ignore
        )
    )
    contents = await get_digest_contents(digest)
    if not contents:
        return ParsedScript(None, f"{request.path}: no such file", is_missing=True)
    content = contents[0].content
    try:
        spec = parse_bytes(content, request.path)
        require_valid(spec.dependencies)
        config_dir(request.path, spec)
    except (RunspecError, ConfigDirOutsideError) as error:
        return ParsedScript(None, str(error))
    except RequirementError as error:
        line = line_of(error.requirement, content)
        return ParsedScript(None, f"{request.path}:{line}: dependencies: {error}")
    return ParsedScript(spec, None)


@rule(desc="Read a recipe", level=LogLevel.DEBUG)
async def resolve_recipe(request: RecipeRequest, python_setup: PythonSetup) -> Recipe:
    field_set = request.field_set
    path = script_path(field_set)
    parsed = await parse_script(ScriptRequest(path))
    if parsed.spec is None:
        if parsed.is_missing:
            raise MissingScriptError(field_set, path)
        raise BrokenScriptError(field_set.address, parsed.problem or "")
    spec = overridden(parsed.spec, field_set)
    constraints = interpreter_constraints(field_set, path, spec, python_setup)
    versions = constraints.partition_into_major_minor_versions(
        python_setup.interpreter_versions_universe
    )
    return Recipe(
        address=field_set.address,
        script=path,
        spec=spec,
        resolve=field_set.resolve.normalized_value(python_setup),
        provided=tuple(field_set.provided.value or ()),
        python=field_set.python.value,
        interpreter_constraints=constraints,
        python_versions=tuple(versions),
    )


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
