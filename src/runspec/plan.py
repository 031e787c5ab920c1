"""`plan.json`: the artifact targets of a command line and all they build on, schema "1".

The build side writes it, the run side reads it; it is the second of the two documents they share.
The YAML configs that it names lie beside it, below `configs/`, at their paths in the build root.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from runspec import fields
from runspec.bundle import Fingerprints
from runspec.errors import InvalidPlanError, PathLike
from runspec.fields import FieldProblem
from runspec.mapping import FrozenMapping
from runspec.models import Runspec

SCHEMA = "1"

PLAN_FILE = "plan.json"
CONFIGS_FOLDER = "configs"

ON_FAILURE = ("fail", "skip")
CONTENT_MODES = ("hash", "stat", "none")


@dataclass(frozen=True)
class PlanNode:
    """A part of the first-party code: a target, or the targets of an import cycle together.

    Args:
        files: its own files, as positions in the plan's `files`.
        below: the nodes it depends on, as positions in the plan's `nodes`.
    """

    files: tuple[int, ...]
    below: tuple[int, ...]


@dataclass(frozen=True)
class PlanRecipe:
    """A recipe that makes artifacts.

    Args:
        spec: the recipe's runspec with the overrides of its target.
        script: the script's path in the build root.
        node: its code, as a position in the plan's `nodes`.
        fingerprints: of what decides what the job computes.
        requirements: version of each locked third-party distribution it can import, by name.
        interpreter_constraints: the interpreters it runs on.
        inherit_path: whether packages that the interpreter has count too, as in an image.
    """

    spec: Runspec
    script: str
    node: int
    fingerprints: Fingerprints
    requirements: Mapping[str, str] = FrozenMapping()
    interpreter_constraints: tuple[str, ...] = ()
    inherit_path: bool = False


@dataclass(frozen=True)
class PlanInput:
    """What an artifact is made from.

    Args:
        reference: `name`, `name:latest` or, by version, `name:v3`.
        key: the key of the config's `run` section that names it; None when the target alone does.
        artifact: address of the artifact target that makes it; None when it is taken from the store
            as it is: it is pinned to a version, or no target has that name.
    """

    reference: str
    key: Optional[str] = None
    artifact: Optional[str] = None


@dataclass(frozen=True)
class PlanArtifact:
    """An `artifact` target.

    Args:
        address: the target's.
        name: the artifact's name in the store.
        recipe: address of the recipe that makes it.
        config: the config as the target names it; None for the recipe's default.
        chain: the YAML files it is composed of, by path in the build root, the config itself last.
        overrides: `key=value` each, as on a command line.
        inputs: what it is made from, in order; a generator stands as its members.
        output: the data below the build's output folder; None when the script logs the artifact.
        type: the artifact's class, where the target says it.
        on_failure: `fail`, or `skip`: a join goes on without it.
        external_inputs: paths and URLs of data that no artifact holds.
        key_ignores: config keys that count for nothing.
        content: how its content is digested when it is logged: `hash`, `stat` or `none`.
        foreach: `KEY:FIELD` of an input whose field is a list: one job for each element.
    """

    address: str
    name: str
    recipe: str
    config: Optional[str] = None
    chain: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    inputs: tuple[PlanInput, ...] = ()
    output: Optional[str] = None
    type: Optional[str] = None
    on_failure: str = "fail"
    external_inputs: tuple[str, ...] = ()
    key_ignores: tuple[str, ...] = ()
    content: str = "hash"
    foreach: Optional[str] = None


@dataclass(frozen=True)
class Plan:
    """The graph that a command line is about.

    Args:
        files: (path in the build root, digest) of every first-party file and config.
        nodes: the code's dependency graph, shared by all recipes.
        recipes: by address.
        artifacts: those asked for and all they are made from, in any order.
        roots: addresses of those asked for.
        schema: version of the document.
    """

    files: tuple[tuple[str, str], ...] = ()
    nodes: tuple[PlanNode, ...] = ()
    recipes: Mapping[str, PlanRecipe] = field(default_factory=dict)
    artifacts: tuple[PlanArtifact, ...] = ()
    roots: tuple[str, ...] = ()
    schema: str = SCHEMA

    def files_of(self, recipe: str) -> dict[str, str]:
        """Return the digest of each first-party source of a recipe, by path."""
        found: dict[str, str] = {}
        seen: set[int] = set()
        waiting = [self.recipes[recipe].node]
        while waiting:
            position = waiting.pop()
            if position not in seen:
                seen.add(position)
                found.update(self.files[index] for index in self.nodes[position].files)
                waiting.extend(self.nodes[position].below)
        return found


def to_json(plan: Plan) -> str:
    """Return the document, the same text for the same plan on every machine."""
    document = {
        "schema": plan.schema,
        "files": [list(each) for each in plan.files],
        "nodes": [{"files": list(n.files), "below": list(n.below)} for n in plan.nodes],
        "recipes": {address: _recipe_table(each) for address, each in plan.recipes.items()},
        "artifacts": [_artifact_table(each) for each in plan.artifacts],
        "roots": list(plan.roots),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n"


def _recipe_table(recipe: PlanRecipe) -> dict[str, Any]:
    return {
        "spec": recipe.spec.to_dict(),
        "script": recipe.script,
        "node": recipe.node,
        "fingerprints": {
            "code": recipe.fingerprints.code,
            "environment": recipe.fingerprints.environment,
            "config": recipe.fingerprints.config,
        },
        "requirements": dict(recipe.requirements),
        "interpreter_constraints": list(recipe.interpreter_constraints),
        "inherit_path": recipe.inherit_path,
    }


def _artifact_table(artifact: PlanArtifact) -> dict[str, Any]:
    table = {
        "address": artifact.address,
        "name": artifact.name,
        "recipe": artifact.recipe,
        "config": artifact.config,
        "chain": list(artifact.chain),
        "overrides": list(artifact.overrides),
        "inputs": [
            {"reference": each.reference, "key": each.key, "artifact": each.artifact}
            for each in artifact.inputs
        ],
        "output": artifact.output,
        "type": artifact.type,
        "on_failure": artifact.on_failure,
        "external_inputs": list(artifact.external_inputs),
        "key_ignores": list(artifact.key_ignores),
        "content": artifact.content,
        "foreach": artifact.foreach,
    }
    return {key: value for key, value in table.items() if value is not None}


def read_plan(folder: Path) -> Plan:
    """Return the plan in a folder.

    Raises:
        InvalidPlanError: there is none, or it is not what this version reads.
    """
    path = folder / PLAN_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidPlanError(
            path, None, f"cannot be read: {error}", "`pants plan` makes one"
        ) from None
    return from_json(text, path)


def from_json(text: str, path: PathLike) -> Plan:
    """Return the plan that a document describes; unknown keys, of a later version, are ignored.

    Args:
        text: the document.
        path: its file, for messages.

    Raises:
        InvalidPlanError: another major schema, no JSON, a missing key or a wrong value.
    """
    fix = "make it anew"
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidPlanError(
            path, error.lineno, f"the plan is no JSON: {error.msg}", fix
        ) from None
    except RecursionError:
        raise InvalidPlanError(path, None, "the plan is nested too deep", fix) from None
    try:
        if not isinstance(document, dict):
            raise FieldProblem((), "the plan is no JSON object", fix)
        return _plan(document)
    except FieldProblem as problem:
        name = f"{'.'.join(problem.keys)} " if problem.keys else ""
        raise InvalidPlanError(path, None, f"{name}{problem.problem}", problem.fix) from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        problem_text = f"the plan is not whole: {type(error).__name__}: {error}"
        raise InvalidPlanError(path, None, problem_text, fix) from None


def _plan(document: Mapping[str, Any]) -> Plan:
    schema = fields.string(document, ("schema",), "")
    if schema.partition(".")[0] != SCHEMA:
        raise FieldProblem(
            ("schema",),
            f"is {fields.show(schema)}, and this version reads {fields.show(SCHEMA)}",
            "use the launcher that belongs to the plugin",
        )
    files = tuple((str(path), str(digest)) for path, digest in document["files"])
    nodes = tuple(
        PlanNode(_positions(each["files"], len(files)), _positions(each["below"], None))
        for each in document["nodes"]
    )
    for node in nodes:
        _positions(node.below, len(nodes))
    recipes = {
        address: _recipe(address, table, len(nodes))
        for address, table in document["recipes"].items()
    }
    artifacts = tuple(_artifact(table) for table in document["artifacts"])
    addresses = {each.address for each in artifacts}
    if len(addresses) < len(artifacts):
        raise FieldProblem(("artifacts",), "holds an address twice", "make it anew")
    for each in artifacts:
        if each.recipe not in recipes:
            _missing((each.address, "recipe"), each.recipe)
        for one in each.inputs:
            if one.artifact is not None and one.artifact not in addresses:
                _missing((each.address, "inputs"), one.artifact)
    roots = tuple(map(str, document["roots"]))
    for root in roots:
        if root not in addresses:
            _missing(("roots",), root)
    return Plan(files, nodes, recipes, artifacts, roots, schema)


def _positions(values: Iterable[Any], end: Optional[int]) -> tuple[int, ...]:
    found = tuple(values)
    for value in found:
        if type(value) is not int or value < 0 or (end is not None and value >= end):
            raise FieldProblem((), f"the plan names {fields.show(value)}, which is no position", "")
    return found


def _missing(keys: tuple[str, ...], name: str) -> None:
    raise FieldProblem(keys, f"names {name}, which the plan does not hold", "make it anew")


def _recipe(address: str, table: Mapping[str, Any], nodes: int) -> PlanRecipe:
    prints = table["fingerprints"]
    (node,) = _positions([table["node"]], nodes)
    script = fields.string(table, ("recipes", address, "script"), "")
    return PlanRecipe(
        spec=Runspec.from_dict(table["spec"], Path(script)),
        script=script,
        node=node,
        fingerprints=Fingerprints(prints["code"], prints["environment"], prints["config"]),
        requirements=FrozenMapping(fields.string_table(table, ("recipes", "requirements"))),
        interpreter_constraints=fields.strings(table, ("recipes", "interpreter_constraints")),
        inherit_path=fields.boolean(table, ("recipes", "inherit_path"), False),
    )


def _artifact(table: Mapping[str, Any]) -> PlanArtifact:
    address = str(table["address"])
    return PlanArtifact(
        address=address,
        name=fields.string(table, (address, "name"), ""),
        recipe=fields.string(table, (address, "recipe"), ""),
        config=fields.optional_string(table, (address, "config")),
        chain=tuple(_inside(path, address) for path in fields.strings(table, (address, "chain"))),
        overrides=fields.strings(table, (address, "overrides")),
        inputs=tuple(
            PlanInput(
                str(each["reference"]),
                fields.optional_string(each, (address, "inputs", "key")),
                fields.optional_string(each, (address, "inputs", "artifact")),
            )
            for each in table.get("inputs", ())
        ),
        output=fields.optional_string(table, (address, "output")),
        type=fields.optional_string(table, (address, "type")),
        on_failure=_choice(table, (address, "on_failure"), ON_FAILURE),
        external_inputs=fields.strings(table, (address, "external_inputs")),
        key_ignores=fields.strings(table, (address, "key_ignores")),
        content=_choice(table, (address, "content"), CONTENT_MODES),
        foreach=fields.optional_string(table, (address, "foreach")),
    )


def _inside(path: str, address: str) -> str:
    """Return the path of a config, which lies below the plan's folder."""
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise FieldProblem(
            (address, "chain"), f"is {fields.show(path)}, outside the build root", "make it anew"
        )
    return path


def _choice(table: Mapping[str, Any], keys: tuple[str, ...], choices: tuple[str, ...]) -> str:
    value = fields.string(table, keys, choices[0])
    if value not in choices:
        raise FieldProblem(keys, f"is {fields.show(value)}", f"use one of {', '.join(choices)}")
    return value
