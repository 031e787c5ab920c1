"""What an artifact target depends on: its recipe, its config's YAMLs, the artifacts it is made
from."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.addresses import Address
from pants.engine.rules import Rule, collect_rules
from pants.engine.target import FieldSet, InferDependenciesRequest, InferredDependencies
from pants.engine.unions import UnionRule

from pants_runspec.artifact.describe import ArtifactRequest, describe_artifact
from pants_runspec.artifact.targets import AllArtifacts
from pants_runspec.engine import implicitly, rule
from pants_runspec.recipe.dependencies import ConfigOwnersRequest, find_config_owners
from pants_runspec.target_types import ArtifactDependenciesField, ArtifactRecipeField


@dataclass(frozen=True)
class ArtifactDependenciesFieldSet(FieldSet):
    """What dependency inference reads of an artifact target."""

    required_fields = (ArtifactRecipeField, ArtifactDependenciesField)

    dependencies: ArtifactDependenciesField


class InferArtifactDependencies(InferDependenciesRequest):
    infer_from = ArtifactDependenciesFieldSet


@rule(desc="Infer dependencies of an artifact")
async def infer_artifact_dependencies(
    request: InferArtifactDependencies, everything: AllArtifacts
) -> InferredDependencies:
    field_set = everything.artifacts.get(request.field_set.address.spec)
    if field_set is None:
        # The generator of a sweep: Pants adds what it generates.
        return InferredDependencies([])
    artifact = await describe_artifact(ArtifactRequest(field_set), **implicitly())
    paths = tuple(glob.escape(path) for path, _ in artifact.chain)
    addresses: list[Address] = []
    if paths:
        owners = await find_config_owners(ConfigOwnersRequest(paths))
        addresses.extend(owners.addresses)
    if artifact.recipe is not None:
        addresses.append(everything.recipes[artifact.recipe].address)
    addresses.extend(everything.artifacts[each].address for each in artifact.above)
    return InferredDependencies(
        address for address in addresses if address != request.field_set.address
    )


def rules() -> Iterable[Rule | UnionRule]:
    return [*collect_rules(), UnionRule(InferDependenciesRequest, InferArtifactDependencies)]
