"""Lineage as a Mermaid flowchart, which GitHub, GitLab and many editors draw.

The syntax, and the entity codes that stand for characters, are those of
https://mermaid.js.org/syntax/flowchart.html.
"""

from __future__ import annotations

from collections.abc import Iterator

from nemo_runspec.lineage.model import Kind, Lineage, LineageNode
from nemo_runspec.lineage.words import label, made_in_words, one_line, tags

# As Mermaid is set up by default, where nobody can change it: on GitHub, say. Measured on 11.17.
MOST_EDGES = 500
MOST_CHARACTERS = 50_000

_PLAIN = frozenset(" .,:/-+=@_()")
_LONGEST = 200
# Fill, line and text of each state: readable on light and on dark pages.
_STYLES = {
    "recorded": "fill:#eef2f7,stroke:#5b6b7f,color:#1b2530",
    "fresh": "fill:#d9f2e0,stroke:#1a7f37,color:#0b3d1a",
    "stale": "fill:#fff3cd,stroke:#9a6700,color:#4d3300",
    "missing": "fill:#fff3cd,stroke:#9a6700,color:#4d3300,stroke-dasharray:5 3",
    "depends": "fill:#d8eefb,stroke:#0969da,color:#0a3069",
    "running": "fill:#dbe4ff,stroke:#3b5bdb,color:#1c2b66",
    "blocked": "fill:#ffe0de,stroke:#cf222e,color:#5c0a10",
    "gone": "fill:#e6e6e6,stroke:#6e6e6e,color:#333333,stroke-dasharray:5 3",
    "external": "fill:#ffffff,stroke:#6e7781,color:#24292f",
    "revoked": "fill:#ffd7d5,stroke:#a40e26,color:#5c0a10,stroke-width:3px",
}


def render_mermaid(lineage: Lineage) -> str:
    """Lineage as a flowchart, from what was used to what was made, ending with a newline.

    Args:
        lineage: the graph.
    """
    return "\n".join(_lines(lineage)) + "\n"


def is_drawn(lineage: Lineage, text: str) -> bool:
    """Whether a flowchart is small enough for Mermaid as it is set up by default."""
    return len(lineage.edges) <= MOST_EDGES and len(text) <= MOST_CHARACTERS


def _lines(lineage: Lineage) -> Iterator[str]:
    yield "flowchart LR"
    # Names may be words of the language; these are not.
    ids = {node.id: f"n{number}" for number, node in enumerate(lineage.nodes)}
    used: dict[str, list[str]] = {}
    for node in lineage.nodes:
        left, right = _SHAPES.get(node.kind, ("[", "]"))
        yield f'  {ids[node.id]}{left}"{_text(node)}"{right}'
        used.setdefault(_style(node), []).append(ids[node.id])
    for edge in lineage.edges:
        named = f'|"{escaped(edge.key)}"|' if edge.key else ""
        yield f"  {ids[edge.above]} -->{named} {ids[edge.below]}"
    for style, members in used.items():
        yield f"  classDef {style} {_STYLES[style]}"
        yield f"  class {','.join(members)} {style}"


_SHAPES = {Kind.EXTERNAL: ("[/", "/]"), Kind.TARGET: ("([", "])")}


def _style(node: LineageNode) -> str:
    if node.revoked is not None:
        return "revoked"
    return node.state.value


def _text(node: LineageNode) -> str:
    lines = [label(node), ", ".join(tags(node)), made_in_words(node)]
    return "<br/>".join(escaped(line) for line in lines if line)


def escaped(text: str) -> str:
    """A text as it may stand in a quoted label, whatever it holds: codes for what has a meaning."""
    line = one_line(text)
    shown = line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
    return "".join(char if _is_plain(char) else f"#{ord(char)};" for char in shown)


def _is_plain(char: str) -> bool:
    return char in _PLAIN or char.isalnum()
