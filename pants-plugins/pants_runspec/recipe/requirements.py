"""Which third-party requirements a recipe's job gets: those it can import, at the versions its
resolve has locked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.target_types import PythonRequirementsField
from pants.engine.fs import GlobMatchErrorBehavior, PathGlobs
from pants.engine.rules import Rule, collect_rules
from pants.engine.target import Target
from pants.engine.unions import UnionRule
from pants.util.docutil import bin_name
from pants.util.logging import LogLevel

from pants_runspec.engine import get_digest_contents, path_globs_to_digest, rule
from pants_runspec.recipe.lockfile import Lock, LockedPackage, parse_lockfile, project_name
from pants_runspec.recipe.spec import Recipe


class UnlockedRequirementsError(Exception):
    """A recipe needs wheels that its resolve's lockfile does not hold."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))


@dataclass(frozen=True)
class ResolveLockRequest:
    """A request for what a resolve has locked."""

    resolve: str


@dataclass(frozen=True)
class ResolveLock:
    """A resolve's lockfile; without a path where the resolve has none (`[python].enable_resolves`
    is off)."""

    resolve: str
    path: str | None
    lock: Lock
    generated_by_pants: bool


@dataclass(frozen=True)
class Requirements:
    """What a job gets from the index.

    Attributes:
        wanted: PEP 508 strings, sorted: the PEP 723 dependencies, and (without an image) the
        requirement targets that
            the code imports.
        locked: those and everything they need, at the locked versions.
        unlocked: those of `wanted` that the lockfile does not hold, sorted.
        problems: one sentence for each of these.
    """

    wanted: tuple[str, ...]
    locked: tuple[LockedPackage, ...]
    unlocked: tuple[str, ...]
    problems: tuple[str, ...]


@rule(desc="Read a resolve's lockfile", level=LogLevel.DEBUG)
async def read_lock(request: ResolveLockRequest, python_setup: PythonSetup) -> ResolveLock:
    path = python_setup.resolves.get(request.resolve) if python_setup.enable_resolves else None
    generated = python_setup.resolves_generate_lockfiles
    if path is None:
        return ResolveLock(request.resolve, None, Lock(()), generated)
    digest = await path_globs_to_digest(
        PathGlobs([path], glob_match_error_behavior=GlobMatchErrorBehavior.ignore)
    )
    contents = await get_digest_contents(digest)
    lock = parse_lockfile(contents[0].content.decode(), path) if contents else Lock(())
    return ResolveLock(request.resolve, path, lock, generated)


def requirement_strings(targets: tuple[Target, ...]) -> tuple[str, ...]:
    """Return the PEP 508 strings of the requirement targets among `targets`, sorted."""
    return tuple(
        sorted(
            {
                str(requirement)
                for target in targets
                if target.has_field(PythonRequirementsField)
                for requirement in target[PythonRequirementsField].value
            }
        )
    )


def how_to_add(resolve: ResolveLock) -> str:
    """Return the command that adds a requirement to a resolve, for an error message."""
    if resolve.path is None:
        return "set `[python].enable_resolves` and give the resolve a lockfile"
    if resolve.generated_by_pants:
        return (
            f"add it to a `python_requirement` of the resolve {resolve.resolve} and run "
            f"`{bin_name()} generate-lockfiles --resolve={resolve.resolve}`"
        )
    return (
        "add it to the resolve's requirements file IN and run `uv pip compile --universal "
        f"--generate-hashes --no-emit-index-url IN -o {resolve.path}`"
    )


def select_requirements(
    recipe: Recipe, imported: tuple[str, ...], resolve: ResolveLock
) -> Requirements:
    """Return what a recipe's job gets.

    Args:
        recipe: the recipe.
        imported: PEP 508 strings of the requirement targets that its code imports, directly or not.
        resolve: the lock of its resolve.
    """
    provided = {project_name(name) for name in recipe.provided}
    from_imports = () if recipe.spec.image else imported
    wanted = tuple(
        requirement
        for requirement in sorted({*recipe.spec.dependencies, *from_imports})
        if project_name(requirement) not in provided
    )
    locked = resolve.lock.closure(wanted, without=recipe.provided)
    environments = tuple(
        {"python_version": version, "python_full_version": f"{version}.0"}
        for version in recipe.python_versions
    )
    missing = resolve.lock.missing(wanted, environments)
    where = f"{resolve.path}, resolve {resolve.resolve}" if resolve.path else resolve.resolve
    problems = tuple(
        f"{recipe.script}: {lack} ({where}); {how_to_add(resolve)}" for lack in missing
    )
    unlocked = tuple(lack.requirement for lack in missing)
    return Requirements(wanted, locked, unlocked, problems)


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
