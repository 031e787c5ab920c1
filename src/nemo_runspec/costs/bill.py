"""The bill of a plan: what it makes run, by artifact, and by what causes it.

An artifact that runs because of what it is made from is charged to what made that stale, however
far above: to the file that was edited, the config key, the requirement. One with several causes is
charged to each, so the causes add up to more than the whole; what taking one of them back would
save is its ``alone``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nemo_runspec.costs.past import Amount, Cost, add_up
from nemo_runspec.pipeline.decide import State
from nemo_runspec.pipeline.plan import PlannedNode, PlanResult
from nemo_runspec.pipeline.reason import Category, Reason

_RUNS = (State.STALE, State.DEPENDS)
# What somebody else is making comes out as something that nobody knows yet, too.
_OPEN = (*_RUNS, State.RUNNING)
MOST_LISTED = 20
"""How many a document lists of what an entry of it stands for; its counts are of all. Where each of
1,000 artifacts in a chain has a cause of its own, the whole lists would be half a million long."""


@dataclass(frozen=True)
class Cause:
    """What makes artifacts run.

    Attributes:
        category: what kind of thing it is.
        what: the file, config key, requirement …; for some categories the whole sentence.
        text: it as part of a sentence: ``src/model.py changed``.
    """

    category: Category
    what: str
    text: str


@dataclass(frozen=True)
class Charge:
    """What one cause makes run.

    Attributes:
        cause: the cause.
        certain: what runs for certain.
        at_most: that, and what runs unless its inputs come out the same.
        alone: of `at_most`, what nothing else causes.
        artifacts: the names of all of them, in the order in which they run.
    """

    cause: Cause
    certain: Amount
    at_most: Amount
    alone: Amount
    artifacts: tuple[str, ...]


@dataclass(frozen=True)
class Item:
    """An artifact that runs, or may run.

    Attributes:
        address: of its target.
        name: its name.
        state: ``stale``: for certain; ``depends``: unless its inputs come out the same.
        cost: what it took the last time; None where that is not known.
        causes: why, however far above; never empty.
    """

    address: str
    name: str
    state: State
    cost: Cost | None
    causes: tuple[Cause, ...]


@dataclass(frozen=True)
class Bill:
    """What a plan makes run.

    Attributes:
        certain: what runs for certain.
        at_most: that, and what runs unless its inputs come out the same.
        items: the artifacts, in the order in which they run.
        charges: by cause, the dearest first.
    """

    certain: Amount
    at_most: Amount
    items: tuple[Item, ...]
    charges: tuple[Charge, ...]

    def text(self) -> str:
        """The total in a sentence; empty where nothing runs."""
        if not self.items:
            return ""
        unknown = self.at_most.unknown
        if self.at_most.text() == "unknown":
            return f"What it costs is not known: {_unknown_text(unknown)}."
        most = _known_text(self.at_most)
        certain = _known_text(self.certain)
        told = most if certain == most else f"{certain} for certain, {most} at most"
        more = f"; not in it: {_unknown_text(unknown)}" if unknown else ""
        return f"{told}, as the last time{more}."


def bill_of(result: PlanResult) -> Bill:
    """The bill of a plan."""
    causes = _causes(result)
    items = tuple(
        Item(node.address, node.name, node.state, node.cost, causes[node.address])
        for node in result.nodes
        if node.state in _RUNS
    )
    charged: dict[Cause, list[Item]] = {}
    for item in items:
        for cause in item.causes:
            charged.setdefault(cause, []).append(item)
    charges = [_charge(cause, found) for cause, found in charged.items()]
    charges.sort(key=lambda charge: charge.cause.text)
    charges.sort(key=lambda charge: charge.at_most.rank, reverse=True)
    return Bill(*_certain_and_at_most(items), items, tuple(charges))


def to_document(bill: Bill) -> dict[str, Any]:
    """The bill as plain data.

    Returns:
        ``certain`` and ``at_most`` (``artifacts``, ``unknown``, ``gpu_hours``, ``node_hours``,
        ``seconds``); ``by_artifact`` (``address``, ``name``, ``state``, ``cost``, ``cause_count``,
        ``causes``: positions in the list that follows, of the :data:`MOST_LISTED` dearest);
        ``by_cause``, the dearest first (``category``, ``what``, ``text``, ``certain``, ``at_most``,
        ``alone``, ``artifacts``: the names of the first :data:`MOST_LISTED` of those in
        ``at_most``).
    """
    position = {charge.cause: n for n, charge in enumerate(bill.charges)}
    return {
        "certain": bill.certain.to_json(),
        "at_most": bill.at_most.to_json(),
        "by_artifact": [
            {
                "address": item.address,
                "name": item.name,
                "state": item.state.value,
                "cost": cost_document(item.cost),
                "cause_count": len(item.causes),
                "causes": sorted(position[cause] for cause in item.causes)[:MOST_LISTED],
            }
            for item in bill.items
        ],
        "by_cause": [
            {
                "category": charge.cause.category.value,
                "what": charge.cause.what,
                "text": charge.cause.text,
                "certain": charge.certain.to_json(),
                "at_most": charge.at_most.to_json(),
                "alone": charge.alone.to_json(),
                "artifacts": list(charge.artifacts[:MOST_LISTED]),
            }
            for charge in bill.charges
        ],
    }


def cost_document(cost: Cost | None) -> dict[str, float | None] | None:
    """What one build took, as plain data."""
    if cost is None:
        return None
    return {
        "gpu_hours": cost.gpu_hours,
        "seconds": cost.seconds,
        "node_hours": None if cost.node_hours is None else round(cost.node_hours, 6),
    }


def _charge(cause: Cause, items: Collection[Item]) -> Charge:
    return Charge(
        cause,
        *_certain_and_at_most(items),
        alone=add_up(item.cost for item in items if len(item.causes) == 1),
        artifacts=tuple(item.name for item in items),
    )


def _certain_and_at_most(items: Iterable[Item]) -> tuple[Amount, Amount]:
    every = list(items)
    certain = add_up(item.cost for item in every if item.state is State.STALE)
    return certain, add_up(item.cost for item in every)


def _known_text(amount: Amount) -> str:
    return replace(amount, unknown=0).text()


def _unknown_text(unknown: int) -> str:
    return f"{unknown:,} artifact{'s' if unknown > 1 else ''} of unknown cost"


def _causes(result: PlanResult) -> Mapping[str, tuple[Cause, ...]]:
    """The causes of each node that runs or may run, by address."""
    nodes = {node.address: node for node in result.nodes if node.state in _OPEN}
    found: dict[str, dict[Cause, None]] = {
        address: dict.fromkeys(_own_causes(node)) for address, node in nodes.items()
    }
    heirs = _heirs(nodes)
    # In topological order what is above is known before what is made from it; only what is made
    # again for those below it sends a node round once more.
    waiting = deque(nodes)
    queued = set(nodes)
    while waiting:
        address = waiting.popleft()
        queued.discard(address)
        for heir in heirs.get(address, ()):
            before = len(found[heir])
            found[heir].update(found[address])
            if len(found[heir]) > before and heir not in queued:
                waiting.append(heir)
                queued.add(heir)
    unknown = Reason(Category.UNKNOWN, "what it is made from may change")
    return {
        address: tuple(causes) or (_cause(unknown, nodes[address]),)
        for address, causes in found.items()
    }


def _heirs(nodes: Mapping[str, PlannedNode]) -> Mapping[str, list[str]]:
    """By address, the nodes that run because that one does."""
    heirs: dict[str, list[str]] = {}
    for address, node in nodes.items():
        above = [each.artifact for each in node.artifact.inputs if each.artifact in nodes]
        for each in dict.fromkeys(filter(None, above)):
            if node.state is not State.STALE:
                heirs.setdefault(each, []).append(address)
            if _is_needed_below(nodes[each]):
                # Its data is gone: it is made again for this one.
                heirs.setdefault(address, []).append(each)
    return heirs


def _is_needed_below(node: PlannedNode) -> bool:
    categories = {reason.category for reason in node.reasons}
    return {Category.GONE, Category.UPSTREAM} <= categories


def _own_causes(node: PlannedNode) -> Iterable[Cause]:
    reasons = [reason for reason in node.reasons if reason.category is not Category.UPSTREAM]
    # How many elements are stale says nothing where it is said why they are.
    telling = [reason for reason in reasons if reason.category is not Category.ELEMENT]
    return [_cause(reason, node) for reason in telling or reasons]


def _cause(reason: Reason, node: PlannedNode) -> Cause:
    if reason.category is Category.CODE and not reason.what:
        recipe = node.artifact.recipe
        return Cause(reason.category, recipe, f"the code of {recipe} changed")
    if reason.category in (Category.CODE, Category.NEVER_BUILT, Category.FORCED):
        # The same for all, however each of them knew the file before.
        return Cause(reason.category, reason.what, _short_text(reason))
    if reason.category in (Category.ELEMENT, Category.UNKNOWN):
        what = f"{node.name}: {reason.what}"
        return Cause(reason.category, what, what)
    return Cause(reason.category, reason.what, reason.text())


def _short_text(reason: Reason) -> str:
    return f"{reason.what} changed" if reason.category is Category.CODE else reason.text()
