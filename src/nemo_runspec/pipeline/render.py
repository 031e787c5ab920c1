"""A plan as people and programs read it: a table, Markdown for a pull request, JSON.

The JSON document (schema "1") has ``store``, ``is_fresh``, ``requests``, ``counts`` by state,
``needs_bundles`` (recipes to package for a run), ``gpu_hours`` (of the builds that run for certain,
as far as it is known), ``bill`` (what it makes run, by artifact and by what causes it:
:func:`nemo_runspec.costs.bill.to_document`) and ``nodes`` in order: ``address``, ``name``,
``recipe``, ``state``, ``reasons`` (``category``, ``what``, ``old``, ``new``, ``text``), ``why``,
``key``, ``version``, ``path``, ``cost`` (``gpu_hours``, ``seconds``, ``node_hours``), ``holder``,
``elements`` (``total``, ``stale``), ``unchecked``, ``inputs`` (addresses and references).
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any

from nemo_runspec.costs.bill import Bill, bill_of, cost_document
from nemo_runspec.costs.bill import to_document as bill_document
from nemo_runspec.costs.past import cost_text
from nemo_runspec.pipeline.decide import State
from nemo_runspec.pipeline.details import details
from nemo_runspec.pipeline.markdown import markdown
from nemo_runspec.pipeline.plan import PlannedNode, PlanResult
from nemo_runspec.pipeline.symbols import COLOURS, SYMBOLS, painted

SCHEMA = "1"
FORMATS = ("table", "json", "markdown")

_LEGEND = {
    State.STALE: "runs",
    State.DEPENDS: "runs unless its inputs come out the same",
    State.RUNNING: "is being made elsewhere",
    State.BLOCKED: "cannot run",
    State.GONE: "fresh, its data deleted and not needed",
}
_STATE_WIDTH = max(len(state.value) for state in State) + 2
_INDENT = "    "
_MOST_CAUSES = 5


def render(result: PlanResult, form: str, *, width: int = 80, color: bool = False) -> str:
    """A plan in one of :data:`FORMATS`, ending with a newline.

    Args:
        result: the plan.
        form: ``table``, ``json`` or ``markdown``.
        width: columns of the table, 40 or more.
        color: whether the table has colours.
    """
    if form == "json":
        return json.dumps(to_document(result), indent=2) + "\n"
    if form == "markdown":
        return "\n".join(markdown(result)) + "\n"
    return "\n".join(_table(result, max(40, width), color)) + "\n"


def to_document(result: PlanResult) -> dict[str, Any]:
    """The plan as plain data; see this module."""
    return {
        "schema": SCHEMA,
        "store": result.store,
        "is_fresh": result.is_fresh,
        "requests": result.requests,
        "counts": {state.value: count for state, count in _counts(result).items()},
        "gpu_hours": _gpu_hours(result),
        "bill": bill_document(bill_of(result)),
        "needs_bundles": list(result.needs_bundles),
        "nodes": [_node_document(node) for node in result.nodes],
    }


def _node_document(node: PlannedNode) -> dict[str, Any]:
    elements = node.elements
    return {
        "address": node.address,
        "name": node.name,
        "recipe": node.artifact.recipe,
        "state": node.state.value,
        "reasons": [reason.to_json() for reason in node.reasons],
        "why": node.why,
        "key": node.key,
        "version": node.version,
        "path": node.path,
        "cost": cost_document(node.cost),
        "holder": None if node.holder is None else dict(node.holder),
        "elements": (
            None if elements is None else {"total": elements.total, "stale": elements.stale}
        ),
        "unchecked": list(node.unchecked),
        "inputs": [each.artifact or each.reference for each in node.artifact.inputs],
    }


def _table(result: PlanResult, width: int, color: bool) -> Iterator[str]:
    for node in result.nodes:
        state = f"{SYMBOLS[node.state.value]} {node.state.value}".ljust(_STATE_WIDTH + 1)
        tail = _tail(node)
        name = f"{node.name}  {tail}" if tail else node.name
        shown = painted(state, COLOURS[node.state.value]) if color else state
        yield f"{shown} {name}"
        for text in details(node):
            yield from textwrap.wrap(
                text,
                width,
                initial_indent=_INDENT,
                subsequent_indent=f"{_INDENT}  ",
                break_on_hyphens=False,
                # A path is of more use whole than in its column.
                break_long_words=False,
            )
    if result.nodes:
        yield ""
    yield from textwrap.wrap(_summary(result), width, break_on_hyphens=False)
    yield from _bill(bill_of(result), width)


def _tail(node: PlannedNode) -> str:
    """What stands behind the name: the version, or what the build took the last time."""
    parts = [node.version or ""]
    if node.elements is not None:
        parts.append(f"{node.elements.total} elements")
    cost = cost_text(node.cost) if node.cost is not None else ""
    if cost:
        parts.append(f"{cost} last time")
    return ", ".join(part for part in parts if part)


def _summary(result: PlanResult) -> str:
    if not result.nodes:
        return "Nothing to plan."
    counts = _counts(result)
    if set(counts) == {State.FRESH}:
        return f"All {len(result.nodes):,} are fresh: nothing to do."
    parts = [f"{count:,} {state.value}" for state, count in counts.items()]
    told = [f"{SYMBOLS[s.value]} {s.value}: {_LEGEND[s]}" for s in counts if s in _LEGEND]
    return f"{', '.join(parts)}. ({'; '.join(told)})" if told else f"{', '.join(parts)}."


def _bill(bill: Bill, width: int) -> Iterator[str]:
    """The total, and the dearest of what causes it."""
    if not bill.items:
        return
    yield ""
    yield from textwrap.wrap(bill.text(), width, break_on_hyphens=False)
    shown = bill.charges[:_MOST_CAUSES]
    amounts = [charge.at_most.text() for charge in shown]
    column = max(map(len, amounts))
    for amount, charge in zip(amounts, shown, strict=True):
        number = len(charge.artifacts)
        text = f"{charge.cause.text} ({number:,} artifact{'' if number == 1 else 's'})"
        yield from textwrap.wrap(
            text,
            width,
            initial_indent=f"  {amount.rjust(column)}  ",
            subsequent_indent=" " * (column + 4),
            break_on_hyphens=False,
            break_long_words=False,
        )
    left = len(bill.charges) - len(shown)
    if left:
        yield f"  and {left:,} more causes, which --format=json lists"


def _counts(result: PlanResult) -> dict[State, int]:
    counted = Counter(node.state for node in result.nodes)
    return {state: counted[state] for state in State if counted[state]}


def _gpu_hours(result: PlanResult) -> float | None:
    known = [
        node.cost.gpu_hours
        for node in result.nodes
        if node.state is State.STALE and node.cost is not None and node.cost.gpu_hours is not None
    ]
    return round(sum(known), 6) if known else None
