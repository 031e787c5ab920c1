"""What one artifact target says: its recipe, the chain of its config, what it is made from.

A target that cannot be understood is described too, with the problem: only the goals that need the
artifact fail, never `list ::` or `dependents`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from pants.engine.addresses import Address, AddressInput
from pants.engine.rules import Rule, collect_rules
from pants.engine.unions import UnionRule
from pants.util.logging import LogLevel

from pants_runspec.artifact.configs import (
    ChainRequest,
    artifact_references,
    override_problem,
    read_chain,
    with_overrides,
)
from pants_runspec.artifact.targets import AllArtifacts
from pants_runspec.engine import rule
from pants_runspec.recipe.spec import (
    ConfigDirOutsideError,
    ScriptRequest,
    config_dir,
    overridden,
    parse_script,
    script_path,
)
from pants_runspec.target_types import ArtifactFieldSet
from runspec.errors import one_line
from runspec.plan import PlanInput
from runspec.references import REFERENCE, is_artifact_name

# An entry of `inputs` that is no address: it says a version.
_VERSIONED = re.compile(r"[^:]+:(?:latest|v?[0-9]+)")
_OVERRIDE = re.compile(r"\+?[^=\s]+=", re.DOTALL)
_FOREACH = re.compile(r"[^:]+:[^:]+")
_SHOWN = 8


class ArtifactError(Exception):
    """A goal needs an artifact whose target cannot be understood; one line."""


@dataclass(frozen=True)
class ArtifactRequest:
    """A request for what an artifact target says."""

    field_set: ArtifactFieldSet


@dataclass(frozen=True)
class ArtifactDescription:
    """What an artifact target says, as far as it can be understood.

    Attributes:
        address: the target's.
        name: the artifact's name in the store.
        recipe: address of the recipe that makes it, None if there is no such recipe.
        chain: path and content of each YAML that its config is composed of.
        inputs: what it is made from, in order.
        problem: what is wrong with the target, in one line; None if nothing.
    """

    address: str
    name: str
    recipe: str | None = None
    chain: tuple[tuple[str, str], ...] = ()
    inputs: tuple[PlanInput, ...] = ()
    problem: str | None = None

    @property
    def above(self) -> tuple[str, ...]:
        """The addresses of the artifacts that it is made from."""
        return tuple(each.artifact for each in self.inputs if each.artifact is not None)


class _Problem(Exception):
    """What is wrong with a target, without its address."""


def nearest(wanted: str, there: Collection[str], kind: str) -> str:
    """Say what there is instead of something that there is not."""
    close = difflib.get_close_matches(wanted, sorted(there), n=1)
    if close:
        return f"did you mean {close[0]}?"
    if not there:
        return f"there are no {kind}"
    more = ", …" if len(there) > _SHOWN else ""
    return f"{kind}: {', '.join(sorted(there)[:_SHOWN])}{more}"


def written_address(text: str, owner: Address) -> str:
    """Return an address as it is spelt in full.

    Raises:
        _Problem: it is no address.
    """
    try:
        written = AddressInput.parse(
            text,
            relative_to=owner.spec_path,
            description_of_origin=f"the target {owner}",
        )
        address: Address = written.dir_to_address()
    except Exception as error:  # Pants has no common class for what can be wrong with an address
        raise _Problem(f"{text!r}, which is no address: {one_line(str(error))}") from error
    return address.spec


def find_recipe(field_set: ArtifactFieldSet, everything: AllArtifacts) -> str:
    """Return the address of the recipe that a target names.

    Raises:
        _Problem: there is no such recipe.
    """
    field, written = field_set.recipe.alias, field_set.recipe.value
    try:
        address = written_address(written, field_set.address)
    except _Problem as problem:
        raise _Problem(f"the `{field}` field names {problem}") from None
    if address in everything.recipes:
        return address
    if address in everything.artifacts or address in everything.others:
        what = "which is no runspec_recipe"
    else:
        what = "and there is no such target"
    hint = nearest(address, everything.recipes, "recipes")
    raise _Problem(f"the `{field}` field names {written!r}, {what}; {hint}")


def made_by(recipe: str, everything: AllArtifacts) -> tuple[str, ...]:
    """Return the targets whose artifacts a recipe makes, sorted; for a sweep its own target."""
    found: set[str] = set()
    for field_set in everything.artifacts.values():
        try:
            is_maker = find_recipe(field_set, everything) == recipe
        except _Problem:
            continue
        if is_maker:
            found.add(field_set.address.maybe_convert_to_target_generator().spec)
    return tuple(sorted(found))


def ambiguous(reference: str, found: Iterable[str]) -> str:
    """Say that an artifact's name belongs to several targets."""
    return (
        f"{reference} can be any of {', '.join(sorted(found))}, which have the same artifact name; "
        "give each an `artifact_name` of its own"
    )


