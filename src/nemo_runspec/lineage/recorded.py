"""What was made from what as the store recorded it: manifests alone, whatever the code says now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nemo_runspec.lineage.graph import in_order, kept_side, sorted_edges
from nemo_runspec.lineage.marks import read_marks
from nemo_runspec.lineage.model import Lineage, LineageEdge, LineageNode
from nemo_runspec.lineage.nodes import (
    external_node,
    origin_id,
    origin_key,
    origins,
    version_node,
)
from nemo_runspec.masking import mask_secrets
from nemo_runspec.store.lineage import VersionId, made_from, version_id
from nemo_runspec.store.model import Manifest
from nemo_runspec.store.store import Store
from nemo_runspec.store.survey import Survey, survey

DIRECTIONS = ("upstream", "downstream", "both")


def recorded_lineage(
    store: Store, versions: Sequence[VersionId], direction: str = "upstream"
) -> Lineage:
    """What some versions were made from, what was made from them, or both.

    Upstream only the manifests above them are read, a level at a time; downstream those of the
    whole store, as no version knows what was made from it.

    Args:
        store: the store.
        versions: (name, number) of each.
        direction: one of :data:`DIRECTIONS`.

    Raises:
        ArtifactNotFoundError: there is no such artifact.
        ArtifactVersionNotFoundError: it has no such version.
        StoreError: the store cannot be read, or a manifest is broken.
    """
    everything: Survey | None = None
    if direction == "upstream":
        manifests = manifests_above(store, versions)
    else:
        everything = survey(store)
        manifests = store.manifests(everything.versions)
    for name, number in versions:
        if (name, number) not in manifests:
            store.manifest(name, number)  # says what there is instead
    above = {each.reference: _ids_above(each) for each in manifests.values()}
    roots = tuple(dict.fromkeys(f"{name}:v{number}" for name, number in versions))
    kept = kept_side(roots, above, direction)
    nodes, edges = graph_of(store, kept, manifests, everything)
    return Lineage(roots, nodes, edges, mask_secrets(store.root), direction)


def manifests_above(store: Store, versions: Iterable[VersionId]) -> dict[VersionId, Manifest]:
    """Some versions and all that they were made from, as far as this store has them."""
    found: dict[VersionId, Manifest] = {}
    asked = set(versions)
    level = list(asked)
    while level:
        read = store.manifests(level)
        found.update(read)
        above = dict.fromkeys(one for each in read.values() for one in made_from(each))
        level = [one for one in above if one not in asked]
        asked.update(level)
    return found


def graph_of(
    store: Store,
    kept: Sequence[str],
    manifests: Mapping[VersionId, Manifest],
    seen: Survey | None = None,
) -> tuple[tuple[LineageNode, ...], tuple[LineageEdge, ...]]:
    """Recorded versions, and the data from outside that they were made from, as a graph.

    Args:
        store: the store.
        kept: ids of the versions and of data from outside.
        manifests: of these versions, and of all that they were made from.
        seen: what there is of their artifacts; None to look.

    Returns:
        The nodes in topological order, and the edges between them.
    """
    by_id = {each.reference: each for each in manifests.values()}
    mine = [by_id[one] for one in kept if one in by_id]
    wanted = [(each.name, each.version) for each in mine]
    if seen is None:
        seen = survey(store, {name for name, _ in wanted})
    marks = read_marks(store, seen, wanted, manifests)
    nodes = {each.reference: version_node(each, marks) for each in mine}
    above: dict[str, list[str]] = {}
    edges = []
    inside = set(kept)
    for manifest in mine:
        above[manifest.reference] = ids = []
        for origin in origins(manifest):
            one = origin_id(origin)
            if one not in inside or one in ids:
                continue
            ids.append(one)
            if one not in nodes:
                nodes[one] = external_node(origin)
            used = version_id(origin)
            key = None if used is None else origin_key(manifest, used)
            edges.append(LineageEdge(one, manifest.reference, key))
    order = in_order([one for one in kept if one in nodes], above)
    return tuple(nodes[one] for one in order), sorted_edges(edges)


def _ids_above(manifest: Manifest) -> list[str]:
    return [origin_id(origin) for origin in origins(manifest)]
