"""The commands on an object store, with the data there, too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.store import VersionDraft, open_store
from tests.nemo_runspec.store.s3_server import make_bucket, s3_server
from tests.nemo_runspec.store_admin.commands import Shell


@pytest.fixture
def s3() -> Iterator[dict[str, Any]]:
    with s3_server() as options:
        yield options


def test_every_command(shell: Shell, s3: dict[str, Any]) -> None:
    import s3fs

    bucket = make_bucket(s3, "team")
    root = f"{bucket}/artifacts"
    options = {**{k: v for k, v in s3.items() if k != "client_kwargs"}, **s3["client_kwargs"]}
    table = ", ".join(f"{key} = {json.dumps(value)}" for key, value in options.items())
    (shell.folder / "env.toml").write_text(
        f'[artifacts.manifest]\nroot = "{root}"\nstorage_options = {{ {table} }}\n'
    )
    files = s3fs.S3FileSystem(**s3, skip_instance_cache=True)
    store = open_store(root, storage_options=s3)
    assert "no artifacts" in shell.ok("store ls")

    files.pipe_file("team/books/one.txt", b"once")
    assert shell.ok(f"store add books {bucket}/books --type Books").startswith("books:v1")
    for number in (1, 2, 3):
        files.pipe_file(f"team/outputs/model/{number}/weights", b"w" * number)
        path = f"{bucket}/outputs/model/{number}"
        draft = VersionDraft(path=path, used_artifacts=("books:v1",), extra={"owned": True})
        store.add_version("model", draft)
    assert [each["size"] for each in shell.json("store ls --size")] == [4, 3]
    assert shell.ok("promote model:v2 prod") == "model:prod is v2 now\n"
    assert shell.json("store show model:prod")["size"] == 2
    assert shell.ok("store verify --content").endswith("all is well\n")

    assert "model:v1" in shell.ok("store gc")
    assert files.exists("team/outputs/model/1/weights")
    shell.ok("store gc --yes")
    assert not files.exists("team/outputs/model/1")
    assert files.exists("team/outputs/model/2/weights") and files.exists("team/books/one.txt")

    files.pipe_file("team/artifacts/model/v4/_claim", b"{}")
    store.add_version("model", VersionDraft(path=f"{bucket}/outputs/model/3"))
    assert store.dead_claims("model", -60) == [4]
    store.drop_claim("model", 4)
    assert not files.exists("team/artifacts/model/v4")

    shell.ok(f"accept model:v2 --key {'a' * 64} --reason same")
    out = shell.ok("revoke books:v1 --reason bad")
    assert "3 versions" in out and "model:prod" in out
    assert "was revoked" in shell.refused("promote model:v3 prod")


def test_a_store_that_does_not_answer(shell: Shell, tmp_path: Path) -> None:
    line = "store ls --store s3://nobody/artifacts"
    (shell.folder / "env.toml").write_text(
        "[artifacts.manifest]\n"
        'storage_options = { endpoint_url = "http://127.0.0.1:9", key = "x", secret = "y" }\n'
    )
    assert "s3://nobody/artifacts" in shell.refused(line)
