"""Roots that do not do what is asked of them, and what only folders do."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.store import (
    KeyRecord,
    Lease,
    Store,
    StoreFormatError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnreachableError,
    StoreUnsupportedError,
    VersionDraft,
    open_store,
    posix,
)
from tests.nemo_runspec.store.s3_server import make_bucket

DRAFT = VersionDraft(path="/x")


@pytest.mark.parametrize(
    "root",
    [
        "ftp://host/x",
        "zip://x.zip",
        "http://host/x",
        "sftp://host/x",
        "simplecache::s3://bucket/x",
        "s4://bucket/x",
        "",
        "a\nb",
        "a\0b",
    ],
)
def test_roots_that_cannot_hold_a_store(root: str) -> None:
    with pytest.raises(StoreUnsupportedError, match=r"s3") as caught:
        open_store(root)
    assert "\n" not in str(caught.value)


def test_a_root_is_a_path_or_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for root in ("x", "./x", f"{tmp_path}/x", f"file://{tmp_path}/x", f"local://{tmp_path}/x"):
        store = open_store(root)
        assert (store.root, store.is_local) == (str(tmp_path / "x"), True)
    with pytest.raises(StoreUnreachableError, match="does not exist"):
        open_store("x", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_local_store_imports_no_file_system_library() -> None:
    code = (
        "import sys, nemo_runspec.store as s; s.open_store('/tmp').latest('a');"
        "print([m for m in ('fsspec', 'omegaconf', 'pydantic', 'yaml') if m in sys.modules])"
    )
    path = os.pathsep.join(filter(None, sys.path))
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, stdout=-1, check=True
    )
    assert ran.stdout.strip() == b"[]"


def test_a_file_in_place_of_the_root(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("x")
    store = open_store(str(tmp_path / "root"))
    for call in (
        lambda: store.latest("a"),
        store.names,
        lambda: store.versions("a"),
        lambda: store.find_key("a", "k"),
        lambda: store.add_version("a", DRAFT),
        lambda: store.acquire("a", {}),
    ):
        with pytest.raises(StoreUnreachableError, match="is a file, not a folder"):
            call()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)], stderr=subprocess.PIPE
    )
    if mounted.returncode:
        pytest.skip(
            "may not mount; as root: mount -t tmpfs -o size=128k tmpfs DIR "
            f"({mounted.stderr.decode().strip()})"
        )
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    store = open_store(f"{small_disk}/store")
    written = []
    with pytest.raises(StoreFullError, match="No space left on device.*free some room") as caught:
        for _ in range(100):
            written.append(
                store.add_version("a", VersionDraft(path="/x", metadata={"x": "y" * 5000}))
            )
    assert "\n" not in str(caught.value)
    assert store.versions("a") == [one.version for one in written]
    assert store.latest("a") == len(written)
    assert store.manifest("a", len(written)) == written[-1]
    for number in range(1, 4):  # some room
        (small_disk / "store" / "a" / f"v{number}" / "manifest.json").unlink()
        (small_disk / "store" / "a" / f"v{number}" / "metadata.json").unlink()
    following = store.add_version("a", DRAFT)
    assert store.latest("a") == following.version
    assert store.versions("a") == [one.version for one in written[3:]] + [following.version]


def test_a_full_disk_from_the_start(small_disk: Path) -> None:
    (small_disk / "store").mkdir()
    with pytest.raises(OSError), open(small_disk / "fill", "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(StoreFullError):
        open_store(f"{small_disk}/store").add_version("a", DRAFT)


def test_a_read_only_store(small_disk: Path) -> None:
    store = open_store(f"{small_disk}/store")
    version = store.add_version("a", VersionDraft(path="/x"))
    record = KeyRecord(1, version.identity, "/x", None, version.created_at)
    store.set_key("a", "k", record)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    _check_read_only(store, record)
    _check_read_only(open_store(store.root), record)
    with pytest.raises(StoreReadOnlyError):
        open_store(f"{small_disk}/other").add_version("a", DRAFT)


def _check_read_only(store: Store, record: KeyRecord) -> None:
    assert store.latest("a") == 1
    assert store.find_key("a", "k") == record
    assert store.lease_holder("a/k") is None
    for call in (
        lambda: store.add_version("a", DRAFT),
        lambda: store.set_key("a", "k", record),
        lambda: store.set_alias("a", "prod", 1, by="x"),
        lambda: store.revoke("a", 1, by="x", reason="y"),
        lambda: store.acquire("a/k", {}),
        lambda: store.write_run("r", {}),
    ):
        with pytest.raises(StoreReadOnlyError, match="Read-only file system") as caught:
            call()
        assert store.root in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_bucket_that_is_not_there(s3: dict[str, Any]) -> None:
    store = open_store("s3://no-such-bucket/x", storage_options=s3)
    for call in (
        lambda: store.latest("a"),
        lambda: store.find_key("a", "k"),
        lambda: store.add_version("a", DRAFT),
        store.names,
    ):
        with pytest.raises(StoreUnreachableError, match="no bucket 'no-such-bucket'") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there(s3: dict[str, Any]) -> None:
    nowhere = {**s3, "client_kwargs": {"endpoint_url": "http://127.0.0.1:9"}}
    store = open_store("s3://bucket/x", storage_options=nowhere)
    with pytest.raises(StoreUnreachableError, match="127.0.0.1:9") as caught:
        store.add_version("a", DRAFT)
    assert "\n" not in str(caught.value)


def test_a_root_that_cannot_create_for_one_alone_is_refused(s3: dict[str, Any]) -> None:
    root = make_bucket(s3, "unconditional")
    settings = b'{"schema": "1", "capabilities": {"exclusive_create": false}}'
    store = open_store(root, storage_options=s3)
    store._backend.write("_store.json", settings)
    with pytest.raises(StoreUnsupportedError, match="overwrite each other"):
        store.add_version("a", DRAFT)
    assert store.names() == []


def test_what_a_root_can_do_is_tried_once_and_kept(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.latest("a")
    assert list(tmp_path.iterdir()) == []
    store.add_version("a", DRAFT)
    kept = (tmp_path / "_store.json").read_bytes()
    open_store(str(tmp_path)).add_version("a", DRAFT)
    assert (tmp_path / "_store.json").read_bytes() == kept
    (tmp_path / "_store.json").write_text('{"schema": "2.0"}')
    with pytest.raises(StoreFormatError, match=r"_store.json is of schema '2.0'"):
        open_store(str(tmp_path)).add_version("a", DRAFT)


class _NoLinksOs:
    """The module `os` on a file system that has no hard links."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    @staticmethod
    def link(*args: Any, **kwargs: Any) -> None:
        raise OSError(95, "Operation not supported")


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posix, "os", _NoLinksOs())
    store = open_store(str(tmp_path))
    assert [store.add_version("a", DRAFT).version for _ in range(3)] == [1, 2, 3]
    assert b'"O_EXCL"' in (tmp_path / "_store.json").read_bytes()
    assert isinstance(store.acquire("a/k", {"x": 1}), Lease)
    assert not isinstance(store.acquire("a/k", {}), Lease)
    monkeypatch.undo()
    assert open_store(str(tmp_path)).add_version("a", DRAFT).version == 4


