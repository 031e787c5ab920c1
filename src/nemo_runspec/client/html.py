"""What a notebook shows: plain tables in the notebook's own colours, everything escaped."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

_MOST_ROWS = 100
_MOST_TEXT = 300
# Grey at half strength is seen on white and on black.
_CELL = "text-align:left;vertical-align:top;border-bottom:1px solid rgba(128,128,128,.35)"


class Shown(Protocol):
    """Something that has a row in a table."""

    def row(self) -> Mapping[str, str]:
        """Its cells, by the title of the column."""


def table(rows: Sequence[Mapping[str, str]], *, title: str = "") -> str:
    """Rows with the same columns."""
    if not rows:
        return f"<div>{_caption(title)}none</div>"
    head = "".join(_cell(each, "th") for each in rows[0])
    body = "".join(
        f"<tr>{''.join(_cell(each) for each in row.values())}</tr>" for row in rows[:_MOST_ROWS]
    )
    more = len(rows) - _MOST_ROWS
    rest = f"<div>and {more:,} more</div>" if more > 0 else ""
    return f"<div>{_caption(title)}<table><tr>{head}</tr>{body}</table>{rest}</div>"


def facts(title: str, values: Mapping[str, Any]) -> str:
    """What is known of one thing; what is not known is left out."""
    rows = "".join(
        f"<tr>{_cell(label, 'th')}{_cell(_text(value))}</tr>"
        for label, value in _told(values.items())
    )
    return f"<div>{_caption(title)}<table>{rows}</table></div>"


def number(value: float) -> str:
    """A number as people write it, to six digits."""
    return f"{value:.6g}"


def _told(items: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    return ((label, value) for label, value in items if value not in (None, "", [], {}))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _caption(title: str) -> str:
    return f"<strong>{html.escape(title)}</strong>" if title else ""


def _cell(text: str, tag: str = "td") -> str:
    shown = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
    return f'<{tag} style="{_CELL}">{html.escape(shown)}</{tag}>'
