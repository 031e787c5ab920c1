from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.relay.host import Connection, ConnectionLostError, HostError
from nemo_runspec.relay.send import Entry, SendError, Tree, digest_of, folder_entries, send_missing

NAMES = ("with space", "ü→", "a\nb", '"q"', "$HOME", "-x", "; echo foo")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        (folder / name / name).write_text(name)
    (folder / "program").write_bytes(b"#!/bin/sh\n")
    (folder / "program").chmod(0o755)
    (folder / "large").write_bytes(os.urandom(1 << 20))
    (folder / "again").write_bytes((folder / "large").read_bytes())
    (folder / "link").symlink_to("program")
    (folder / "way").symlink_to("with space")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").touch()
    return folder


def send(connection: Connection, *trees: Tree) -> int:
    """Sends; returns how many bytes were announced."""
    told: list[int] = []
    send_missing(connection, trees, told.append)
    connection.ask("need", paths=[])  # all of it has arrived when this is answered
    return told[0]


def contents(folder: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else (path.read_bytes(), path.stat().st_mode & 0o111)
        for path in folder.rglob("*")
        if (path.is_symlink() or path.is_file()) and "__pycache__" not in path.parts
    }


def test_folder_arrives_as_it_is(
    connect: Callable[[], Connection], folder: Path, root: Path
) -> None:
    tree = Tree("_bundles/one", lambda: folder_entries(folder))
    assert send(connect(), tree) > 1 << 20
    assert contents(root / "_bundles" / "one") == contents(folder)
    assert not list(root.rglob(".receiving-*"))


def test_nothing_is_sent_twice(connect: Callable[[], Connection], folder: Path, root: Path) -> None:
    tree = Tree("_bundles/one", lambda: folder_entries(folder))
    send(connect(), tree)
    assert send(connect(), tree) == 0
    # Another bundle with the same wheels brings what is small, and no more.
    assert send(connect(), Tree("_bundles/two", tree.entries)) < 1 << 10
    assert len(list((root / "_files").iterdir())) == 1
    assert contents(root / "_bundles" / "two") == contents(folder)


def test_cut_in_the_middle_leaves_nothing_half(
    connect: Callable[[], Connection], folder: Path, root: Path
) -> None:
    entries = folder_entries(folder)
    connection = connect()
    connection.request("file", path="_files/abc", size=100, mode=0o444)
    connection.write(b"x" * 50)
    connection.close()
    connection = connect()
    connection.request("tree", path="_bundles/one", count=2, private=False)
    connection.write(json.dumps({"path": "a", "size": 3, "mode": 0o644}).encode() + b"\nabc")
    connection.close()
    assert not (root / "_bundles" / "one").exists()
    assert not (root / "_files" / "abc").exists()
    assert not list(root.rglob(".receiving-*"))
    send(connect(), Tree("_bundles/one", lambda: entries))
    assert contents(root / "_bundles" / "one") == contents(folder)


def test_what_all_share_can_be_read_by_all(
    connect: Callable[[], Connection], tmp_path: Path, root: Path
) -> None:
    file = tmp_path / "file"
    file.touch(mode=0o600)
    entries = [Entry("made", b"x"), Entry("found", file)]
    send(connect(), Tree("shared", lambda: entries), Tree("own", lambda: entries, private=True))
    modes = {
        str(path.relative_to(root)): path.stat().st_mode & 0o777
        for name in ("shared", "own")
        for path in (root / name).iterdir()
    }
    assert modes == {
        "shared/made": 0o444,
        "shared/found": 0o644,
        "own/made": 0o600,
        "own/found": 0o600,
    }


def test_first_of_two_stays(connect: Callable[[], Connection], root: Path) -> None:
    one, two = connect(), connect()
    for connection, text in ((one, b"one"), (two, b"two")):
        connection.request("tree", path="_bundles/x", count=1, private=True)
        entry = {"path": "text", "size": 3, "mode": 0o600}
        connection.write(json.dumps(entry).encode() + b"\n" + text)
        connection.ask("need", paths=[])
    assert (root / "_bundles" / "x" / "text").read_bytes() == b"one"
    assert (root / "_bundles" / "x").stat().st_mode & 0o777 == 0o700


def test_what_cannot_be_written_is_said(connect: Callable[[], Connection], root: Path) -> None:
    connection = connect()
    (root / "_bundles").write_text("in the way")
    with pytest.raises(HostError, match="there: .*_bundles: File exists"):
        send(connection, Tree("_bundles/one", lambda: [Entry("a", b"x")]))


def test_file_that_shrinks(connect: Callable[[], Connection], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 10)

    def entries() -> list[Entry]:
        return [_Shrinking("a", file)]

    class _Shrinking(Entry):
        def __getattribute__(self, name: str) -> Any:
            if name == "path":
                file.write_bytes(b"x")
            return super().__getattribute__(name)

    with pytest.raises(SendError, match="became shorter"):
        send(connect(), Tree("x", entries))


def test_lost_connection(connect: Callable[[], Connection]) -> None:
    connection = connect()
    connection._process.kill()
    with pytest.raises(ConnectionLostError):
        connection.ask("need", paths=["x"])


def test_digest_tells_paths_and_contents_apart(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    digests = {
        digest_of([Entry("a", b"x")]),
        digest_of([Entry("a", b"y")]),
        digest_of([Entry("b", b"x")]),
        digest_of([Entry("a", b"x"), Entry("b", b"")]),
    }
    assert len(digests) == 4
    assert digest_of([Entry("a", tmp_path / "file")]) == digest_of([Entry("a", b"x")])
