"""The fingerprint of a recipe: what its result depends on, found without building anything.

Code is a Merkle digest over the recipe's dependency graph, one rule a node (a target, or the
targets of an import cycle together), so that editing one file recomputes only what is above it. A
Python file counts without comments and without whitespace that has no meaning
(`runspec.source_digest`), any other file by its bytes. The recipe's config YAMLs are left out: they
enter an artifact's key composed, and are digested on their own here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from pants.core.target_types import (
    LockfileSourceField,
    TargetGeneratorSourcesHelperSourcesField,
)
from pants.core.util_rules.source_files import SourceFilesRequest
from pants.engine.environment import EnvironmentName
from pants.engine.rules import Rule, collect_rules
from pants.engine.target import (
    CoarsenedTarget,
    CoarsenedTargetsRequest,
    SourcesField,
    Target,
)
from pants.engine.unions import UnionRule, union
from pants.util.logging import LogLevel

from pants_runspec.engine import (
    concurrently,
    determine_source_files,
    get_digest_contents,
    implicitly,
    resolve_coarsened_targets,
    rule,
)
from pants_runspec.recipe.lockfile import subset_digest
from pants_runspec.recipe.requirements import (
    Requirements,
    ResolveLockRequest,
    read_lock,
    requirement_strings,
    select_requirements,
)
from pants_runspec.recipe.spec import Recipe
from pants_runspec.target_types import RunspecConfigSourceField
from runspec import source_digest


@union(in_scope_types=[EnvironmentName])
@dataclass(frozen=True)
class NodeFingerprintRequest:
    """A request for the fingerprint of one node of the dependency graph.

    A union with a single member: by way of its base, the rule of a node can ask for the nodes below
    it on every Pants.
    """

    node: CoarsenedTarget


@dataclass(frozen=True)
class CodeNodeFingerprintRequest(NodeFingerprintRequest):
    """The member of the union."""


@dataclass(frozen=True)
class NodeFingerprint:
    """What a node and all below it amount to.

    Attributes:
        digest: sha256 over the node's own files and the digests of the nodes it depends on.
        files: (path, `source_digest`) of the node's own files, sorted.
        requirements: PEP 508 strings of the requirement targets in the node and below it, sorted.
    """

    digest: str
    files: tuple[tuple[str, str], ...]
    requirements: tuple[str, ...]


@dataclass(frozen=True)
class FingerprintRequest:
    """A request for the fingerprint of a recipe."""

    recipe: Recipe


@dataclass(frozen=True)
class Fingerprint:
    """What a recipe's result depends on, beside the values of its config.

    Attributes:
        code: sha256 over its first-party sources. environment: sha256 over the locked requirements
        it can import and its interpreter constraints. config: sha256 over the bytes of its config
        YAMLs. files: (path, `source_digest`) of all its first-party sources, sorted. requirements:
        what it gets from the index.
    """

    code: str
    environment: str
    config: str
    files: tuple[tuple[str, str], ...]
    requirements: Requirements


NOT_CODE = (
    LockfileSourceField,
    RunspecConfigSourceField,
    TargetGeneratorSourcesHelperSourcesField,
)


def digest_of(kind: str, value: object) -> str:
    """Return the sha256 of a JSON value in its canonical form, apart from those of other kinds."""
    canonical = json.dumps([kind, value], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


# The digest of a node with no code in it or below it, such as a config or a requirement: it counts
# for nothing, so that one more config leaves the code as it was.
NO_CODE = digest_of("node", [(), []])


def is_code(target: Target) -> bool:
    """Tell whether a target's files are part of the code.

    Configs are not, nor are lockfiles and the files that requirement targets are generated from:
    of those counts what the recipe can import.
    """
    return target.has_field(SourcesField) and not isinstance(target[SourcesField], NOT_CODE)


@rule(polymorphic=True, level=LogLevel.TRACE)
async def fingerprint_node(
    request: NodeFingerprintRequest, environment_name: EnvironmentName
) -> NodeFingerprint:
    raise NotImplementedError(f"no rule fingerprints {type(request).__name__}")


@rule(desc="Fingerprint sources", level=LogLevel.TRACE)
async def fingerprint_code_node(request: CodeNodeFingerprintRequest) -> NodeFingerprint:
    node = request.node
    sources = await determine_source_files(
        SourceFilesRequest(target[SourcesField] for target in node.members if is_code(target))
    )
    contents = await get_digest_contents(sources.snapshot.digest)
    below = await concurrently(
        fingerprint_node(
            **implicitly({CodeNodeFingerprintRequest(dependency): NodeFingerprintRequest})
        )
        for dependency in node.dependencies
    )
    files = tuple(sorted((file.path, source_digest(file.path, file.content)) for file in contents))
    own_requirements = requirement_strings(tuple(node.members))
    return NodeFingerprint(
        digest_of("node", [files, sorted({child.digest for child in below} - {NO_CODE})]),
        files,
        tuple(sorted({*own_requirements, *(r for child in below for r in child.requirements)})),
    )


@rule(desc="Fingerprint recipe")
async def fingerprint_recipe(request: FingerprintRequest) -> Fingerprint:
    recipe = request.recipe
    roots = await resolve_coarsened_targets(
        CoarsenedTargetsRequest([recipe.address], expanded_targets=True), **implicitly()
    )
    nodes = tuple(roots.coarsened_closure())
    fingerprints = await concurrently(
        fingerprint_node(**implicitly({CodeNodeFingerprintRequest(node): NodeFingerprintRequest}))
        for node in nodes
    )
    configs = await determine_source_files(
        SourceFilesRequest(
            target[RunspecConfigSourceField]
            for node in nodes
            for target in node.members
            if target.has_field(RunspecConfigSourceField)
        )
    )
    config_contents = await get_digest_contents(configs.snapshot.digest)
    lock = await read_lock(ResolveLockRequest(recipe.resolve), **implicitly())
    (root,) = roots
    by_node = dict(zip(nodes, fingerprints))
    requirements = select_requirements(recipe, by_node[root].requirements, lock)
    return Fingerprint(
        code=by_node[root].digest,
        environment=digest_of(
            "environment",
            [
                subset_digest(requirements.locked),
                requirements.unlocked,
                sorted(str(constraint) for constraint in recipe.interpreter_constraints),
            ],
        ),
        config=digest_of(
            "config",
            sorted((f.path, hashlib.sha256(f.content).hexdigest()) for f in config_contents),
        ),
        files=tuple(sorted({file for fingerprint in fingerprints for file in fingerprint.files})),
        requirements=requirements,
    )


def rules() -> Iterable[Rule | UnionRule]:
    return [
        *collect_rules(),
        UnionRule(NodeFingerprintRequest, CodeNodeFingerprintRequest),
    ]
