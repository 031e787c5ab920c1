"""What is attached to versions, on every kind of root."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from nemo_runspec.exceptions import ArtifactNotFoundError, ArtifactVersionNotFoundError
from nemo_runspec.store import (
    Store,
    StoreError,
    StoreNameError,
    StoreUnreachableError,
    VersionDraft,
    attachments,
    open_store,
)


def test_what_was_attached_comes_back(store: Store) -> None:
    store.add_version("team/model", VersionDraft(path="/x"))
    store.add_version("team/model", VersionDraft(path="/y"))
    assert store.attachments("team/model", 1) == []
    assert store.attachment("team/model", 1, "metrics.jsonl") is None
    assert store.attached("team/model", 1) == {}
    body = "{'ünï': '; echo foo'}\n\0".encode()
    store.attach("team/model", 1, "metrics.jsonl", b"first")
    store.attach("team/model", 1, "metrics.jsonl", body)
    store.attach("team/model", 1, "card-1.html", b"<p>")
    other = Store(store._backend)
    assert other.attachments("team/model", 1) == ["card-1.html", "metrics.jsonl"]
    assert other.attachment("team/model", 1, "metrics.jsonl") == body
    assert other.attached("team/model", 1) == {"card-1.html": b"<p>", "metrics.jsonl": body}
    assert other.attachments("team/model", 2) == []


def test_nothing_else_takes_notice(store: Store) -> None:
    """Labels that are called as the store's own files are, too."""
    before = store.add_version("a", VersionDraft(path="/x"))
    for label in ("manifest.json", "metadata.json", "latest", "v7", "keys"):
        store.attach("a", 1, label, b'{"path": "/wrong"}')
    store.add_version("a", VersionDraft(path="/y"))
    found = Store(store._backend)
    assert found.names() == ["a"]
    assert found.versions("a") == [1, 2]
    assert found.latest("a") == 2
    assert found.manifest("a", 1) == before
    assert found.metadata("a", 1) == {}
    assert found.keys("a") == {}
    found.prefetch(["a"])
    assert found.latest_manifests(["a"])["a"].version == 2
    assert store.dead_claims("a", 0.0) == []


@pytest.mark.parametrize("label", ["", ".x", "_x", "a/b", "../x", "a b", "x\n", "ü", "x" * 300])
def test_what_cannot_be_a_label(label: str) -> None:
    store = open_store("memory://labels")
    store.add_version("a", VersionDraft(path="/x"))
    with pytest.raises(StoreNameError, match="cannot be an attachment"):
        store.attach("a", 1, label, b"x")
    assert store.attachments("a", 1) == []


def test_versions_that_are_not_there(store: Store) -> None:
    with pytest.raises(ArtifactNotFoundError):
        store.attach("a", 1, "x", b"x")
    store.add_version("a", VersionDraft(path="/x"))
    with pytest.raises(ArtifactVersionNotFoundError, match="there are: v1"):
        store.attach("a", 2, "x", b"x")
    assert store.versions("a") == [1]


def test_limits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MOST_BYTES", 10)
    monkeypatch.setattr(attachments, "MOST_ATTACHMENTS", 2)
    store.add_version("a", VersionDraft(path="/x"))
    with pytest.raises(StoreError, match="is 11 bytes long"):
        store.attach("a", 1, "x", b"x" * 11)
    with pytest.raises(StoreError, match="is empty"):
        store.attach("a", 1, "x", b"")
    store.attach("a", 1, "x", b"x" * 10)
    store.attach("a", 1, "y", b"y")
    store.attach("a", 1, "y", b"z")
    with pytest.raises(StoreError, match="z is one too many"):
        store.attach("a", 1, "z", b"z")
    assert store.attached("a", 1) == {"x": b"x" * 10, "y": b"z"}


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    store = open_store(str(tmp_path / "file"))
    with pytest.raises(StoreUnreachableError):
        store.attach("a", 1, "x", b"x")
    with pytest.raises(StoreUnreachableError):
        store.attachments("a", 1)


def _attach_often(root: str, letter: str, started: Callable[[], None]) -> None:
    store = open_store(root)
    for number in range(200):
        store.attach("a", 1, "same", letter.encode() * 5000)
        store.attach("a", 1, f"{letter}-{number % 50}", letter.encode())
        if number == 20:
            started()


def test_two_processes_at_once_and_one_killed_on_the_way(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.add_version("a", VersionDraft(path="/x"))
    context = multiprocessing.get_context("spawn")
    events = [context.Event(), context.Event()]
    writers = [
        context.Process(target=_attach_often, args=(str(tmp_path), letter, event.set), daemon=True)
        for letter, event in zip("xy", events, strict=True)
    ]
    for writer in writers:
        writer.start()
    assert events[0].wait(60)
    writers[0].kill()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [-signal.SIGKILL, 0]
    attached = store.attached("a", 1)
    assert attached["same"] in (b"x" * 5000, b"y" * 5000)
    assert {f"y-{number}" for number in range(50)} <= set(attached)
    assert all(body == label[0].encode() for label, body in attached.items() if label != "same")
    assert store.versions("a") == [1]


def test_threads_replace_whole(store: Store) -> None:
    store.add_version("a", VersionDraft(path="/x"))
    threads = [
        threading.Thread(
            target=lambda letter: store.attach("a", 1, "same", letter * 3000), args=(letter,)
        )
        for letter in (b"x", b"y", b"z")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert store.attachment("a", 1, "same") in (b"x" * 3000, b"y" * 3000, b"z" * 3000)
