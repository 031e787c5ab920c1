from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import fsspec
import pytest

from nemo_runspec.artifacts import Artifact
from nemo_runspec.artifacts.content import ContentError, content_digest


def folder(root: Path, **files: str) -> Path:
    root.mkdir(parents=True)
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


def digest(path: Path | str, metadata: dict[str, Any] | None = None, **options: Any) -> str | None:
    return content_digest(path, metadata or {}, options.pop("mode", "hash"), **options)


def test_the_canonical_form(tmp_path: Path) -> None:
    data = folder(tmp_path / "d", b__c="two", a="one")
    files = [
        [name, len(text), hashlib.sha256(text.encode()).hexdigest()]
        for name, text in (("a", "one"), ("b/c", "two"))
    ]
    text = json.dumps(["runspec-content-1", files, {"x": 1}], separators=(",", ":"))
    expected = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert digest(data, {"x": 1, "created_at": "now", "elapsed_sec": 3}) == expected
    # A test vector: the form must not change under stored digests.
    assert expected == "sha256:" + VECTOR


VECTOR = "af5d11ce15835bc2d93d6a8b464416412096209a1878fad1f8698f1b7ec6b8e2"


def test_the_same_content_elsewhere(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "another"):
        data = folder(tmp_path / name / "out", blend=json.dumps([str(tmp_path / name / "out/x")]))
        metadata = {
            "path": str(data),
            "blend_path": f"{data}/blend.json",
            "created_at": name,
            "metadata": {"elapsed_sec": len(name), "seconds": len(name), "n": 1},
        }
        digests.add(digest(data, metadata, volatile={"seconds"}))
    assert len(digests) == 1


def test_the_output_folder_is_the_base(tmp_path: Path) -> None:
    digests = {
        digest(
            folder(tmp_path / n / "deep", a="x"), {"log": f"{tmp_path}/{n}/log"}, base=tmp_path / n
        )
        for n in ("one", "another")
    }
    assert len(digests) == 1


def test_what_changes_it(tmp_path: Path) -> None:
    data = folder(tmp_path / "d", a="one")
    before = digest(data, {"n": 1})
    assert digest(data, {"n": 2}) != before
    (data / "a").write_text("two", "utf-8")
    assert digest(data, {"n": 1}) != before
    (data / "a").write_text("one", "utf-8")
    assert digest(data, {"n": 1}) == before
    (data / "a").rename(data / "b")
    assert digest(data, {"n": 1}) != before


def test_files_of_any_size(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * (3 << 20))
    before = digest(large)
    large.write_bytes(b"x" * ((3 << 20) - 1) + b"y")
    assert digest(large) != before


def test_what_save_writes_is_no_data(tmp_path: Path) -> None:
    data = folder(tmp_path / "d", a="one")
    before = digest(data)
    Artifact(path=data).save()
    (data / ".runspec").mkdir()
    (data / ".runspec/note").write_text("x", "utf-8")
    assert digest(data) == before
    (data / "metadata.json").write_text('{"mine": 1}', "utf-8")
    assert digest(data) != before


def test_links(tmp_path: Path) -> None:
    data = folder(tmp_path / "d", iter_1__a="one", iter_2__a="two")
    (data / "latest").symlink_to("iter_1")
    (data / "gone").symlink_to("nowhere")
    before = digest(data)
    (data / "latest").unlink()
    (data / "latest").symlink_to("iter_2")
    assert digest(data) != before


def test_by_size_and_time(tmp_path: Path) -> None:
    data = folder(tmp_path / "d", a="one")
    os.utime(data / "a", ns=(1, 1))
    before = digest(data, mode="stat")
    assert before is not None
    assert before.startswith("stat:")
    (data / "a").write_text("two", "utf-8")
    os.utime(data / "a", ns=(1, 1))
    assert digest(data, mode="stat") == before
    os.utime(data / "a", ns=(1, 2))
    assert digest(data, mode="stat") != before
    assert digest(data, mode="none") is None


def test_a_url_has_the_digest_of_the_same_folder(tmp_path: Path) -> None:
    data = folder(tmp_path / "d", a="one", b__c="two")
    memory = fsspec.filesystem("memory")
    for name in ("a", "b/c"):
        memory.pipe_file(f"/content-test/d/{name}", (data / name).read_bytes())
    assert digest("memory://content-test/d") == digest(data)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="no: cannot be read: No such file"):
        digest(tmp_path / "no")
    with pytest.raises(ContentError, match="there is nothing there"):
        digest("memory://content-test/no")
