"""Lineage as text: a tree for a terminal."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nemo_runspec.lineage.model import Kind, Lineage, LineageEdge, LineageNode
from nemo_runspec.lineage.words import details, key_in_words, label, one_line, tags
from nemo_runspec.pipeline.symbols import COLOURS, SYMBOLS, painted

_REVOKED = "31"
_FAINT = "2"
_BOLD = "1"
# A step of the tree, and what has to be left of a line for its text.
_STEP = 3
_LEAST_TEXT = 40
_LEAST_DEPTH = 4
_DEPTH_ELSEWHERE = 30


@dataclass(frozen=True)
class Style:
    """How a tree is shown.

    Attributes:
        width: columns; None where lines are neither folded nor cut.
        color: whether it has colours.
        with_keys: whether each version tells what its key was made of.
    """

    width: int | None = None
    color: bool = False
    with_keys: bool = False


def render_tree(lineage: Lineage, style: Style = Style()) -> str:
    """Lineage as a tree, ending with a newline.

    Upstream, what a node was made from stands below it; downstream, what was made from it. A node
    is shown once, and referred to where it comes again. A tree too deep for its width goes on
    below.

    Args:
        lineage: the graph.
        style: how it is shown.
    """
    if not lineage.nodes:
        return "nothing is recorded\n"
    lines: list[str] = []
    for direction in ("upstream", "downstream"):
        if lineage.direction in (direction, "both"):
            if lineage.direction == "both":
                heading = "Made from" if direction == "upstream" else "What was made from it"
                lines += ["", f"{heading}:"] if lines else [f"{heading}:"]
            lines += _Tree(lineage, direction, style).lines()
    lines += ["", *_folded(_summary(lineage), "", style)]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Place:
    """Where a node is shown: what stands before its first line and before its others."""

    id: str
    first: str = ""
    rest: str = ""
    key: str | None = None
    depth: int = 0


class _Tree:
    def __init__(self, lineage: Lineage, direction: str, style: Style) -> None:
        self._style = style
        self._nodes = {node.id: node for node in lineage.nodes}
        self._below: dict[str, list[tuple[str, str | None]]] = {}
        order = {node.id: position for position, node in enumerate(lineage.nodes)}
        edges: Sequence[LineageEdge] = lineage.edges
        if direction == "downstream":
            edges = sorted(edges, key=lambda each: order.get(each.below, 0))
        for edge in edges:
            here, there = (
                (edge.below, edge.above) if direction == "upstream" else (edge.above, edge.below)
            )
            self._below.setdefault(here, []).append((there, edge.key))
        # What is made from others first: those are then shown below it.
        self._roots = sorted(
            lineage.roots, key=lambda each: order[each], reverse=direction == "upstream"
        )
        width = style.width
        self._most = (
            _DEPTH_ELSEWHERE if width is None else max(_LEAST_DEPTH, (width - _LEAST_TEXT) // _STEP)
        )

    def lines(self) -> Iterator[str]:
        shown: set[str] = set()
        waiting = [_Place(one) for one in reversed(self._roots)]
        later: dict[str, None] = {}
        while waiting or later:
            if not waiting:
                one = next(iter(later))
                del later[one]
                waiting.append(_Place(one))
            place = waiting.pop()
            if not place.depth:
                if place.id in shown:
                    continue
                if shown:
                    yield ""
            below = self._below.get(place.id, [])
            is_cut = place.depth >= self._most and bool(below) and place.id not in shown
            if is_cut:
                later[place.id] = None
            if place.id in shown or place.id in later:
                yield from self._referred(place, "below" if place.id in later else "above")
                continue
            shown.add(place.id)
            yield from self._node(place, is_parent=bool(below))
            for position, (one, key) in reversed(list(enumerate(below))):
                is_last = position == len(below) - 1
                waiting.append(
                    _Place(
                        one,
                        f"{place.rest}{'└─ ' if is_last else '├─ '}",
                        f"{place.rest}{'   ' if is_last else '│  '}",
                        key,
                        place.depth + 1,
                    )
                )

    def _referred(self, place: _Place, where: str) -> Iterator[str]:
        node = self._nodes[place.id]
        yield f"{place.first}{self._called(node, place.key)}  {self._faint(f'(see {where})')}"

    def _node(self, place: _Place, *, is_parent: bool) -> Iterator[str]:
        node, style = self._nodes[place.id], self._style
        said = one_line(", ".join(tags(node)))
        text = f"{place.first}{_symbol(node)}{label(node)}{_input(place.key)}"
        if style.width is None or len(text) + len(said) + 2 <= style.width:
            yield f"{place.first}{self._called(node, place.key)}{f'  {said}' if said else ''}"
            more = list(details(node))
        else:
            yield f"{place.first}{self._called(node, place.key)}"
            more = [said, *details(node)]
        if style.with_keys:
            more += key_in_words(node)
        indent = f"{place.rest}{'│    ' if is_parent else '     '}"
        for each in more:
            yield from _folded(each, indent, style)

    def _called(self, node: LineageNode, key: str | None) -> str:
        text = f"{_symbol(node)}{label(node)}"
        if self._style.color:
            colour = COLOURS.get(node.state.value, _BOLD)
            text = painted(text, colour if node.revoked is None else _REVOKED)
        return f"{text}{_input(key)}"

    def _faint(self, text: str) -> str:
        return painted(text, _FAINT) if self._style.color else text


def _symbol(node: LineageNode) -> str:
    # Recorded versions are not known to be fresh or stale.
    symbol = SYMBOLS.get(node.state.value) if node.kind is not Kind.EXTERNAL else None
    return f"{symbol} " if symbol else ""


def _input(key: str | None) -> str:
    return f" (run.{one_line(key)})" if key else ""


def _folded(text: str, indent: str, style: Style) -> list[str]:
    text = one_line(text)
    if style.width is None:
        return [f"{indent}{text}".rstrip()]
    return textwrap.wrap(
        text,
        max(style.width, len(indent) + _LEAST_TEXT // 2),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
        # A path is of more use whole than in its column.
        break_long_words=False,
    ) or [""]


def _summary(lineage: Lineage) -> str:
    nodes = lineage.nodes
    kinds = Counter(node.kind for node in nodes)
    parts = [
        f"{kinds[kind]:,} {one if kinds[kind] == 1 else many}"
        for kind, one, many in (
            (Kind.VERSION, "version", "versions"),
            (Kind.TARGET, "target that is not fresh", "targets that are not fresh"),
            (Kind.EXTERNAL, "input from outside", "inputs from outside"),
        )
        if kinds[kind]
    ]
    marks: Mapping[str, int] = {
        "revoked": sum(node.revoked is not None for node in nodes),
        "gone": sum(node.gone is not None for node in nodes),
        "accepted": sum(node.accepted is not None for node in nodes),
    }
    said = [f"{count:,} {what}" for what, count in marks.items() if count]
    hours = sum(node.spent.gpu_hours or 0 for node in nodes if node.kind is Kind.VERSION)
    if hours:
        said.append(f"{hours:,.1f} GPU-hours")
    more = f" ({', '.join(said)})" if said else ""
    return f"{', '.join(parts)}{more} in {lineage.store}"
