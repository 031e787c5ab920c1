"""`pants lint`: the specs of recipes, their default configs, and the `${…}` of their YAMLs."""

from __future__ import annotations

import difflib
import os.path
from collections.abc import Iterable
from dataclasses import dataclass

from pants.backend.python.subsystems.setup import PythonSetup
from pants.core.goals.lint import LintResult, LintTargetsRequest
from pants.core.util_rules.partitions import PartitionerType
from pants.engine.addresses import Address
from pants.engine.fs import DigestContents, PathGlobs
from pants.engine.rules import Rule, collect_rules
from pants.engine.target import TransitiveTargetsRequest
from pants.engine.unions import UnionRule
from pants.option.option_types import SkipOption
from pants.option.subsystem import Subsystem

from pants_runspec.config.check import check_recipe
from pants_runspec.engine import (
    concurrently,
    get_digest_contents,
    implicitly,
    path_globs_to_digest,
    rule,
    transitive_targets,
)
from pants_runspec.paths import is_below
from pants_runspec.recipe.dependencies import (
    ConfigOwnersRequest,
    ScriptOwnersRequest,
    config_globs,
    find_config_owners,
    find_script_owners,
)
from pants_runspec.recipe.requirements import (
    ResolveLockRequest,
    read_lock,
    select_requirements,
)
from pants_runspec.recipe.spec import (
    InterpreterConstraintsError,
    Recipe,
    RecipeRequest,
    ScriptRequest,
    interpreter_constraints,
    overridden,
    parse_script,
    resolve_recipe,
    script_path,
)
from pants_runspec.target_types import RecipeFieldSet, RunspecConfigSourceField
from runspec.executors import EXECUTORS


class RunspecLint(Subsystem):
    options_scope = "runspec-lint"
    name = "runspec"
    help = (
        "Checks recipes: the `[tool.runspec]` block, the default config, the `${…}` of the YAMLs."
    )

    skip = SkipOption("lint")


class RunspecLintRequest(LintTargetsRequest):
    field_set_type = RecipeFieldSet
    tool_subsystem = RunspecLint  # type: ignore[assignment]
    partitioner_type = PartitionerType.DEFAULT_SINGLE_PARTITION


@dataclass(frozen=True)
class CheckRequest:
    """A request for the findings about one recipe."""

    field_set: RecipeFieldSet


@dataclass(frozen=True)
class RecipeFindings:
    """What `lint` says of one recipe, a line each; only errors make it fail."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def default_config(recipe: Recipe, configs: tuple[str, ...]) -> str | None:
    """Return the recipe's default config among those of its config folder, None if it does not
    exist."""
    stem = os.path.normpath(os.path.join(recipe.config_dir, recipe.spec.config.default))
    found = [path for path in configs if os.path.splitext(path)[0] == stem or path == stem]
    return min(found) if found else None


def missing_default(recipe: Recipe, configs: tuple[str, ...]) -> str:
    """Say that the recipe's default config does not exist, and what there is."""
    name, folder = recipe.spec.config.default, recipe.config_dir
    there = sorted(os.path.splitext(os.path.relpath(path, folder))[0] for path in configs)
    nearest = difflib.get_close_matches(name, there, n=1)
    if not there:
        fix = (
            "write it, or name the script's config folder in config.dir "
            f"(now {recipe.spec.config.dir!r})"
        )
    elif nearest:
        fix = f"did you mean {nearest[0]!r}? There are: {', '.join(there)}"
    else:
        fix = f"there are: {', '.join(there)}"
    return f"{recipe.script}: the default config {folder}/{name}.yaml does not exist; {fix}"


def owner_problems(
    address: Address, script: str, unowned: tuple[str, ...], owners: int
) -> tuple[str, ...]:
    """Return what is wrong with the ownership of a recipe's files."""
    fix = "run `pants tailor ::`"
    no_owner = (
        ()
        if owners
        else (f"{script}: no python_sources target owns it, so {address} cannot run; {fix}",)
    )
    return (*no_owner, *(f"{path}: no runspec_configs target owns it; {fix}" for path in unowned))


