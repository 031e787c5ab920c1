"""Puts the page together: markup, style, script and data in one file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from nemo_runspec.lineage.model import Lineage, to_document

# In the order in which they are joined: one scope, what is used stands above.
_STYLES = ("theme.css", "layout.css", "panel.css")
_SCRIPTS = (
    "format.js",
    "icons.js",
    "graph.js",
    "layout.js",
    "paint.js",
    "camera.js",
    "state.js",
    "canvas.js",
    "search.js",
    "filters.js",
    "list.js",
    "charts.js",
    "markdown.js",
    "sections.js",
    "panel.js",
    "compare.js",
    "keyboard.js",
    "main.js",
)
_SHOWN_ROOTS = 2
# JavaScript's numbers are doubles: above this an integer would be shown with other digits.
_LARGEST_INTEGER = 2**53


def render_page(lineage: Lineage, *, title: str | None = None) -> str:
    """The lineage as one HTML page.

    The page loads nothing: a Content-Security-Policy of its own forbids the browser every
    request, and every script but the page's. Whatever stands in the lineage is data: names,
    metadata and cards cannot become markup or script of the page.

    Args:
        lineage: the graph.
        title: what the page is called; default: after what was asked for.

    Returns:
        The file's text, to be written as UTF-8. Its script element ``lineage-data`` holds the
        document of :func:`nemo_runspec.lineage.model.to_document` as JSON, and integers that
        JavaScript would round as text.
    """
    style = "\n".join(_asset(name) for name in _STYLES)
    script = "\n".join(_asset(name) for name in _SCRIPTS)
    pieces = {
        "policy": _policy(script),
        "title": _ascii(html.escape(title or _title(lineage))),
        "style": style,
        "data": _json(to_document(lineage)),
        "script": script,
    }
    # One pass: a piece that happens to hold another's mark is left as it is.
    page = []
    for text in _asset("page.html").split("{{"):
        mark, closed, rest = text.partition("}}")
        page.append(pieces[mark] + rest if closed else text)
    return "".join(page)


def _asset(name: str) -> str:
    return (files("nemo_runspec.lineage.page") / "assets" / name).read_text("utf-8")


def _policy(script: str) -> str:
    """What the browser may do, as a Content-Security-Policy: run this script, and style.

    Cards are documents of their own under the same policy; their images are part of them.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = (
        "default-src 'none'",
        f"script-src 'sha256-{digest}'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "font-src data:",
        "media-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return "; ".join(rules)


def _title(lineage: Lineage) -> str:
    if not lineage.roots:
        return "Lineage"
    shown = ", ".join(root.removeprefix("target:") for root in lineage.roots[:_SHOWN_ROOTS])
    more = len(lineage.roots) - _SHOWN_ROOTS
    return f"Lineage of {shown}" + (f" and {more} more" if more > 0 else "")


def _json(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it looks like markup.

    ASCII only, so that no line separator of Unicode's is in it, nor half of a character.
    """
    text = json.dumps(_for_browser(value), separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _for_browser(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        return str(value)
    if isinstance(value, Mapping):
        return {key: _for_browser(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_for_browser(item) for item in value]
    return value


def _ascii(text: str) -> str:
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")