def named(reference: str, key: str | None, everything: AllArtifacts) -> tuple[PlanInput, ...]:
    """Return the inputs that a reference of a config, or one with a version, means.

    Raises:
        _Problem: it can mean several targets, or only the job knows what it means.
    """
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise _Problem(
            f"which artifact {reference!r} names is known in the job alone; write its name, as in "
            "name:latest, in the config or in `overrides`"
        )
    name, version = match["name"], match["version"] or match["alias"] or "latest"
    if version != "latest":
        version = f"v{version}" if version.isdecimal() else version
        return (PlanInput(f"{name}:{version}", key),)
    own, group = everything.by_name.get(name, ()), everything.groups.get(name, ())
    if len(own) > 1 or (own and group):
        raise _Problem(ambiguous(f"`{reference}`", {*own, *group}))
    members = own or group
    if not members:
        return (PlanInput(f"{name}:latest", key),)
    return tuple(member(address, key, everything) for address in members)


def named_by_config(
    references: Mapping[str, str], everything: AllArtifacts
) -> tuple[tuple[PlanInput, ...], str | None]:
    """Return the inputs that the references of a config mean, and the first problem with one.

    Args:
        references: by key of the `run` section.
        everything: the artifact targets there are.
    """
    inputs: list[PlanInput] = []
    problem: str | None = None
    for key, reference in references.items():
        try:
            inputs.extend(named(reference, key, everything))
        except _Problem as error:
            problem = problem or f"run.{key}: {error}"
    return tuple(inputs), problem


def member(address: str, key: str | None, everything: AllArtifacts) -> PlanInput:
    """Return the input that an artifact target is."""
    return PlanInput(f"{everything.artifacts[address].name}:latest", key, address)


def given(field_set: ArtifactFieldSet, everything: AllArtifacts) -> tuple[PlanInput, ...]:
    """Return the inputs that a target names itself, in order.

    Raises:
        _Problem: there is no such artifact.
    """
    field = field_set.inputs.alias
    found: list[PlanInput] = []
    for written in field_set.inputs.value or ():
        if _VERSIONED.fullmatch(written) and not written.startswith(("//", ":")):
            match = REFERENCE.fullmatch(written)
            if match is None or not is_artifact_name(match["name"]):
                raise _Problem(
                    f"the `{field}` field names {written!r}, which can be no artifact; write an "
                    "address, name:v3 or name:latest"
                )
            found.extend(named(written, None, everything))
            continue
        try:
            address = written_address(written, field_set.address)
        except _Problem as problem:
            raise _Problem(f"the `{field}` field names {problem}") from None
        if address in everything.artifacts:
            found.append(member(address, None, everything))
        elif address in everything.groups:
            found.extend(member(each, None, everything) for each in everything.groups[address])
        else:
            there = address in everything.recipes or address in everything.others
            what = "which is no artifact" if there else "and there is no such target"
            hint = nearest(address, everything.artifacts, "artifacts")
            raise _Problem(
                f"the `{field}` field names {written!r}, {what}; {hint} "
                "(an artifact of the store alone is name:v3 or name:latest)"
            )
    return tuple(found)


