"""What TorchX was told of runs, in files of a store: one file a fact, so that no writer waits.

``_torchx/{run}/metadata/{key}.json``, ``_torchx/{run}/artifacts/{name}.json`` and
``_torchx/{run}/sources/{run of the source}/{name of the artifact}.json``. No version lies there, so
nothing that goes through versions sees it. Any text can be a run's id or a key: what a file cannot
be called stands as ``=XX`` for each byte, and a long text in several folders.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from nemo_runspec.store.backend import Backend
from nemo_runspec.store.errors import StoreFormatError

FOLDER = "_torchx"
METADATA = "metadata"
ARTIFACTS = "artifacts"
SOURCES = "sources"

_SUFFIX = ".json"
# No file system takes more than 255 bytes in a name.
_PIECE = 120
_GOES_ON = "~"
_EMPTY = "="
_NONE = "~"


@dataclass(frozen=True)
class Link:
    """That a run was made from another.

    Attributes:
        run_id: the run.
        source_id: what it was made from: a run, or anything else that has an id.
        artifact_name: which artifact of it, or what kind of relation it is; None if nobody said.
    """

    run_id: str
    source_id: str
    artifact_name: str | None


class Records:
    """The files.

    Args:
        backend: the store's.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def write(self, run_id: str, kind: str, key: str, document: Mapping[str, Any]) -> None:
        """Keep a fact; what was said of the key before is replaced."""
        path = f"{_folder(run_id, kind)}/{encode(key)}{_SUFFIX}"
        self._backend.write(path, _body(document))

    def read(self, run_id: str, kind: str) -> dict[str, dict[str, Any]]:
        """The facts of one kind, by key, sorted.

        Raises:
            StoreFormatError: a file is broken.
        """
        folder = _folder(run_id, kind)
        bodies = self._backend.read_many(self._backend.files(folder) or [])
        found = {
            decode(path[len(folder) + 1 :].removesuffix(_SUFFIX)): self._parse(path, body)
            for path, body in bodies.items()
        }
        return dict(sorted(found.items()))

    def write_source(self, link: Link) -> None:
        """Keep a link."""
        name = _NONE if link.artifact_name is None else encode(link.artifact_name)
        path = f"{_folder(link.run_id, SOURCES)}/{encode(link.source_id)}/{name}{_SUFFIX}"
        self._backend.write(path, _body({}))

    def sources(self, run_id: str) -> list[Link]:
        """What a run was made from, sorted."""
        return sorted(self._links(self._backend.files(_folder(run_id, SOURCES)) or []), key=str)

    def links(self) -> list[Link]:
        """All links: one listing."""
        return sorted(self._links(self._paths()), key=str)

    def runs(self) -> list[str]:
        """The runs that something was said of, sorted: one listing."""
        return sorted({_split(path)[0] for path in self._paths()})

    def _paths(self) -> list[str]:
        return [
            path
            for path in self._backend.files(FOLDER) or []
            if path.endswith(_SUFFIX) and not path.rpartition("/")[2].startswith(".")
        ]

    def _links(self, paths: Iterable[str]) -> list[Link]:
        found = []
        for path in paths:
            run_id, kind, rest = _split(path)
            if kind != SOURCES:
                continue
            source_id, name = _first(rest.removesuffix(_SUFFIX))
            found.append(Link(run_id, source_id, None if name == _NONE else decode(name)))
        return found

    def _parse(self, path: str, body: bytes) -> dict[str, Any]:
        try:
            document = json.loads(body)
        except ValueError as error:
            raise StoreFormatError(
                f"{self._backend.root}/{path} is broken: it is no JSON ({error}); remove it"
            ) from error
        return document if isinstance(document, dict) else {}


def encode(text: str) -> str:
    """A text as a path: letters, digits, ``.``, ``_`` and ``-`` stand for themselves.

    Folders that the path goes through end with ``~``, so that a path says where it ends.
    """
    quoted = quote(text, safe="", errors="surrogatepass").replace("~", "%7E").replace("%", "=")
    if quoted.startswith((".", "_")):
        quoted = f"={ord(quoted[0]):02X}{quoted[1:]}"
    pieces = [quoted[at : at + _PIECE] for at in range(0, len(quoted), _PIECE)] or [_EMPTY]
    # A piece that began with a dot would be hidden from listings.
    return f"{_GOES_ON}/-".join(pieces)


def decode(path: str) -> str:
    """The text that :func:`encode` made a path of."""
    quoted = path.replace(f"{_GOES_ON}/-", "")
    return "" if quoted == _EMPTY else unquote(quoted.replace("=", "%"), errors="surrogatepass")


def _folder(run_id: str, kind: str) -> str:
    return f"{FOLDER}/{encode(run_id)}/{kind}"


def _first(path: str) -> tuple[str, str]:
    """The text that a path begins with, and the rest of the path."""
    parts = path.split("/")
    end = next(n for n, part in enumerate(parts) if not part.endswith(_GOES_ON))
    return decode("/".join(parts[: end + 1])), "/".join(parts[end + 1 :])


def _split(path: str) -> tuple[str, str, str]:
    """Run, kind and the rest of a path from the root."""
    run_id, rest = _first(path[len(FOLDER) + 1 :])
    kind, _, rest = rest.partition("/")
    return run_id, kind, rest


def _body(document: Mapping[str, Any]) -> bytes:
    return (json.dumps({"schema": "1", **document}, default=_plain) + "\n").encode("ascii")


def _plain(value: Any) -> Any:
    """What JSON has no word for: numbers of NumPy and torch as numbers, the rest as text."""
    item = getattr(value, "item", None)
    if callable(item):
        try:
            return item()
        except (TypeError, ValueError, RuntimeError):
            return str(value)  # an array of several
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    return str(value)
