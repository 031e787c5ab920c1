"""Sending folders to another host, once per digest: what is there is not sent again.

A folder is whole there or not there at all, so that two who send the same one at a time, and a
connection that is cut, do no harm. Large files are shared by content, as `nemo_runspec.bundles`
keeps them: a bundle with another line of code does not bring its wheels once more.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.jobs import shared_files
from nemo_runspec.relay.host import Connection

_LARGE_BYTES = 1 << 18
_CHUNK = 1 << 20
_SHARED_MODES = {False: 0o444, True: 0o555}
_PRIVATE_MODE = 0o600
_BYTECODE = "__pycache__"


class SendError(NemoRunspecError):
    """A file cannot be sent."""


@dataclass(frozen=True)
class Entry:
    """A file or a symbolic link of a folder.

    Args:
        path: below the folder, with slashes.
        content: what is in the file: bytes, or the file here that holds it.
        link: where the symbolic link leads; None for a file.
    """

    path: str
    content: bytes | Path = b""
    link: str | None = None


@dataclass(frozen=True)
class Tree:
    """A folder to be sent.

    Args:
        path: where it is to lie, below the root there; a digest of its content is part of it,
            unless nobody else has that path.
        entries: makes what is in it; asked only when it is not there.
        private: whether it is for its owner alone.
    """

    path: str
    entries: Callable[[], Iterable[Entry]]
    private: bool = False


def folder_entries(folder: Path, prefix: str = "") -> list[Entry]:
    """What is in a folder here, bytecode aside.

    Args:
        folder: the folder.
        prefix: what to put before the paths, ending in a slash.
    """
    found = []
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        folders[:] = sorted(name for name in folders if name not in (*links, _BYTECODE))
        for name in sorted((*files, *links)):
            path = Path(parent, name)
            shown = prefix + path.relative_to(folder).as_posix()
            link = os.readlink(path) if path.is_symlink() else None
            found.append(Entry(shown, path if link is None else b"", link))
    return found


def digest_of(entries: Sequence[Entry]) -> str:
    """The SHA-256 of entries that are no links: their paths and what is in them."""
    digest = hashlib.sha256()
    for entry in entries:
        content = entry.content
        data = content if isinstance(content, bytes) else content.read_bytes()
        digest.update(f"{len(entry.path.encode())}:{entry.path}:{len(data)}:".encode() + data)
    return digest.hexdigest()


def send_missing(
    connection: Connection, trees: Sequence[Tree], tell: Callable[[int], None]
) -> None:
    """Send what is not there yet.

    Args:
        connection: to the host, its root told.
        trees: what has to be there.
        tell: told how many bytes will be sent.

    Raises:
        ConnectionLostError: the connection is gone; sending again goes on where it ended.
        HostError: it cannot be put there.
        SendError: a file changed or went away here.
    """
    missing = set(_missing(connection, [tree.path for tree in trees]))
    wanted = [(tree, list(tree.entries())) for tree in trees if tree.path in missing]
    sizes = {
        entry.content: _size(entry.content)
        for _, entries in wanted
        for entry in entries
        if isinstance(entry.content, Path)
    }
    shared = {path: _shared(path) for path, size in sizes.items() if size >= _LARGE_BYTES}
    absent = set(_missing(connection, sorted({name for name, _ in shared.values()})))
    new = {name: (path, mode) for path, (name, mode) in shared.items() if name in absent}
    tell(
        sum(sizes[path] for path, _ in new.values())
        + sum(size for path, size in sizes.items() if path not in shared)
    )
    for name, (path, mode) in sorted(new.items()):
        connection.request("file", path=name, size=sizes[path], mode=mode)
        _send_content(connection, path, sizes[path])
    for tree, entries in wanted:
        connection.request("tree", path=tree.path, count=len(entries), private=tree.private)
        for entry in entries:
            _send_entry(connection, entry, sizes, shared, private=tree.private)


def _missing(connection: Connection, paths: Sequence[str]) -> list[str]:
    answer: list[str] = connection.ask("need", paths=list(paths))["missing"] if paths else []
    return answer


def _send_entry(
    connection: Connection,
    entry: Entry,
    sizes: dict[Path, int],
    shared: dict[Path, tuple[str, int]],
    *,
    private: bool,
) -> None:
    content = entry.content
    if entry.link is not None:
        _tell_entry(connection, path=entry.path, link=entry.link)
    elif isinstance(content, bytes):
        mode = _PRIVATE_MODE if private else _SHARED_MODES[False]
        _tell_entry(connection, path=entry.path, size=len(content), mode=mode)
        connection.write(content)
    elif content in shared:
        _tell_entry(connection, path=entry.path, shared=shared[content][0])
    else:
        mode = content.stat().st_mode & 0o777
        if not private:
            mode |= _SHARED_MODES[False]  # another user may have sent it first
        _tell_entry(connection, path=entry.path, size=sizes[content], mode=mode)
        _send_content(connection, content, sizes[content])


def _tell_entry(connection: Connection, **values: object) -> None:
    connection.write(json.dumps(values).encode() + b"\n")


def _send_content(connection: Connection, path: Path, size: int) -> None:
    with path.open("rb") as file:
        left = size
        while left:
            chunk = file.read(min(left, _CHUNK))
            if not chunk:
                raise SendError(f"{path}: became shorter while it was sent; try again")
            connection.write(chunk)
            left -= len(chunk)


def _size(path: Path) -> int:
    return path.stat().st_size


def _shared(path: Path) -> tuple[str, int]:
    """The path and mode there of the one copy of a large file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    executable = os.access(path, os.X_OK)
    name = digest.hexdigest() + ("-executable" if executable else "")
    return (shared_files(Path()) / name).as_posix(), _SHARED_MODES[executable]
