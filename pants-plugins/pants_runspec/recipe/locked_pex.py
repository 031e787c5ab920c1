"""A PEX of locked requirements: exactly what was asked for and what that needs, by hash.

Pants builds a subset of a Pex lockfile, but of a lockfile in the form of a requirements file it
installs the whole first, and with `complete_platforms` it does not use it at all. So such a
lockfile is cut to size here, by the edges it records, and Pex gets the rest as a requirements file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.backend.python.target_types import MainSpecification, PexLayout
from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.pex import CompletePlatforms, PexRequest
from pants.backend.python.util_rules.pex_requirements import PexRequirements, Resolve
from pants.engine.fs import EMPTY_DIGEST, CreateDigest, Digest, FileContent
from pants.engine.rules import Rule, collect_rules
from pants.engine.unions import UnionRule

from pants_runspec.engine import create_digest, create_pex, implicitly, rule
from pants_runspec.recipe.lockfile import Lock
from pants_runspec.recipe.requirements import ResolveLockRequest, read_lock

REQUIREMENTS_FILE = "locked-requirements.txt"


@dataclass(frozen=True)
class LockedPexRequest:
    """A request for a PEX of locked requirements.

    Attributes:
        name: of the PEX.
        requirements: PEP 508 strings; what they need comes with them.
        excluded: projects that stay out even if something needs them, and what nothing but they
            needs with them.
        resolve: the resolve whose lockfile says which versions.
        interpreter_constraints: of the interpreters it is for.
        complete_platforms: of the platforms it is for, if not this machine's.
        layout: one file or a folder.
        main: what it starts.
        sources: modules that go into it.
        arguments: further options of Pex.
        description: what a person reads while it is built.
    """

    name: str
    requirements: tuple[str, ...]
    excluded: tuple[str, ...]
    resolve: str
    interpreter_constraints: InterpreterConstraints
    complete_platforms: CompletePlatforms
    layout: PexLayout
    main: MainSpecification | None
    sources: Digest
    arguments: tuple[str, ...]
    description: str


@dataclass(frozen=True)
class LockedPex:
    """A digest that holds the PEX under its name."""

    digest: Digest


def cut_lockfile(lock: Lock, requirements: Iterable[str], excluded: Iterable[str]) -> str:
    """Return the part of a lockfile that some requirements need, as a requirements file."""
    return "".join(
        " \\\n    ".join(
            (package.requirement_line, *(f"--hash={digest}" for digest in package.hashes))
        )
        + "\n"
        for package in lock.closure(requirements, excluded)
    )


@rule(desc="Build a PEX of locked requirements")
async def build_locked_pex(request: LockedPexRequest) -> LockedPex:
    resolve = await read_lock(ResolveLockRequest(request.resolve), **implicitly())
    # Without it a PEX that lacks what one of its wheels names would not start.
    arguments = tuple(f"--exclude={name}" for name in request.excluded)
    inputs, requirements = EMPTY_DIGEST, PexRequirements()
    if request.requirements and resolve.lock.is_requirements_file:
        text = cut_lockfile(resolve.lock, request.requirements, request.excluded)
        inputs = await create_digest(CreateDigest([FileContent(REQUIREMENTS_FILE, text.encode())]))
        arguments = (*arguments, "--requirement", REQUIREMENTS_FILE, "--no-transitive")
    elif request.requirements:
        requirements = PexRequirements(
            request.requirements,
            from_superset=Resolve(request.resolve, use_entire_lockfile=False),
            description_of_origin=request.description,
        )
    pex = await create_pex(
        PexRequest(
            output_filename=request.name,
            internal_only=False,
            layout=request.layout,
            requirements=requirements,
            interpreter_constraints=request.interpreter_constraints,
            complete_platforms=request.complete_platforms,
            main=request.main,
            sources=request.sources,
            additional_inputs=inputs,
            additional_args=(*arguments, *request.arguments),
            description=request.description,
        )
    )
    return LockedPex(pex.digest)


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
