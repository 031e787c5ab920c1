"""Graphs of ids: who is above whom, in which order, and what is left when some are left out."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from nemo_runspec.lineage.model import Lineage, LineageEdge


def reachable(start: Iterable[str], following: Mapping[str, Iterable[str]]) -> list[str]:
    """All that can be got to from some ids, those first; each once, nearest first."""
    found = dict.fromkeys(start)
    waiting = deque(found)
    while waiting:
        for each in following.get(waiting.popleft(), ()):
            if each not in found:
                found[each] = None
                waiting.append(each)
    return list(found)


def turned(above: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """By id, those that have it above them."""
    below: dict[str, list[str]] = {}
    for one, others in above.items():
        for other in others:
            below.setdefault(other, []).append(one)
    return below


def in_order(ids: Sequence[str], above: Mapping[str, Iterable[str]]) -> list[str]:
    """Ids so that what is above stands before what is below.

    Manifests that were written by hand may name each other in a circle: it is entered where it was
    met first.

    Args:
        ids: each once.
        above: by id, those that it is made from; others than ``ids`` are left out.
    """
    wanted = set(ids)
    own = {one: [each for each in above.get(one, ()) if each in wanted] for one in ids}
    missing = {one: len(set(each)) for one, each in own.items()}
    below = turned({one: dict.fromkeys(each) for one, each in own.items()})
    ready = deque(one for one in ids if not missing[one])
    left = iter(ids)
    order: dict[str, None] = {}
    while len(order) < len(wanted):
        if not ready:
            ready.append(next(one for one in left if one not in order))
        one = ready.popleft()
        if one in order:
            continue
        order[one] = None
        for each in below.get(one, ()):
            missing[each] -= 1
            if not missing[each]:
                ready.append(each)
    return list(order)


def kept_side(
    roots: Sequence[str], above: Mapping[str, Collection[str]], direction: str
) -> list[str]:
    """The roots and what is on the side of them that was asked for, nearest first.

    Args:
        roots: ids.
        above: by id, those that it is made from.
        direction: ``upstream``, ``downstream`` or ``both``.
    """
    found: dict[str, None] = dict.fromkeys(roots)
    if direction != "downstream":
        found.update(dict.fromkeys(reachable(roots, above)))
    if direction != "upstream":
        found.update(dict.fromkeys(reachable(roots, turned(above))))
    return list(found)


def only_types(lineage: Lineage, types: Collection[str]) -> Lineage:
    """The roots and the versions of some classes; what was between two of them is one edge.

    Args:
        lineage: the whole.
        types: names of classes, as ``ModelArtifact``.
    """
    kept = {one.id for one in lineage.nodes if one.id in lineage.roots or one.type in types}
    keys = {(each.above, each.below): each.key for each in lineage.edges}
    above: dict[str, list[str]] = {}
    for each in lineage.edges:
        above.setdefault(each.below, []).append(each.above)
    nearest: dict[str, dict[str, None]] = {}
    edges: list[LineageEdge] = []
    for node in lineage.nodes:
        found: dict[str, None] = {}
        for one in above.get(node.id, ()):
            found.update({one: None} if one in kept else nearest.get(one, {}))
        found.pop(node.id, None)
        nearest[node.id] = found
        if node.id in kept:
            edges += [LineageEdge(one, node.id, keys.get((one, node.id))) for one in found]
    nodes = tuple(node for node in lineage.nodes if node.id in kept)
    return replace(lineage, nodes=nodes, edges=sorted_edges(edges))


def sorted_edges(edges: Iterable[LineageEdge]) -> tuple[LineageEdge, ...]:
    """Edges by what is below, their order among its inputs kept."""
    return tuple(sorted(edges, key=lambda each: each.below))
