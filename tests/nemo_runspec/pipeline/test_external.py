from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec  # type: ignore[import-untyped]
import pytest

from nemo_runspec.pipeline.external import ExternalInputError, fingerprint, is_unchecked


def test_a_file_counts_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "x y.txt"
    file.write_text("one")
    first = fingerprint("x y.txt", root=tmp_path)
    assert first.startswith("sha256:")
    os.utime(file, (1, 1))
    assert fingerprint("x y.txt", root=tmp_path) == first
    # Wherever it lies, and however it is named.
    assert fingerprint(str(file), root=Path("/")) == fingerprint(f"file://{file}", root=Path("/"))
    file.write_text("two")
    assert fingerprint("x y.txt", root=tmp_path) != first


def test_a_folder_counts_by_names_and_content(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "1").write_text("1")
    (folder / "2").write_text("2")
    first = fingerprint("raw", root=tmp_path)
    assert fingerprint("raw/", root=tmp_path) == first
    (folder / "2").rename(folder / "3")
    second = fingerprint("raw", root=tmp_path)
    (folder / "3").rename(folder / "2")
    (folder / "a" / "1").write_text("11")
    assert len({first, second, fingerprint("raw", root=tmp_path)}) == 3


def test_above_the_limit_sizes_and_times_count(tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(b"x" * 100)
    assert fingerprint("big", root=tmp_path, limit=100).startswith("sha256:")
    first = fingerprint("big", root=tmp_path, limit=99)
    assert first.startswith("stat:")
    os.utime(file, (1, 1))
    assert fingerprint("big", root=tmp_path, limit=99) != first


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ExternalInputError, match="raw/words.txt does not exist .*build root"):
        fingerprint("raw/words.txt", root=tmp_path)
    with pytest.raises(ExternalInputError, match="memory://nothing/here does not exist"):
        fingerprint("memory://nothing/here", root=tmp_path)
    with pytest.raises(ExternalInputError, match="gopher://x/y cannot be reached"):
        fingerprint("gopher://x/y", root=tmp_path)


def test_what_is_declared_is_not_looked_at(tmp_path: Path) -> None:
    assert is_unchecked("unchecked:gopher://x") and not is_unchecked("raw")
    assert fingerprint("unchecked:gopher://x", root=tmp_path) == "unchecked"


def test_other_file_systems_count_by_what_they_tell(tmp_path: Path) -> None:
    folder = f"memory://{uuid.uuid4().hex}"
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe(f"{folder}/a", b"one")
    first = fingerprint(folder, root=tmp_path)
    assert first == fingerprint(folder, root=tmp_path)
    filesystem.pipe(f"{folder}/b", b"two")
    assert fingerprint(folder, root=tmp_path) != first


@contextmanager
def serve(headers: dict[str, str], status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/words.txt"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_http_counts_by_etag_else_by_time(tmp_path: Path) -> None:
    with serve({"ETag": '"abc"', "Last-Modified": "x"}) as url:
        assert fingerprint(url, root=tmp_path) == "etag:abc"
    with serve({"Last-Modified": "Mon, 01 Jan 2024", "Content-Length": "3"}) as url:
        first = fingerprint(url, root=tmp_path)
    with serve({"Last-Modified": "Tue, 02 Jan 2024", "Content-Length": "3"}) as url:
        assert first.startswith("modified:") and fingerprint(url, root=tmp_path) != first


def test_a_password_of_a_url_is_never_told(tmp_path: Path) -> None:
    for scheme in ("https", "gopher"):
        with pytest.raises(ExternalInputError) as caught:
            fingerprint(f"{scheme}://ada:hunter2hunter2@localhost/x", root=tmp_path)
        assert f"{scheme}://ada:******@localhost/x" in str(caught.value)
        assert "hunter2" not in str(caught.value)


def test_http_without_either_has_to_be_declared(tmp_path: Path) -> None:
    with serve({}) as url, pytest.raises(ExternalInputError, match=f"write unchecked:{url}"):
        fingerprint(url, root=tmp_path)
    with serve({}, status=404) as url, pytest.raises(ExternalInputError, match="404"):
        fingerprint(url, root=tmp_path)
