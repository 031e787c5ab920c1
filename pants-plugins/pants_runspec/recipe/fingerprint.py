"""The fingerprint of a recipe: what its result depends on, found without building anything.

Code is a Merkle digest over the recipe's dependency graph, one rule a node (a target, or the
targets of an import cycle together), so that editing one file recomputes only what is above it. A
Python file counts without comments and without whitespace that has no meaning
(`runspec.source_digest`), any other file by its bytes. The recipe's config YAMLs are left out: they
enter an artifact's key composed, and are digested on their own here.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from pants.backend.python.target_types import PythonSourceField
from pants.backend.python.util_rules.python_sources import PythonSourceFilesRequest
from pants.core.target_types import (
    LockfileSourceField,
    TargetGeneratorSourcesHelperSourcesField,
)
from pants.engine.environment import EnvironmentName
from pants.engine.fs import PathGlobs
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
    get_digest_contents,
    implicitly,
    path_globs_to_digest,
    prepare_python_sources,
    resolve_coarsened_targets,
    rule,
)
from pants_runspec.paths import is_below
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
from runspec import content_digest, source_digest


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
        below: the nodes with code that it depends on; the digest covers them.
    """

    digest: str
    files: tuple[tuple[str, str], ...]
    requirements: tuple[str, ...]
    below: tuple[NodeFingerprint, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class FingerprintRequest:
    """A request for the fingerprint of a recipe."""

    recipe: Recipe


@dataclass(frozen=True)
class Fingerprint:
    """What a recipe's result depends on, beside the values of its config.

    Attributes:
        code: sha256 over its first-party sources.
        environment: sha256 over the locked requirements it can import and its interpreter
            constraints.
        config: sha256 over the bytes of the configs in its config folder and of their bases.
        files: (path, digest) of all its first-party sources, sorted.
        requirements: what it gets from the index.
        root: the node of the recipe's target; `code` covers it.
        other_configs: (path, digest) of the configs that are read like any other file; `code`
            covers them.
    """

    code: str
    environment: str
    config: str
    files: tuple[tuple[str, str], ...]
    requirements: Requirements
    root: NodeFingerprint = field(compare=False, repr=False)
    other_configs: tuple[tuple[str, str], ...] = field(compare=False, repr=False)


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


def config_paths(nodes: Iterable[CoarsenedTarget]) -> tuple[str, ...]:
    """Return the paths of the configs among some nodes, sorted."""
    return tuple(
        sorted(
            target[RunspecConfigSourceField].file_path
            for node in nodes
            for target in node.members
            if target.has_field(RunspecConfigSourceField)
        )
    )


def own_configs(recipe: Recipe, nodes: Iterable[CoarsenedTarget]) -> frozenset[str]:
    """Return the configs that the recipe composes: those of its config folder and their bases."""
    own: set[str] = set()
    for node in nodes:
        paths = config_paths([node])
        if any(is_below(path, recipe.config_dir) for path in paths):
            own.update(config_paths(node.coarsened_closure()))
    return frozenset(own)


@rule(polymorphic=True, level=LogLevel.TRACE)
async def fingerprint_node(
    request: NodeFingerprintRequest, environment_name: EnvironmentName
) -> NodeFingerprint:
    raise NotImplementedError(f"no rule fingerprints {type(request).__name__}")


@rule(desc="Fingerprint sources", level=LogLevel.TRACE)
async def fingerprint_code_node(request: CodeNodeFingerprintRequest) -> NodeFingerprint:
    node = request.node
    code = [target for target in node.members if is_code(target)]
    python = [target for target in code if target.has_field(PythonSourceField)]
    data = [target for target in code if not target.has_field(PythonSourceField)]
    # What the bundle takes: generated and relocated files, and `__init__.py` files that none owns.
    python_files = await prepare_python_sources(
        PythonSourceFilesRequest(python, include_resources=False), **implicitly()
    )
    data_files = await prepare_python_sources(
        PythonSourceFilesRequest(data, include_resources=True, include_files=True), **implicitly()
    )
    modules = await get_digest_contents(python_files.source_files.snapshot.digest)
    others = await get_digest_contents(data_files.source_files.snapshot.digest)
    below = await concurrently(
        fingerprint_node(
            **implicitly({CodeNodeFingerprintRequest(dependency): NodeFingerprintRequest})
        )
        for dependency in node.dependencies
    )
    files = tuple(
        sorted(
            {
                **{file.path: content_digest(file.content) for file in others},
                **{file.path: source_digest(file.path, file.content) for file in modules},
            }.items()
        )
    )
    own_requirements = requirement_strings(tuple(node.members))
    return NodeFingerprint(
        digest_of("node", [files, sorted({child.digest for child in below} - {NO_CODE})]),
        files,
        tuple(sorted({*own_requirements, *(r for child in below for r in child.requirements)})),
        tuple(child for child in below if child.digest != NO_CODE),
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
    own = own_configs(recipe, nodes)
    config_files = await path_globs_to_digest(
        PathGlobs([glob.escape(path) for path in config_paths(nodes)])
    )
    config_contents = await get_digest_contents(config_files)
    config_digests = {
        file.path: hashlib.sha256(file.content).hexdigest() for file in config_contents
    }
    lock = await read_lock(ResolveLockRequest(recipe.resolve), **implicitly())
    (root,) = roots
    by_node = dict(zip(nodes, fingerprints))
    requirements = select_requirements(recipe, by_node[root].requirements, lock)
    # A config that is read like any other file, not composed, is code.
    other_configs = tuple(sorted((p, d) for p, d in config_digests.items() if p not in own))
    return Fingerprint(
        code=digest_of("code", [by_node[root].digest, other_configs]),
        environment=digest_of(
            "environment",
            [
                subset_digest(requirements.locked),
                requirements.unlocked,
                sorted(str(constraint) for constraint in recipe.interpreter_constraints),
            ],
        ),
        config=digest_of(
            "config", sorted((path, d) for path, d in config_digests.items() if path in own)
        ),
        files=tuple(sorted({file for fingerprint in fingerprints for file in fingerprint.files})),
        requirements=requirements,
        root=by_node[root],
        other_configs=other_configs,
    )


def rules() -> Iterable[Rule | UnionRule]:
    return [
        *collect_rules(),
        UnionRule(NodeFingerprintRequest, CodeNodeFingerprintRequest),
    ]
