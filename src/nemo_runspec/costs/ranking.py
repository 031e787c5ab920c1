"""The files of the repository by what editing them makes run again.

A file costs the artifacts whose recipe's code it is part of, or whose config is composed of it
(they run for certain), and all that is made from those (they run unless their inputs come out the
same). Thousands of files come down to few sets of artifacts, so each set is added up once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nemo_runspec.costs.past import Amount, Cost, add_up
from nemo_runspec.pipeline.graph import Graph
from runspec.plan import Plan


@dataclass(frozen=True)
class FileCost:
    """What editing a file makes run.

    Attributes:
        path: from the build root.
        certain: the artifacts that the file is part of.
        at_most: those, and what is made from them.
        artifacts: the names of all of them, in the order in which they are made.
    """

    path: str
    certain: Amount
    at_most: Amount
    artifacts: tuple[str, ...]


def rank_files(graph: Graph, costs: Mapping[str, Cost | None]) -> list[FileCost]:
    """The files of a plan that artifacts depend on, the dearest first.

    Args:
        graph: the artifacts.
        costs: what each took the last time, by address.
    """
    # A set of artifacts is a number: one bit each, in the order in which they are made.
    bit = {artifact.address: 1 << n for n, artifact in enumerate(graph.order)}
    below: dict[str, int] = {}
    for artifact in reversed(graph.order):
        address = artifact.address
        below[address] = bit[address]
        for consumer in graph.consumers[address]:
            below[address] |= below[consumer]

    certain = _parts_of(graph, bit)
    at_most = _parts_of(graph, below)
    sums: dict[int, tuple[Amount, tuple[str, ...]]] = {}

    def sum_of(mask: int) -> tuple[Amount, tuple[str, ...]]:
        if mask not in sums:
            members = [graph.order[n] for n in _bits(mask)]
            amount = add_up(costs.get(each.address) for each in members)
            sums[mask] = (amount, tuple(each.name for each in members))
        return sums[mask]

    found = [
        FileCost(path, sum_of(certain[path])[0], *sum_of(mask)) for path, mask in at_most.items()
    ]
    found.sort(key=lambda each: each.path)
    found.sort(key=lambda each: (each.at_most.rank, each.certain.rank), reverse=True)
    return found


def _parts_of(graph: Graph, masks: Mapping[str, int]) -> dict[str, int]:
    """By file, the sets of all artifacts that it is part of, together.

    Args:
        graph: the artifacts.
        masks: the set that each artifact stands for, by address.
    """
    plan = graph.plan
    of_node = [0] * len(plan.nodes)
    found: dict[str, int] = {}
    for artifact in graph.order:
        mask = masks[artifact.address]
        of_node[plan.recipes[artifact.recipe].node] |= mask
        for path in artifact.chain:
            found[path] = found.get(path, 0) | mask
    for position in _from_above(plan):
        mask = of_node[position]
        if not mask:
            continue
        for below in plan.nodes[position].below:
            of_node[below] |= mask
        for index in plan.nodes[position].files:
            path = plan.files[index][0]
            found[path] = found.get(path, 0) | mask
    return found


def _from_above(plan: Plan) -> Sequence[int]:
    """The nodes of the code, each before those it depends on.

    They make no circles: what imports each other is one node.
    """
    users = [0] * len(plan.nodes)
    for node in plan.nodes:
        for below in node.below:
            users[below] += 1
    order = [position for position, count in enumerate(users) if count == 0]
    for position in order:
        for below in plan.nodes[position].below:
            users[below] -= 1
            if users[below] == 0:
                order.append(below)
    return order


def _bits(mask: int) -> Iterator[int]:
    """The positions of the bits that are set."""
    for position, digit in enumerate(reversed(f"{mask:b}")):
        if digit == "1":
            yield position
