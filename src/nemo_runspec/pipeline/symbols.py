"""How the states of artifacts look in a terminal, in a plan and in lineage alike."""

from __future__ import annotations

from collections.abc import Mapping

SYMBOLS: Mapping[str, str] = {
    "fresh": "=",
    "stale": "*",
    "depends": "?",
    "running": ">",
    "blocked": "!",
    "gone": "-",
    "missing": "+",
}
"""By the value of a state; one without a symbol says nothing of today."""

COLOURS: Mapping[str, str] = {
    "fresh": "32",
    "stale": "33",
    "depends": "36",
    "running": "34",
    "blocked": "31",
    "gone": "2",
    "missing": "33",
}
"""Parameters of a terminal's escape sequence (ECMA-48, SGR), by the value of a state."""


def painted(text: str, parameters: str) -> str:
    """A text in a colour of :data:`COLOURS`, or another that a terminal knows."""
    return f"\033[{parameters}m{text}\033[0m"