def undecodable(files: DigestContents) -> tuple[str, ...]:
    """Return an error for each config that is not UTF-8."""
    problems = []
    for file in files:
        try:
            file.content.decode()
        except UnicodeDecodeError as error:
            line = file.content.count(b"\n", 0, error.start) + 1
            problems.append(f"{file.path}:{line}: the file is not UTF-8; save it as UTF-8")
    return tuple(problems)


def unknown_executors(field_set: RecipeFieldSet) -> tuple[str, ...]:
    """Return a warning for each of a target's executors that does not come with the library: only
    those that do change what is in its bundle."""
    problems = []
    for name in field_set.executors.value or ():
        if name in EXECUTORS:
            continue
        nearest = difflib.get_close_matches(name, EXECUTORS, n=1)
        meant = f"did you mean {nearest[0]!r}? " if nearest else ""
        problems.append(
            f"{field_set.address}: `{field_set.executors.alias}` names {name!r}, which the library "
            f"does not have; {meant}it has: {', '.join(sorted(EXECUTORS))}"
        )
    return tuple(problems)


@rule(desc="Check a recipe")
async def check_one_recipe(request: CheckRequest, python_setup: PythonSetup) -> RecipeFindings:
    field_set = request.field_set
    path = script_path(field_set)
    parsed = await parse_script(ScriptRequest(path))
    if parsed.spec is None:
        return RecipeFindings((parsed.problem or path,), ())
    try:
        interpreter_constraints(field_set, path, overridden(parsed.spec, field_set), python_setup)
    except InterpreterConstraintsError as error:
        return RecipeFindings((str(error),), ())
    recipe = await resolve_recipe(RecipeRequest(field_set), **implicitly())
    globs = config_globs(recipe.config_dir)
    script_owners = await find_script_owners(
        ScriptOwnersRequest(path, recipe.resolve), **implicitly()
    )
    config_owners = await find_config_owners(ConfigOwnersRequest(globs))
    bases = await transitive_targets(
        TransitiveTargetsRequest(config_owners.addresses), **implicitly()
    )
    base_paths = (
        target[RunspecConfigSourceField].file_path
        for target in bases.closure
        if target.has_field(RunspecConfigSourceField)
    )
    digest = await path_globs_to_digest(PathGlobs([*globs, *base_paths]))
    files = await get_digest_contents(digest)
    lock = await read_lock(ResolveLockRequest(recipe.resolve), **implicitly())

    own = tuple(file.path for file in files if is_below(file.path, recipe.config_dir))
    default = default_config(recipe, own)
    no_default = () if default else (missing_default(recipe, own),)
    owners = owner_problems(
        recipe.address, path, config_owners.unowned, len(script_owners.addresses)
    )
    found = check_recipe(
        own,
        {file.path: file.content.decode(errors="replace") for file in files},
        default=default,
    )
    return RecipeFindings(
        errors=(
            *owners,
            *no_default,
            *undecodable(files),
            *(str(finding) for finding in found if finding.is_error),
        ),
        warnings=(
            *(str(finding) for finding in found if not finding.is_error),
            *unknown_executors(field_set),
            # What its resolve lacks of its PEP 723 dependencies.
            *select_requirements(recipe, (), lock).problems,
        ),
    )


@rule(desc="Lint recipes")
async def lint_recipes(request: RunspecLintRequest.Batch) -> LintResult:
    results = await concurrently(
        check_one_recipe(CheckRequest(field_set), **implicitly()) for field_set in request.elements
    )
    # Recipes that share a config folder find the same things in it.
    errors = sorted({error for result in results for error in result.errors})
    warnings = sorted({warning for result in results for warning in result.warnings})
    lines = [*(f"error: {error}" for error in errors), *(f"warning: {w}" for w in warnings)]
    return LintResult(
        exit_code=1 if errors else 0,
        stdout="".join(f"{line}\n" for line in lines),
        stderr="",
        linter_name=RunspecLint.name,
        partition_description=None,
    )


def rules() -> Iterable[Rule | UnionRule]:
    return [*collect_rules(), *RunspecLintRequest.rules()]
