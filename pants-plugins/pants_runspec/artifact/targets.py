"""All artifact and recipe targets of the repository, by address and by artifact name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pants.engine.rules import Rule, collect_rules
from pants.engine.target import AllTargets
from pants.engine.unions import UnionRule
from pants.util.frozendict import FrozenDict
from pants.util.logging import LogLevel

from pants_runspec.engine import rule
from pants_runspec.target_types import (
    ArtifactFieldSet,
    ArtifactRecipeField,
    RecipeFieldSet,
    RecipeScriptField,
)


@dataclass(frozen=True)
class AllArtifacts:
    """The artifact targets of the repository and the recipes, by address.

    Attributes:
        artifacts: every artifact; a target with a `sweep` stands as what it generates.
        recipes: every recipe.
        others: the addresses of all other targets.
        by_name: the artifacts of a name; more than one is a mistake.
        groups: the artifacts of a sweep, by the name and by the address of its target.
    """

    artifacts: Mapping[str, ArtifactFieldSet]
    recipes: Mapping[str, RecipeFieldSet]
    others: frozenset[str]
    by_name: Mapping[str, tuple[str, ...]] = field(compare=False)
    groups: Mapping[str, tuple[str, ...]] = field(compare=False)


@rule(desc="Find all artifact targets", level=LogLevel.DEBUG)
async def find_all_artifacts(all_targets: AllTargets) -> AllArtifacts:
    artifacts: dict[str, ArtifactFieldSet] = {}
    recipes: dict[str, RecipeFieldSet] = {}
    others: set[str] = set()
    by_name: dict[str, list[str]] = {}
    groups: dict[str, list[str]] = {}
    for target in all_targets:
        address = target.address.spec
        if target.has_field(ArtifactRecipeField):
            artifact = ArtifactFieldSet.create(target)
            artifacts[address] = artifact
            by_name.setdefault(artifact.name, []).append(address)
            if target.address.is_generated_target:
                suffix = f"/{target.address.generated_name}"
                generator = target.address.maybe_convert_to_target_generator().spec
                for group in (artifact.name[: -len(suffix)], generator):
                    groups.setdefault(group, []).append(address)
        elif target.has_field(RecipeScriptField):
            recipes[address] = RecipeFieldSet.create(target)
        else:
            others.add(address)
    return AllArtifacts(
        FrozenDict(artifacts),
        FrozenDict(recipes),
        frozenset(others),
        FrozenDict({name: tuple(sorted(found)) for name, found in by_name.items()}),
        FrozenDict({name: tuple(found) for name, found in groups.items()}),
    )


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
