"""`plan.json`: the artifacts that a goal is about and all they are made from, for the launcher.

The build side describes, the launcher decides: what is stale depends on the store, which no rule
opens.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    FileContent,
    FileEntry,
    MergeDigests,
    PathGlobs,
)
from pants.engine.rules import Rule, collect_rules
from pants.engine.unions import UnionRule

from pants_runspec.artifact.describe import (
    ArtifactDescription,
    ArtifactError,
    ArtifactRequest,
    ambiguous,
    describe_artifact,
)
from pants_runspec.artifact.targets import AllArtifacts
from pants_runspec.engine import (
    add_prefix,
    concurrently,
    create_digest,
    get_digest_entries,
    implicitly,
    merge_digests,
    path_globs_to_digest,
    rule,
)
from pants_runspec.recipe.bundle import UnownedConfigsError, UnownedScriptError
from pants_runspec.recipe.dependencies import (
    ConfigOwnersRequest,
    ScriptOwnersRequest,
    config_globs,
    find_config_owners,
    find_script_owners,
)
from pants_runspec.recipe.fingerprint import (
    Fingerprint,
    FingerprintRequest,
    NodeFingerprint,
    fingerprint_recipe,
)
from pants_runspec.recipe.spec import Recipe, RecipeRequest, resolve_recipe
from pants_runspec.target_types import ArtifactFieldSet
from runspec import Fingerprints
from runspec.plan import (
    CONFIGS_FOLDER,
    PLAN_FILE,
    Plan,
    PlanArtifact,
    PlanNode,
    PlanRecipe,
    to_json,
)


class DuplicateArtifactNameError(ArtifactError):
    """Two targets have one artifact name."""

    def __init__(self, name: str, addresses: Iterable[str]) -> None:
        super().__init__(ambiguous(f"the artifact {name}", addresses))


class ArtifactCycleError(ArtifactError):
    """Artifacts are made from each other in a circle."""

    def __init__(self, cycle: Sequence[str]) -> None:
        circle = " -> ".join((*cycle, cycle[0]))
        super().__init__(
            f"artifacts are made from each other in a circle: {circle}; "
            "name a version (name:v3) where the last one is meant, not the next"
        )


@dataclass(frozen=True)
class PlanRequest:
    """A request for the plan of some artifacts, by address, and of all they are made from."""

    roots: tuple[str, ...]


@dataclass(frozen=True)
class PlanFolder:
    """What the launcher plans with.

    Attributes:
        digest: `plan.json` and the YAMLs below `configs/`.
        artifacts: the addresses of the artifacts in it.
    """

    digest: Digest
    artifacts: tuple[str, ...]


def find_cycle(above: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the addresses of a circle in a graph, nothing if there is none.

    Args:
        above: what each artifact is made from.
    """
    done: set[str] = set()
    for start in above:
        path: list[str] = []
        on_path: set[str] = set()
        waiting: list[tuple[str, bool]] = [(start, False)]
        while waiting:
            address, is_left = waiting.pop()
            if is_left:
                on_path.discard(path.pop())
                done.add(address)
            elif address in on_path:
                return tuple(path[path.index(address) :])
            elif address not in done:
                path.append(address)
                on_path.add(address)
                waiting.append((address, True))
                waiting.extend((each, False) for each in reversed(above[address]))
    return ()


def problems(
    found: Mapping[str, ArtifactDescription], everything: AllArtifacts
) -> Iterator[ArtifactError]:
    """Yield all that is wrong with some artifacts, as far as they are described."""
    for artifact in found.values():
        if artifact.problem is not None:
            yield ArtifactError(artifact.problem)
    for artifact in found.values():
        # Names belong to the store, so another target's counts wherever it is.
        same = everything.by_name[artifact.name]
        if len(same) > 1:
            yield DuplicateArtifactNameError(artifact.name, same)
    cycle = find_cycle(
        {
            address: tuple(above for above in each.above if above in found)
            for address, each in found.items()
        }
    )
    if cycle:
        yield ArtifactCycleError(cycle)


