"""A plan joined with what the store recorded: today's targets, and the version that each has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from nemo_runspec.lineage.graph import in_order, kept_side, reachable, sorted_edges
from nemo_runspec.lineage.model import Kind, Lineage, LineageEdge, LineageNode, State
from nemo_runspec.lineage.nodes import (
    external_node,
    origin_id,
    origins,
)
from nemo_runspec.lineage.recorded import graph_of, manifests_above
from nemo_runspec.masking import mask_secrets
from nemo_runspec.pipeline.decide import State as Planned
from nemo_runspec.pipeline.details import holder_text
from nemo_runspec.pipeline.plan import PlannedNode, PlanResult
from nemo_runspec.pipeline.reason import Category, Reason
from nemo_runspec.pipeline.world import World
from nemo_runspec.store.lineage import VersionId


def joined_lineage(
    world: World, result: PlanResult, addresses: Sequence[str] = (), direction: str = "upstream"
) -> Lineage:
    """The targets of a plan with what the store has of each.

    A target that is fresh is its version; one that is not is a node of its own, with the reasons.
    What a target takes from the store as it is, pinned to a version, stands with all that it was
    made from.

    Args:
        world: what the plan was made in.
        result: the plan.
        addresses: of the targets that are asked for; none for the plan's roots.
        direction: ``upstream``, ``downstream`` (as far as the plan goes) or ``both``.

    Raises:
        UsageError: the plan has no such target.
        StoreError: the store cannot be read, or a manifest is broken.
    """
    graph = world.graph
    asked = [graph.artifact(each).address for each in addresses]
    roots = asked or list(graph.plan.roots)
    kept = set(kept_side(roots, graph.inputs, direction))
    joined = _Joined(world, [node for node in result.nodes if node.address in kept])
    if direction != "downstream":
        joined.add_what_is_taken()
    return joined.lineage(roots, direction)


class _Joined:
    """The graph as it grows.

    Args:
        world: what the plan was made in.
        planned: the targets that are shown.
    """

    def __init__(self, world: World, planned: Sequence[PlannedNode]) -> None:
        self._world = world
        self._planned = planned
        self._nodes: dict[str, LineageNode] = {}
        self._edges: dict[tuple[str, str], str | None] = {}
        versions = {node.address: self._version(node) for node in planned}
        newest = {node.address: self._newest(node) for node in planned}
        recorded = self._read([*versions.values(), *newest.values()])
        self._ids = {
            node.address: self._add_target(
                node, recorded.get(versions[node.address]), recorded.get(newest[node.address])
            )
            for node in planned
        }
        for node in planned:
            for each in node.artifact.inputs:
                if each.artifact in self._ids:
                    self._add_edge(self._ids[each.artifact], node, each.key)

    def add_what_is_taken(self) -> None:
        """Adds what targets take from the store as it is, and the data that no artifact holds."""
        taken: dict[str, VersionId] = {}
        for node in self._planned:
            for each in node.artifact.inputs:
                found = None if each.artifact else self._world.resolve(each.reference)
                if isinstance(found, str):
                    self._nodes.setdefault(*_missing(each.reference, found))
                elif found is not None:
                    taken[each.reference] = (found.store_name, found.version)
        self._add_recorded(list(taken.values()))
        for node in self._planned:
            for each in node.artifact.inputs:
                if each.artifact is None:
                    one = taken.get(each.reference)
                    above = origin_id(each.reference) if one is None else f"{one[0]}:v{one[1]}"
                    self._add_edge(above, node, each.key)
            for uri in node.artifact.external_inputs:
                outside = external_node(uri)
                self._nodes.setdefault(outside.id, outside)
                self._add_edge(outside.id, node, None)

    def lineage(self, roots: Sequence[str], direction: str) -> Lineage:
        """The graph as it is now, seen from some targets."""
        above: dict[str, list[str]] = {}
        for one, below in self._edges:
            above.setdefault(below, []).append(one)
        edges = [LineageEdge(one, below, key) for (one, below), key in self._edges.items()]
        return Lineage(
            roots=tuple(self._ids[address] for address in roots),
            nodes=tuple(self._nodes[one] for one in in_order(list(self._nodes), above)),
            edges=sorted_edges(edges),
            store=mask_secrets(self._world.store.root),
            direction=direction,
        )

    def _version(self, node: PlannedNode) -> VersionId | None:
        """The version that answers to a target's key."""
        if node.version is None or node.key is None:
            return None
        found = self._world.find(node.name, node.key)
        return None if found is None else (found.store_name, found.record.version)

    def _newest(self, node: PlannedNode) -> VersionId | None:
        """The newest version of a target, whatever it was made of."""
        latest = self._world.latest(node.name)
        return None if latest is None else (latest.name, latest.version)

    def _read(self, versions: Iterable[VersionId | None]) -> dict[VersionId | None, LineageNode]:
        """What the store has of some versions; None is none."""
        asked = list(dict.fromkeys(one for one in versions if one is not None))
        manifests = manifests_above(self._world.store, asked)
        ids = [f"{name}:v{number}" for name, number in asked]
        nodes, _ = graph_of(self._world.store, ids, manifests)
        by_id = {each.id: each for each in nodes}
        return {one: by_id[id_] for one, id_ in zip(asked, ids, strict=True) if id_ in by_id}

    def _add_recorded(self, versions: Sequence[VersionId]) -> None:
        """Adds some versions and all that they were made from."""
        manifests = manifests_above(self._world.store, versions)
        above = {each.reference: list(map(origin_id, origins(each))) for each in manifests.values()}
        kept = reachable([f"{name}:v{number}" for name, number in versions], above)
        nodes, edges = graph_of(self._world.store, kept, manifests)
        for each in nodes:
            self._nodes.setdefault(each.id, each)
        for edge in edges:
            self._edges.setdefault((edge.above, edge.below), edge.key)

    def _add_target(
        self, node: PlannedNode, found: LineageNode | None, newest: LineageNode | None
    ) -> str:
        reasons = tuple(each.to_json() for each in _reasons(node))
        if found is None:
            target = LineageNode(
                id=f"target:{node.address}",
                kind=Kind.TARGET,
                name=node.name,
                state=_state(node),
                address=node.address,
                reasons=reasons,
            )
            made = target if newest is None else _with_facts(target, newest)
        else:
            gone = found.gone
            if node.state is Planned.GONE:
                gone = gone or node.why
            made = replace(
                found, state=_state(node), address=node.address, reasons=reasons, gone=gone
            )
        self._nodes[made.id] = made
        return made.id

    def _add_edge(self, above: str, node: PlannedNode, key: str | None) -> None:
        pair = (above, self._ids[node.address])
        keys = [each for each in (self._edges.get(pair), key) if each is not None]
        self._edges[pair] = ", ".join(keys) or None


def _missing(reference: str, why: str) -> tuple[str, LineageNode]:
    """What a target names and the store does not have."""
    found = replace(
        external_node(reference),
        state=State.MISSING,
        reasons=(Reason(Category.BLOCKED, why).to_json(),),
    )
    return found.id, found


def _with_facts(target: LineageNode, newest: LineageNode) -> LineageNode:
    """A target with what there is to say of its newest version; what was said of that stays there:
    revoked, gone, its aliases."""
    return replace(
        target,
        spent=newest.spent,
        metrics=newest.metrics,
        series=newest.series,
        cards=newest.cards,
        log=newest.log,
        document=newest.document,
    )


def _reasons(node: PlannedNode) -> tuple[Reason, ...]:
    if node.holder is None:
        return node.reasons
    return (Reason(Category.RUNNING, f"held by {holder_text(node)}"), *node.reasons)


def _state(node: PlannedNode) -> State:
    is_new = any(reason.category is Category.NEVER_BUILT for reason in node.reasons)
    return State.MISSING if is_new and node.state is Planned.STALE else State(node.state.value)
