"""Which artifacts a goal was asked about."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from pants.base.specs import AddressLiteralSpec, Specs
from pants.engine.addresses import Address
from pants.engine.rules import Rule, collect_rules
from pants.engine.unions import UnionRule

from pants_runspec.artifact.describe import ArtifactError
from pants_runspec.artifact.targets import AllArtifacts
from pants_runspec.engine import implicitly, resolve_targets, rule


class NotAnArtifactError(ArtifactError):
    """A goal was asked about a target that is no artifact."""

    def __init__(self, address: str, everything: AllArtifacts) -> None:
        if address in everything.recipes:
            made = everything.made_by(address)
            what = f"{address} is a recipe"
            fix = (
                f"name what it makes: {', '.join(made)}"
                if made
                else f'no artifact target has recipe="{address}"; write one'
            )
        else:
            what, folder = f"{address} is no artifact", address.partition(":")[0]
            beside = sorted(
                each for each in everything.artifacts if each.partition(":")[0] == folder
            )
            fix = (
                f"beside it there are: {', '.join(beside)}" if beside else "name an artifact target"
            )
        super().__init__(f"{what}; {fix}")


@dataclass(frozen=True)
class SelectionRequest:
    """A request for what the arguments of a goal name.

    Folders and globs mean the artifacts among their targets; an argument that names one other
    target is an error.
    """

    specs: Specs


@dataclass(frozen=True)
class Selection:
    """What a goal was asked about.

    Attributes:
        roots: the addresses of the artifacts, sorted.
        written: the arguments that named them, quoted for a shell.
    """

    roots: tuple[str, ...]
    written: str


def is_meant(literal: AddressLiteralSpec, address: Address) -> bool:
    """Tell whether an argument names just this target, or what generates it."""
    named = literal.to_address()
    return named in (address, address.maybe_convert_to_target_generator())


@rule(desc="Find the named artifacts")
async def select_artifacts(request: SelectionRequest, everything: AllArtifacts) -> Selection:
    included = request.specs.includes
    targets = await resolve_targets(**implicitly(included))
    ignored = await resolve_targets(**implicitly(request.specs.ignores))
    literals = included.address_literals
    found: set[str] = set()
    for target in targets:
        address = target.address.spec
        if address in everything.artifacts:
            found.add(address)
        for literal in literals:
            if address not in everything.artifacts and is_meant(literal, target.address):
                raise NotAnArtifactError(str(literal.to_address()), everything)
    # A bare folder leaves generators out, and to Pants every `artifact` may be one.
    folders = {each.directory for each in included.dir_literals}
    found.update(
        address
        for address, each in everything.artifacts.items()
        if each.address.spec_path in folders
    )
    found.difference_update(target.address.spec for target in ignored)
    written = (
        *literals,
        *included.file_literals,
        *included.file_globs,
        *included.dir_literals,
        *included.dir_globs,
        *included.recursive_globs,
        *included.ancestor_globs,
    )
    return Selection(tuple(sorted(found)), shlex.join(str(each) for each in written))


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