class _Tables:
    """The tables of a plan that its recipes share: files and nodes, each once."""

    def __init__(self) -> None:
        self.files: list[tuple[str, str]] = []
        self.nodes: list[PlanNode] = []
        self._files: dict[tuple[str, str], int] = {}
        self._nodes: dict[str, int] = {}

    def file(self, path: str, digest: str) -> int:
        position = self._files.setdefault((path, digest), len(self.files))
        if position == len(self.files):
            self.files.append((path, digest))
        return position

    def _add(self, files: Iterable[tuple[str, str]], below: Iterable[int]) -> int:
        own = tuple(self.file(path, digest) for path, digest in files)
        self.nodes.append(PlanNode(own, tuple(below)))
        return len(self.nodes) - 1

    def node(self, root: NodeFingerprint) -> int:
        """Return the position of a node, which is added with all below it unless it is there.

        Nodes that amount to the same are one: their digest covers files and all below.
        """
        waiting = [root]
        while waiting:
            node = waiting[-1]
            if node.digest in self._nodes:
                waiting.pop()
                continue
            missing = [each for each in node.below if each.digest not in self._nodes]
            if missing:
                waiting.extend(missing)
                continue
            waiting.pop()
            below = sorted({self._nodes[each.digest] for each in node.below})
            self._nodes[node.digest] = self._add(node.files, below)
        return self._nodes[root.digest]

    def recipe(self, recipe: Recipe, fingerprint: Fingerprint) -> PlanRecipe:
        node = self.node(fingerprint.root)
        if fingerprint.other_configs:
            node = self._add(fingerprint.other_configs, (node,))
        return PlanRecipe(
            spec=recipe.spec,
            script=recipe.script,
            node=node,
            fingerprints=Fingerprints(
                code=fingerprint.code,
                environment=fingerprint.environment,
                config=fingerprint.config,
            ),
            requirements={p.name: p.version for p in fingerprint.requirements.locked},
            interpreter_constraints=tuple(str(each) for each in recipe.interpreter_constraints),
            inherit_path=bool(recipe.spec.image),
        )


def plan_artifact(field_set: ArtifactFieldSet, artifact: ArtifactDescription) -> PlanArtifact:
    """Return the entry of an artifact whose target has no problem."""
    return PlanArtifact(
        address=artifact.address,
        name=artifact.name,
        recipe=artifact.recipe or "",
        config=field_set.config.value,
        chain=tuple(path for path, _ in artifact.chain),
        overrides=tuple(field_set.overrides.value or ()),
        inputs=artifact.inputs,
        output=field_set.output.value,
        type=field_set.type.value,
        on_failure=field_set.on_failure.value or "",
        external_inputs=tuple(field_set.external_inputs.value or ()),
        key_ignores=tuple(field_set.key_ignores.value or ()),
        content=field_set.content.value or "",
        foreach=field_set.foreach.value,
    )


@rule(desc="Describe the artifact graph")
async def make_plan_folder(request: PlanRequest, everything: AllArtifacts) -> PlanFolder:
    found: dict[str, ArtifactDescription] = {}
    wanted = tuple(dict.fromkeys(request.roots))
    while wanted:
        described = await concurrently(
            describe_artifact(ArtifactRequest(everything.artifacts[address]), **implicitly())
            for address in wanted
        )
        found.update((each.address, each) for each in described)
        above = (address for each in described for address in each.above)
        wanted = tuple(dict.fromkeys(address for address in above if address not in found))
    for problem in problems(found, everything):
        raise problem

    addresses = sorted({each.recipe for each in found.values() if each.recipe is not None})
    recipes = await concurrently(
        resolve_recipe(RecipeRequest(everything.recipes[address]), **implicitly())
        for address in addresses
    )
    script_owners = await concurrently(
        find_script_owners(ScriptOwnersRequest(recipe.script, recipe.resolve), **implicitly())
        for recipe in recipes
    )
    config_owners = await concurrently(
        find_config_owners(ConfigOwnersRequest(config_globs(recipe.config_dir)))
        for recipe in recipes
    )
    for recipe, scripts, owned in zip(recipes, script_owners, config_owners):
        # Code that no target owns would count for nothing.
        if not scripts.addresses:
            raise UnownedScriptError(recipe)
        if owned.unowned:
            raise UnownedConfigsError(recipe, owned.unowned)
    fingerprints = await concurrently(
        fingerprint_recipe(FingerprintRequest(recipe), **implicitly()) for recipe in recipes
    )
    paths = sorted({path for each in found.values() for path, _ in each.chain})
    configs = await path_globs_to_digest(PathGlobs([glob.escape(path) for path in paths]))
    entries = await get_digest_entries(configs)

    tables = _Tables()
    planned = {
        address: tables.recipe(recipe, fingerprint)
        for address, recipe, fingerprint in zip(addresses, recipes, fingerprints)
    }
    for entry in entries:
        if isinstance(entry, FileEntry):
            tables.file(entry.path, entry.file_digest.fingerprint)
    plan = Plan(
        files=tuple(tables.files),
        nodes=tuple(tables.nodes),
        recipes=planned,
        artifacts=tuple(
            plan_artifact(everything.artifacts[address], each)
            for address, each in sorted(found.items())
        ),
        roots=tuple(sorted(set(request.roots))),
    )
    document = await create_digest(CreateDigest([FileContent(PLAN_FILE, to_json(plan).encode())]))
    below = await add_prefix(AddPrefix(configs, CONFIGS_FOLDER))
    digest = await merge_digests(MergeDigests([document, below]))
    return PlanFolder(digest, tuple(sorted(found)))


def rules() -> Iterable[Rule | UnionRule]:
    return collect_rules()
