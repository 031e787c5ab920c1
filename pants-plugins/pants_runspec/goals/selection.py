"""Which artifacts a goal was asked about."""

from __future__ import annotations

import dataclasses
import os.path
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pants.base.specs import AddressLiteralSpec, DirGlobSpec, RawSpecs, Specs
from pants.engine.addresses import Address
from pants.engine.rules import Rule, collect_rules
from pants.engine.unions import UnionRule

from pants_runspec.artifact.describe import ArtifactError, made_by
from pants_runspec.artifact.targets import AllArtifacts
from pants_runspec.engine import implicitly, resolve_targets, rule

_SHOWN = 8


class NotAnArtifactError(ArtifactError):
    """A goal was asked about a target or a file that is no artifact.

    Args:
        what: what it is, as in `src/p:train is a recipe`.
        folder: where it is.
        recipes: the recipes that it is, or that it is the script of.
        everything: what there is instead.
    """

    def __init__(
        self, what: str, folder: str, recipes: Sequence[str], everything: AllArtifacts
    ) -> None:
        made = sorted({each for recipe in recipes for each in made_by(recipe, everything)})
        if made:
            fix = f"name what it makes: {listed(made)}"
        elif recipes:
            fix = f'no artifact target has recipe="{recipes[0]}"; write one'
        else:
            fix = hint(folder, everything)
        super().__init__(f"{what}; {fix}")


def listed(things: Sequence[str]) -> str:
    """Return some things in one line, not too many."""
    more = f", … ({len(things) - _SHOWN} more)" if len(things) > _SHOWN else ""
    return ", ".join(things[:_SHOWN]) + more


def hint(folder: str, everything: AllArtifacts) -> str:
    """Say which artifact targets there are, those of a folder or else the folders with some."""
    by_folder: dict[str, set[str]] = {}
    for each in everything.artifacts.values():
        address = each.address.maybe_convert_to_target_generator()
        by_folder.setdefault(address.spec_path, set()).add(address.spec)
    if folder in by_folder:
        return f"beside it there are: {listed(sorted(by_folder[folder]))}"
    if by_folder:
        return f"there are some in {listed([f'{each}::' for each in sorted(by_folder)])}"
    return "this repository has none yet (`help artifact` says how to write one)"


@dataclass(frozen=True)
class SelectionRequest:
    """A request for what the arguments of a goal name.

    Folders, globs and `--changed-since` mean the artifacts among their targets; an argument that
    names one other target, or a file, is an error.
    """

    specs: Specs


@dataclass(frozen=True)
class Selection:
    """What a goal was asked about.

    Attributes:
        roots: the addresses of the artifacts, sorted.
        written: the arguments that named them, quoted for a shell.
        nothing: what to say where they name none.
    """

    roots: tuple[str, ...]
    written: str
    nothing: str


def is_meant(literal: AddressLiteralSpec, address: Address) -> bool:
    """Tell whether an argument names just this target, or what generates it."""
    named = literal.to_address()
    return named in (address, address.maybe_convert_to_target_generator())


def with_generators(specs: RawSpecs) -> RawSpecs:
    """Return specs by which a bare folder means its target generators too.

    To Pants every `artifact` may be one, and `src/p` leaves those out.
    """
    folders = (DirGlobSpec(each.directory) for each in specs.dir_literals)
    return dataclasses.replace(specs, dir_literals=(), dir_globs=(*specs.dir_globs, *folders))


def words(specs: RawSpecs) -> tuple[str, ...]:
    """Return specs as a person writes them."""
    all_of_them = (
        *specs.address_literals,
        *specs.file_literals,
        *specs.file_globs,
        *specs.dir_literals,
        *specs.dir_globs,
        *specs.recursive_globs,
        *specs.ancestor_globs,
    )
    return tuple(str(each) for each in all_of_them)


def check_files(specs: RawSpecs, everything: AllArtifacts) -> None:
    """Raise NotAnArtifactError for the first argument that is a file."""
    for literal in specs.file_literals:
        recipes = [
            address
            for address, each in sorted(everything.recipes.items())
            if each.script.file_path == literal.file
        ]
        what = f"is the script of {recipes[0]}" if recipes else "is a file, not an artifact"
        folder = os.path.dirname(literal.file)
        raise NotAnArtifactError(f"{literal.file} {what}", folder, recipes, everything)


@rule(desc="Find the named artifacts")
async def select_artifacts(request: SelectionRequest, everything: AllArtifacts) -> Selection:
    included, ignored = request.specs.includes, request.specs.ignores
    targets = await resolve_targets(**implicitly(with_generators(included)))
    unwanted = await resolve_targets(**implicitly(with_generators(ignored)))
    found = {each.address.spec for each in targets} & everything.artifacts.keys()
    found.difference_update(each.address.spec for each in unwanted)
    roots = tuple(sorted(found))
    if included.from_change_detection:
        written = shlex.join(roots)
    else:
        check_files(included, everything)
        for target in targets:
            if target.address.spec in everything.artifacts:
                continue
            for literal in included.address_literals:
                if is_meant(literal, target.address):
                    address = str(literal.to_address())
                    is_recipe = address in everything.recipes
                    raise NotAnArtifactError(
                        f"{address} is {'a recipe' if is_recipe else 'no artifact'}",
                        target.address.spec_path,
                        [address] if is_recipe else [],
                        everything,
                    )
        written = shlex.join((*words(included), *(f"-{each}" for each in words(ignored))))
    where = f" in {written}" if written else ""
    return Selection(roots, written, f"no artifact targets{where}; {hint('', everything)}")


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