def merged(explicit: Iterable[PlanInput], inferred: Iterable[PlanInput]) -> tuple[PlanInput, ...]:
    """Return the explicit inputs and then the inferred ones, each once.

    One that is both keeps its place, and the key that the config has for it.
    """
    inputs: dict[tuple[str, str | None], PlanInput] = {}
    for each in explicit:
        inputs.setdefault((each.reference, each.artifact), each)
    unkeyed = set(inputs)
    for each in inferred:
        place = (each.reference, each.artifact)
        if place in unkeyed:
            unkeyed.discard(place)
            inputs[place] = each
        elif place not in inputs:
            inputs[place] = each
        else:
            # Two keys for one artifact: both can stand in `${art:KEY}`.
            inputs[(f"{each.key}={each.reference}", each.artifact)] = each
    return tuple(inputs.values())


def check_values(field_set: ArtifactFieldSet) -> None:
    """Raise _Problem for a value that no other target or file is needed to refuse."""
    if not is_artifact_name(field_set.name):
        raise _Problem(
            f"the `{field_set.artifact_name.alias}` field is {field_set.name!r}, which cannot be "
            "the name of an artifact; write letters, digits, '.', '_', '-', in parts separated by "
            "'/', none of them 'latest', 'keys', 'aliases', a version or with '_' in front"
        )
    for override in field_set.overrides.value or ():
        if not _OVERRIDE.match(override):
            raise _Problem(
                f"the `{field_set.overrides.alias}` field has {override!r}; write key=value, "
                "as in train.lr=1e-4"
            )
    foreach = field_set.foreach.value
    if foreach is not None and not _FOREACH.fullmatch(foreach):
        raise _Problem(
            f"the `{field_set.foreach.alias}` field is {foreach!r}; write KEY:FIELD, as in "
            "data:shards"
        )


@rule(desc="Read an artifact target", level=LogLevel.DEBUG)
async def describe_artifact(
    request: ArtifactRequest, everything: AllArtifacts
) -> ArtifactDescription:
    field_set = request.field_set
    address, name = field_set.address.spec, field_set.name
    recipe: str | None = None
    inputs: tuple[PlanInput, ...] = ()
    try:
        recipe = find_recipe(field_set, everything)
        check_values(field_set)
        inputs = given(field_set, everything)
    except _Problem as error:
        text = one_line(f"{address}: {error}")
        return ArtifactDescription(address, name, recipe, problem=text)
    target = everything.recipes[recipe]
    script = script_path(target)
    parsed = await parse_script(ScriptRequest(script))
    if parsed.spec is None:
        text = one_line(f"{address}: its recipe {recipe} is broken: {parsed.problem}")
        return ArtifactDescription(address, name, recipe, inputs=inputs, problem=text)
    spec = overridden(parsed.spec, target)
    written = field_set.config.value
    try:
        folder = config_dir(script, spec)
    except ConfigDirOutsideError as error:
        text = one_line(f"{address}: its recipe {recipe} is broken: {error}")
        return ArtifactDescription(address, name, recipe, inputs=inputs, problem=text)
    chain = await read_chain(
        ChainRequest(written or spec.config.default, folder, in_build_root=bool(written))
    )
    if chain.problem is not None:
        what = f"the `{field_set.config.alias}` field" if written else f"of its recipe {recipe}"
        text = one_line(f"{address}: {what}: {chain.problem}")
        return ArtifactDescription(address, name, recipe, inputs=inputs, problem=text)
    references = dict(chain.references)
    overrides = field_set.overrides.value or ()
    if overrides:
        references = artifact_references(with_overrides(chain.config, overrides))
    inferred, wrong = named_by_config(references, everything)
    unknown = override_problem(chain.config, overrides)
    if unknown is not None:
        wrong = f"the `{field_set.overrides.alias}` field has {unknown}"
    problem = None if wrong is None else one_line(f"{address}: {wrong}")
    inputs = merged(inputs, inferred)
    if any(each.artifact == address for each in inputs):
        problem = problem or (
            f"{address}: it is made from itself ({name}:latest); name a version, as in {name}:v1"
        )
    foreach = field_set.foreach.value
    if foreach and problem is None:
        wanted = foreach.partition(":")[0]
        keys = {each.key for each in inputs if each.key}
        if wanted not in keys:
            problem = (
                f"{address}: the `{field_set.foreach.alias}` field names {wanted!r}, which the "
                f"config's `run` section does not; {nearest(wanted, keys, 'it names')}"
            )
    return ArtifactDescription(address, name, recipe, chain.files, inputs, problem)


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