def test_a_retransmitted_create_is_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file server did it, its answer was lost, and the client asked again."""

    class Retransmitting(_NoLinksOs):
        @staticmethod
        def link(source: str, target: str) -> None:
            os.link(source, target)
            raise FileExistsError(17, "File exists")

    monkeypatch.setattr(posix, "os", Retransmitting())
    store = open_store(str(tmp_path))
    assert [store.add_version("a", DRAFT).version for _ in range(3)] == [1, 2, 3]


def test_a_store_that_a_group_shares(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        store: Store = open_store(f"{tmp_path}/team/store", shared="group")
        version = store.add_version("a/b", DRAFT)
        store.set_key("a/b", "k", KeyRecord(1, version.identity, "/x", None, ""))
        store.set_alias("a/b", "prod", 1, by="x")
        store.revoke("a/b", 1, by="x", reason="y")
        store.write_run("r", {})
        assert isinstance(store.acquire("a/b/k", {}), Lease)
    finally:
        os.umask(before)
    for path in [tmp_path / "team" / "store", *(tmp_path / "team" / "store").rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = 0o2770 if path.is_dir() else 0o660
        assert mode & wanted == wanted, f"{path} is {mode:o}"


def test_all_errors_are_the_librarys() -> None:
    for kind in (StoreFullError, StoreReadOnlyError, StoreUnreachableError, StoreFormatError):
        assert issubclass(kind, NemoRunspecError)
