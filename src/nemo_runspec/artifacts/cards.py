"""Pages that a job writes about what it makes, attached to the versions that it logs.

    from nemo_runspec.artifacts import card

    card("| split | rows |\\n|---|---|\\n| train | 9,000 |", title="Data")
    card(figure.to_html(), title="Loss")          # HTML, scripts and all
    card(dataframe, title="Worst examples")       # whatever shows itself as HTML in a notebook

A card is a file whose first line says its title (see :func:`read_cards`). HTML is kept as it is:
who shows it must not trust it.
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nemo_runspec.artifacts.notes import CARDS, notebook, warn_once
from nemo_runspec.exceptions import ArtifactError
from nemo_runspec.masking import MASK, mask_secrets, secret_values
from nemo_runspec.utils import write_atomically

if TYPE_CHECKING:
    from nemo_runspec.store.store import Store

Kind = Literal["html", "markdown"]

MOST_BYTES = 8 * 1024 * 1024
"""How long a card may be."""
MOST_CARDS = 100
"""How many a job may have."""

_SUFFIXES: dict[str, str] = {"html": "html", "markdown": "md"}
_KINDS: dict[str, Kind] = {"html": "html", "md": "markdown"}
_LABEL = re.compile(r"card-([1-9][0-9]{0,5})\.(html|md)")
_HEAD = re.compile(r"<!-- card (\{.*\}) -->")
_MOST_TITLE = 200
# Longer lines are no text that a person wrote, and looking through them takes long.
_MOST_LINE = 10_000


class CardError(ArtifactError, ValueError):
    """Something is no card."""


@dataclass(frozen=True)
class Card:
    """A page about a version.

    Attributes:
        title: what it is called.
        kind: ``html`` or ``markdown``.
        body: its text, as it was written.
    """

    title: str
    kind: Kind
    body: str

    def _repr_html_(self) -> str:
        """In a notebook: HTML in a frame of its own, which reaches nothing of the notebook."""
        title = f"<strong>{html.escape(self.title)}</strong>"
        body = html.escape(self.body)
        if self.kind == "markdown":
            return f"<div>{title}<pre>{body}</pre></div>"
        frame = 'sandbox="allow-scripts" style="width:100%;height:30em;border:0"'
        return f'<div>{title}<iframe {frame} srcdoc="{body}"></iframe></div>'


def card(body: Any, *, title: str | None = None, kind: Kind | None = None) -> None:
    """Write a page about what this job makes.

    It is attached as metrics are (:func:`nemo_runspec.artifacts.log_metric`). A card takes the
    place of the one with its title and kind. Values of this process's secret variables are masked,
    in Markdown whatever looks like a secret.

    Args:
        body: HTML or Markdown, or an object that shows itself so (``_repr_html_``,
            ``_repr_markdown_``), as tables and figures do. At most 8 MiB; a longer one is left
            out, with a warning.
        title: what it is called; default: ``Card 1``, ``Card 2`` …
        kind: ``html`` or ``markdown``; default: HTML if it begins with a tag.

    Raises:
        CardError: it is no text, the title none, or of another kind.
    """
    text, shown_as = _text_of(body, kind)
    if title is not None and not isinstance(title, str):
        raise CardError(f"{title!r:.80} cannot be the title of a card; write a text")
    book = notebook()
    if not book.is_kept:
        return
    called = None if title is None else _mask(title, "markdown")[:_MOST_TITLE]
    text = _mask(text, shown_as)
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        warn_once(
            f"the card {called or ''!r} is longer than {MOST_BYTES:,} bytes, and left out; write "
            "it to the artifact's own folder"
        )
        return
    try:
        _keep(book.folder() / CARDS, called, shown_as, text)
    except OSError as error:
        warn_once(f"a card cannot be kept: {error}")


def read_cards(store: Store, name: str, version: int) -> tuple[Card, ...]:
    """The cards of a version, in the order in which they were first written.

    Raises:
        StoreError: the store does not answer.
    """
    return cards_of(store.attached(name, version))


def cards_of(attached: Mapping[str, bytes]) -> tuple[Card, ...]:
    """The cards among what is attached to a version.

    Args:
        attached: as :meth:`nemo_runspec.store.Store.attached` gives it.
    """
    found = []
    for label, body in attached.items():
        match = _LABEL.fullmatch(label)
        if match is not None:
            found.append((int(match[1]), label, _read(label, body.decode("utf-8", "replace"))))
    return tuple(each for _, _, each in sorted(found, key=lambda one: one[:2]))


def _text_of(body: Any, kind: str | None) -> tuple[str, Kind]:
    if kind not in (None, *_SUFFIXES):
        raise CardError(f"a card cannot be of kind {kind!r}; write html or markdown")
    if isinstance(body, str):
        chosen = kind or ("html" if body.lstrip().startswith("<") else "markdown")
        return body, _KINDS[_SUFFIXES[chosen]]
    for wanted in ("html", "markdown"):
        show = getattr(body, f"_repr_{wanted}_", None)
        text = show() if callable(show) and kind in (None, wanted) else None
        if isinstance(text, str):
            return text, _KINDS[_SUFFIXES[wanted]]
    raise CardError(
        f"{type(body).__name__} cannot be a card; give HTML or Markdown as a text, or something "
        "that has _repr_html_"
    )


def _keep(folder: Path, title: str | None, kind: Kind, text: str) -> None:
    folder.mkdir(exist_ok=True)
    taken = {}
    for name in os.listdir(folder):
        match = _LABEL.fullmatch(name)
        if match is not None:
            taken[name] = int(match[1])
    path = None
    if title is not None:
        path = next(
            (folder / each for each in sorted(taken) if _is(folder / each, title, kind)), None
        )
    if path is None:
        if len(taken) >= MOST_CARDS:
            warn_once(f"a job may have {MOST_CARDS} cards; those after them are left out")
            return
        path = _claim(folder, max(taken.values(), default=0) + 1, kind)
    number = _LABEL.fullmatch(path.name)
    assert number is not None
    head = {"title": title or f"Card {number[1]}"}
    write_atomically(path, f"{_head(head)}\n{_writable(text)}", durable=False)


def _claim(folder: Path, number: int, kind: Kind) -> Path:
    """A file of a number that no other process of the job has."""
    while True:
        path = folder / f"card-{number}.{_SUFFIXES[kind]}"
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return path


def _is(path: Path, title: str, kind: Kind) -> bool:
    if path.suffix != f".{_SUFFIXES[kind]}":
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return _title_in(file.readline()) == title


def _read(label: str, text: str) -> Card:
    head, _, rest = text.partition("\n")
    title = _title_in(head)
    kind = _KINDS[label.rpartition(".")[2]]
    return Card(label, kind, text) if title is None else Card(title, kind, rest)


def _head(document: Mapping[str, str]) -> str:
    # Nothing in it may end the comment.
    text = json.dumps(document).replace("-", "\\u002d").replace(">", "\\u003e")
    return f"<!-- card {text} -->"


def _title_in(line: str) -> str | None:
    match = _HEAD.fullmatch(line.rstrip("\n"))
    try:
        title = json.loads(match[1]).get("title") if match else None
    except ValueError:
        return None
    return title if isinstance(title, str) else None


def _writable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _mask(text: str, kind: Kind) -> str:
    for secret in sorted(secret_values(os.environ), key=len, reverse=True):
        text = text.replace(secret, MASK).replace(html.escape(secret), MASK)
    if kind == "html":
        return text  # what looks like a secret may be code there, which must stay as it is
    lines = text.split("\n")
    return "\n".join(mask_secrets(each) if len(each) <= _MOST_LINE else each for each in lines)
