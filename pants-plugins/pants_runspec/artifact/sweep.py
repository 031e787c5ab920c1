"""`artifact(sweep=…)`: one artifact for each combination of values of some config keys."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pants.core.goals.package import OutputPathField
from pants.engine.addresses import Address
from pants.engine.rules import Rule, collect_rules
from pants.engine.target import (
    GeneratedTargets,
    GenerateTargetsRequest,
    InvalidFieldException,
    Target,
)
from pants.engine.unions import UnionMembership, UnionRule

from pants_runspec.engine import rule
from pants_runspec.target_types import (
    Artifact,
    ArtifactDependenciesField,
    ArtifactNameField,
    ArtifactOverridesField,
    ArtifactSweepField,
    ArtifactVariant,
    ArtifactVariantField,
    default_artifact_name,
)

# A name of one part of an artifact's name, of a folder in the store and of a generated target.
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


class SweepError(InvalidFieldException):
    """The `sweep` of a target makes no set of artifacts."""

    def __init__(self, address: Address, problem: str) -> None:
        super().__init__(f"{address}: the `{ArtifactSweepField.alias}` field {problem}")


class GenerateArtifactsRequest(GenerateTargetsRequest):
    generate_from = Artifact


@dataclass(frozen=True)
class Variant:
    """One combination of a sweep's values.

    Attributes:
        name: what it is called: `lr-1e-4`, or `lr-1e-4_seed-1`.
        values: by config key, as written.
    """

    name: str
    values: tuple[tuple[str, str], ...]

    @property
    def overrides(self) -> tuple[str, ...]:
        return tuple(f"{key}={value}" for key, value in self.values)


def short_keys(keys: Sequence[str]) -> tuple[str, ...]:
    """Return what each config key is called in names: its last part, or as many of its last parts
    as make it differ from the others."""
    parts = [re.sub(r"\[([^\[\]]*)\]", r".\1", key.lstrip("+")).split(".") for key in keys]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = tuple(".".join(each[-length:]) for each in parts)
        if len(set(names)) == len(names):
            return names
    return tuple(keys)


def variants(address: Address, sweep: Mapping[str, Sequence[str]]) -> tuple[Variant, ...]:
    """Return the cross product of a sweep's values, the last key's changing fastest.

    Raises:
        SweepError: a key has no values, or two combinations have the same name.
    """
    for key, values in sweep.items():
        if not key.lstrip("+"):
            raise SweepError(address, f"has the key {key!r}; write a config key, as in train.lr")
        if not values:
            raise SweepError(address, f"has no values for {key!r}; give one or more")
    shorts = short_keys(tuple(sweep))
    found: dict[str, Variant] = {}
    for values in itertools.product(*sweep.values()):
        name = "_".join(
            _UNFIT.sub("-", f"{short}-{value}") for short, value in zip(shorts, values)
        ).lstrip("._-")
        variant = Variant(name, tuple(zip(sweep, values)))
        if name in found:
            one, other = (", ".join(each.overrides) for each in (found[name], variant))
            raise SweepError(
                address,
                f"gives {one} and {other} the same name, {name}; "
                "write two targets, each with its own values",
            )
        found[name] = variant
    return tuple(found.values())


@rule(desc="Generate the artifacts of a sweep")
async def generate_artifacts(
    request: GenerateArtifactsRequest, union_membership: UnionMembership
) -> GeneratedTargets:
    generator = request.generator
    sweep = generator[ArtifactSweepField].value
    if not sweep:
        return GeneratedTargets(generator, ())
    whole = generator[ArtifactNameField].value or default_artifact_name(generator.address)
    folder = generator[OutputPathField].value or ""
    if not folder or "$" in folder:  # a modern Pants has a template as its default
        path = generator.address.spec_path.replace("/", ".")
        folder = f"{path}/{generator.address.target_name}".lstrip("/")

    def artifact(variant: Variant) -> Target:
        address: Address = request.template_address.create_generated(variant.name)
        overrides = generator[ArtifactOverridesField].value or ()
        return ArtifactVariant(
            {
                **request.template,
                ArtifactDependenciesField.alias: generator[ArtifactDependenciesField].value,
                ArtifactNameField.alias: f"{whole}/{variant.name}",
                ArtifactOverridesField.alias: (*overrides, *variant.overrides),
                ArtifactVariantField.alias: dict(variant.values),
                OutputPathField.alias: f"{folder}/{variant.name}",
            },
            address,
            union_membership,
        )

    return GeneratedTargets(
        generator, [artifact(variant) for variant in variants(generator.address, sweep)]
    )


def rules() -> Iterable[Rule | UnionRule]:
    return [*collect_rules(), UnionRule(GenerateTargetsRequest, GenerateArtifactsRequest)]
