"""A plan as a comment of a pull request: the bill first, what it is made of folded below.

The first line is :data:`MARKER`, by which whoever posts it finds the comment of the last time and
writes it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nemo_runspec.costs.bill import Bill, Cause, Charge, bill_of
from nemo_runspec.costs.past import cost_text
from nemo_runspec.pipeline.decide import State
from nemo_runspec.pipeline.details import details
from nemo_runspec.pipeline.plan import PlannedNode, PlanResult
from nemo_runspec.pipeline.reason import Category

MARKER = "<!-- runspec-plan -->"

_MOST_CAUSES = 20
_SHOWN = 3
_NAMED = (
    Category.CODE,
    Category.CONFIG,
    Category.ENV,
    Category.EXTERNAL,
    Category.REQUIREMENT,
)
_RUN = (State.STALE, State.DEPENDS)


def markdown(result: PlanResult) -> Iterator[str]:
    """A plan as the lines of a Markdown text."""
    bill = bill_of(result)
    yield MARKER
    yield f"### {_headline(result, bill)}"
    total = bill.text()
    if total:
        yield ""
        yield _cell(total)
    if bill.charges:
        yield ""
        yield from _causes(bill.charges)
    others = [node for node in result.nodes if node.state is not State.FRESH]
    fresh = [node for node in result.nodes if node.state is State.FRESH]
    if others:
        yield ""
        yield from _folded(_counted(others), _artifacts(others))
    if fresh and others:
        yield ""
        names = ", ".join(f"`{node.name}` {node.version or ''}".strip() for node in fresh)
        yield from _folded(f"{len(fresh):,} fresh", [names])


def _headline(result: PlanResult, bill: Bill) -> str:
    if not result.nodes:
        return "Nothing to plan."
    blocked = sum(1 for node in result.nodes if node.state is State.BLOCKED)
    cannot = f"{_artifacts_text(blocked)} cannot run" if blocked else ""
    if not bill.items:
        return cannot or f"Nothing runs: {_artifacts_text(len(result.nodes))} up to date"
    certain = sum(1 for item in bill.items if item.state is State.STALE)
    perhaps = len(bill.items) - certain
    if not certain:
        told = f"{_artifacts_text(perhaps)} may run"
    else:
        may = f", {perhaps:,} more may" if perhaps else ""
        told = f"{_artifacts_text(certain)} run{'s' if certain == 1 else ''}{may}"
    amount = bill.at_most.text()
    most = "" if amount == "unknown" else f": at most {amount}"
    return f"{told}{most}" + (f"; {cannot}" if cannot else "")


def _artifacts_text(number: int) -> str:
    return f"{number:,} artifact{'' if number == 1 else 's'}"


def _causes(charges: tuple[Charge, ...]) -> Iterator[str]:
    yield "| what causes it | what it makes run | for certain | at most |"
    yield "|---|---|---:|---:|"
    for charge in charges[:_MOST_CAUSES]:
        certain = charge.certain.text() if charge.certain.artifacts else ""
        yield (
            f"| {_cause(charge.cause)} | {_few(charge.artifacts)} | {certain} "
            f"| {charge.at_most.text()} |"
        )
    left = charges[_MOST_CAUSES:]
    if left:
        yield f"| … {len(left):,} more | | | none above {left[0].at_most.text()} |"
    if any(each.alone.artifacts < each.at_most.artifacts for each in charges):
        yield ""
        yield "An artifact with several causes counts for each of them."


def _few(names: tuple[str, ...]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown


def _cause(cause: Cause) -> str:
    text, what = _cell(cause.text), _cell(cause.what)
    # Names as code; what has a mark of the table or of code in it stands as it is.
    is_plain = what == cause.what != ""
    return text.replace(what, f"`{what}`", 1) if cause.category in _NAMED and is_plain else text


def _artifacts(nodes: list[PlannedNode]) -> Iterator[str]:
    yield "| | artifact | why | last time |"
    yield "|---|---|---|---:|"
    for node in nodes:
        cost = cost_text(node.cost) if node.cost is not None else ""
        if not cost and node.state in _RUN:
            cost = "unknown"
        why = "; ".join(details(node))
        yield f"| {_cell(node.state.value)} | `{node.name}` | {_cell(why)} | {cost} |"


def _counted(nodes: list[PlannedNode]) -> str:
    """How many are in which state, and what that means."""
    parts = []
    for state in State:
        count = sum(1 for node in nodes if node.state is state)
        if count:
            parts.append(f"{count:,} {state.value}")
    return ", ".join(parts)


def _folded(title: str, lines: Iterable[str]) -> Iterator[str]:
    # Without the empty lines it would be no Markdown inside.
    yield f"<details><summary>{title}</summary>"
    yield ""
    yield from lines
    yield ""
    yield "</details>"


def _cell(text: str) -> str:
    for char in "\\|*<>`":
        text = text.replace(char, f"\\{char}")
    return text
