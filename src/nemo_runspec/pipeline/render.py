"""A plan as people and programs read it: a table, Markdown for a pull request, JSON.

The JSON document (schema "1") has ``store``, ``is_fresh``, ``requests``, ``counts`` by state,
``needs_bundles`` (recipes to package for a run), ``gpu_hours`` (of the builds that run for certain,
as far as it is known) and ``nodes`` in order: ``address``, ``name``, ``recipe``, ``state``,
``reasons`` (``category``, ``what``, ``old``, ``new``, ``text``), ``why``, ``key``, ``version``,
``path``, ``cost`` (``gpu_hours``, ``seconds``), ``holder``, ``elements`` (``total``, ``stale``),
``unchecked``, ``inputs`` (addresses and references).
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any

from nemo_runspec.pipeline.decide import State
from nemo_runspec.pipeline.plan import Cost, PlannedNode, PlanResult

SCHEMA = "1"
FORMATS = ("table", "json", "markdown")

_SYMBOLS = {
    State.FRESH: "=",
    State.STALE: "*",
    State.DEPENDS: "?",
    State.RUNNING: ">",
    State.BLOCKED: "!",
    State.GONE: "-",
}
_COLOURS = {
    State.FRESH: "32",
    State.STALE: "33",
    State.DEPENDS: "36",
    State.RUNNING: "34",
    State.BLOCKED: "31",
    State.GONE: "2",
}
_LEGEND = {
    State.STALE: "runs",
    State.DEPENDS: "runs unless its inputs come out the same",
    State.RUNNING: "is being made elsewhere",
    State.BLOCKED: "cannot run",
    State.GONE: "fresh, its data deleted and not needed",
}
_STATE_WIDTH = max(len(state.value) for state in State) + 2
_INDENT = "    "


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
        return "\n".join(_markdown(result)) + "\n"
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
        "needs_bundles": list(result.needs_bundles),
        "nodes": [_node_document(node) for node in result.nodes],
    }


def _node_document(node: PlannedNode) -> dict[str, Any]:
    cost, elements = node.cost, node.elements
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
        "cost": None if cost is None else {"gpu_hours": cost.gpu_hours, "seconds": cost.seconds},
        "holder": None if node.holder is None else dict(node.holder),
        "elements": (
            None if elements is None else {"total": elements.total, "stale": elements.stale}
        ),
        "unchecked": list(node.unchecked),
        "inputs": [each.artifact or each.reference for each in node.artifact.inputs],
    }


def _table(result: PlanResult, width: int, color: bool) -> Iterator[str]:
    for node in result.nodes:
        state = f"{_SYMBOLS[node.state]} {node.state.value}".ljust(_STATE_WIDTH + 1)
        tail = _tail(node)
        name = f"{node.name}  {tail}" if tail else node.name
        yield f"{_painted(state, node.state, color)} {name}"
        for text in _details(node):
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


def _details(node: PlannedNode) -> Iterator[str]:
    if node.holder is not None:
        yield f"held by {_holder(node)}"
    if node.why:
        yield node.why
    if node.unchecked:
        yield f"not looked at: {', '.join(node.unchecked)}"


def _tail(node: PlannedNode) -> str:
    """What stands behind the name: the version, or what the build took the last time."""
    parts = [node.version or ""]
    if node.elements is not None:
        parts.append(f"{node.elements.total} elements")
    if node.cost is not None:
        parts.append(_cost_text(node.cost))
    return ", ".join(part for part in parts if part)


def _cost_text(cost: Cost) -> str:
    if cost.gpu_hours:
        return f"{_figure(cost.gpu_hours)} GPU-hours last time"
    if cost.seconds is None:
        return ""
    seconds = cost.seconds
    if seconds < 100:
        return f"{_figure(seconds)} s last time"
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02} h last time"


def _figure(value: float) -> str:
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _holder(node: PlannedNode) -> str:
    held = node.holder or {}
    if "job" in held:
        return f"job {held['job']} of {held['executor']}"
    user, host = held.get("user"), held.get("host")
    who = "@".join(str(each) for each in (user, host) if each) or "somebody"
    since = held.get("since")
    return f"{who} since {since}" if since else who


def _summary(result: PlanResult) -> str:
    if not result.nodes:
        return "Nothing to plan."
    counts = _counts(result)
    if set(counts) == {State.FRESH}:
        return f"All {len(result.nodes):,} are fresh: nothing to do."
    parts = [f"{count:,} {state.value}" for state, count in counts.items()]
    told = [f"{_SYMBOLS[s]} {s.value}: {_LEGEND[s]}" for s in counts if s in _LEGEND]
    hours = _gpu_hours(result)
    cost = f" About {_figure(hours)} GPU-hours, as the last time." if hours else ""
    return f"{', '.join(parts)}.{cost} ({'; '.join(told)})" if told else f"{', '.join(parts)}."


def _markdown(result: PlanResult) -> Iterator[str]:
    fresh = [node for node in result.nodes if node.state is State.FRESH]
    others = [node for node in result.nodes if node.state is not State.FRESH]
    yield f"**{_summary(result)}**"
    if others:
        yield ""
        yield "| | artifact | why | last time |"
        yield "|---|---|---|---|"
    for node in others:
        why = "; ".join(_details(node))
        cost = "" if node.cost is None else _cost_text(node.cost).removesuffix(" last time")
        state = f"{_SYMBOLS[node.state]} {node.state.value}"
        yield f"| {_cell(state)} | `{node.name}` | {_cell(why)} | {cost} |"
    if fresh and others:
        yield ""
        names = ", ".join(f"`{node.name}` {node.version or ''}".strip() for node in fresh)
        yield f"<details><summary>{len(fresh):,} fresh</summary>\n\n{names}\n\n</details>"


def _cell(text: str) -> str:
    for char in "\\|*<>`":
        text = text.replace(char, f"\\{char}")
    return text


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


def _painted(text: str, state: State, color: bool) -> str:
    return f"\033[{_COLOURS[state]}m{text}\033[0m" if color else text
