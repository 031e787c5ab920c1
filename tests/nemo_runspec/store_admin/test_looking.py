"""`store ls`, `store show`, `store verify`, `store add`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from nemo_runspec.artifacts.types import ModelArtifact
from nemo_runspec.artifacts.view import set_active_view
from nemo_runspec.store import KeyRecord
from tests.nemo_runspec.store_admin.commands import Build, Shell

HOST = os.uname().nodename


def outputs(shell: Shell) -> Path:
    return shell.folder / ".runspec" / "outputs"


def build(shell: Shell, *builds: Build) -> None:
    for each in builds:
        each.record(shell.store, outputs(shell))


@pytest.mark.parametrize(
    "line",
    [
        "store",
        "store ls",
        "store show",
        "store verify",
        "store add",
        "store gc",
        "promote",
        "accept",
        "revoke",
    ],
)
def test_help_fits_a_terminal(shell: Shell, line: str) -> None:
    for option in ("--help", "-h"):
        page = shell.ok(f"{line} {option}")
        assert page.startswith(f"usage: nemo-runspec {line}")
        assert max(map(len, page.splitlines())) <= 80
    assert not (shell.folder / ".runspec").exists()


def test_help_names_every_command(shell: Shell) -> None:
    page = shell.ok("--help")
    for word in ("store ls", "promote", "accept", "revoke"):
        assert word in page


def test_bad_command_lines(shell: Shell) -> None:
    assert "did you mean 'verify'?" in shell.refused("store verfy")
    assert "did you mean 'promote'?" in shell.refused("promte a:v1 prod")
    assert "did you mean --format?" in shell.refused("store ls --formt json")
    assert "did you mean --size?" in shell.refused("store ls -size")
    assert "cannot be 'jsn'; did you mean 'json'?" in shell.refused("store ls --format=jsn")
    assert "--format has no value" in shell.refused("store ls --format")
    assert "--format has no value" in shell.refused("store ls --format --size")
    assert "--size takes no value" in shell.refused("store ls --size=big")
    assert "--store says 'b', after 'a'" in shell.refused("store ls --store a --store b")
    assert "needs NAME PATH" in shell.refused("store add books")
    assert "what is 'c' for?" in shell.refused("store add a b c --type X")
    assert "--days needs a number" in shell.refused("store gc --days soon")
    assert "there is no such folder" in shell.refused("store ls --store nowhere")
    assert "no store can be kept" in shell.refused("store ls --store ftp://host/x")
    assert not (shell.folder / ".runspec").exists()


def test_an_empty_store(shell: Shell) -> None:
    assert "no artifacts in" in shell.ok("store ls")
    assert shell.json("store ls") == []
    assert "0 versions of 0 artifacts: all is well" in shell.ok("store verify")
    assert "nothing to free" in shell.ok("store gc")
    assert "nothing was recorded" in shell.refused("store show a")
    assert not (shell.folder / ".runspec").exists()


def test_ls(shell: Shell) -> None:
    build(shell, Build("nano3/sft"), Build("nano3/sft"), Build("data"))
    shell.ok("promote nano3/sft:v1 prod")
    header, first, second = shell.ok("store ls").splitlines()
    assert header.split() == ["NAME", "LATEST", "VERSIONS", "ALIASES", "WHEN", "BY"]
    assert first.split()[:4] == ["data", "v1", "1", "-"]
    assert second.split()[:4] == ["nano3/sft", "v2", "2", "prod=v1"]
    assert second.endswith(f"ada@{HOST}")
    (only,) = shell.json("store ls --size 'nano3/*'")
    assert (only["name"], only["latest"], only["aliases"]) == ("nano3/sft", 2, {"prod": 1})
    assert only["size"] == 4
    assert "4 B" in shell.ok("store ls --size")
    assert shell.json("store ls '*nothing*'") == []
    assert "did you mean 'data'?" in shell.refused("store ls dta")


def test_ls_goes_on_past_a_broken_manifest(shell: Shell) -> None:
    build(shell, Build("data"), Build("sft"))
    (Path(shell.store.root) / "data" / "v1" / "manifest.json").write_text("{")
    code, out, err = shell.run("store ls")
    assert code == 1 and "sft" in out
    assert "manifest.json is broken" in err and err.count("\n") == 1


def test_show(shell: Shell) -> None:
    build(
        shell,
        Build("data"),
        Build("sft", used=("data:v1",), key="a" * 64, run={"seconds": 61.25, "commit": "abc"}),
    )
    page = shell.ok("store show sft")
    assert page.splitlines()[0] == "sft:v1"
    for text in ("ModelArtifact", f"ada@{HOST}", "61.25 s", "data:v1", "a" * 64, "loss  "):
        assert text in page
    document = shell.json("store show sft:v1")
    assert document["used_artifacts"] == ["data:v1"]
    assert document["size"] == 4
    assert document["metadata"] == {"loss": 0.5}
    assert document["revoked"] is None and document["gone"] is None


def test_show_what_people_did(shell: Shell) -> None:
    build(shell, Build("sft"), Build("sft"))
    shell.ok("promote sft:v1 prod --reason 'first one'")
    shell.ok("promote sft:v2 prod")
    shell.ok(f"accept sft:v1 --key {'b' * 64} --reason 'renamed a helper'")
    page = shell.ok("store show sft:v1")
    assert "alias prod" in page and "first one" in page
    assert "renamed a helper" in page and "b" * 64 in page
    history = shell.json("store show sft:prod")["aliases"]["prod"]
    assert [entry["version"] for entry in history] == [1, 2]
    assert history[0]["reason"] == "first one"
    shell.ok("revoke sft:v1 --reason 'bad data'")
    assert f"by ada@{HOST}" in shell.ok("store show sft:v1")
    assert shell.json("store show sft:v1")["revoked"]["reason"] == "bad data"


def test_show_what_is_not_there(shell: Shell) -> None:
    build(shell, Build("sft"), Build("sft"))
    assert "it has v1 to v2" in shell.refused("store show sft:v7")
    assert "no alias 'prod'" in shell.refused("store show sft:prod")
    assert "did you mean 'sft'?" in shell.refused("store show sfd")
    assert "is no artifact reference" in shell.refused("store show ../x")


def test_a_namespace_comes_first(shell: Shell) -> None:
    (shell.folder / "env.toml").write_text('[artifacts]\nnamespace = "user/{user}"\n')
    build(shell, Build("sft"), Build("sft"), Build("user/ada/sft"), Build("user/eve/sft"))
    assert shell.ok("store show sft").splitlines()[0] == "user/ada/sft:v1"
    assert shell.ok("store show sft:v2").splitlines()[0] == "sft:v2"
    assert [each["name"] for each in shell.json("store ls sft")] == ["sft", "user/ada/sft"]


def test_verify_lists_every_problem(shell: Shell) -> None:
    build(shell, Build("data"), Build("sft", used=("broken:v1", "other:v9"), key="a" * 64))
    build(shell, Build("sft"), Build("model"), Build("broken"))
    root = Path(shell.store.root)
    shell.ok("promote sft:v2 prod")
    shell.ok("revoke sft:v2 --reason bad")
    shutil.rmtree(outputs(shell) / "data")
    (root / "model" / "latest").write_text("v4")
    (root / "broken" / "v1" / "manifest.json").write_text("{")
    record = json.loads((root / "sft" / "keys" / ("a" * 64)).read_text())
    (root / "sft" / "keys" / ("b" * 64)).write_text(json.dumps({**record, "version": 8}))
    code, out, err = shell.run("store verify")
    assert (code, err) == (1, "")
    for text in (
        "data:v1: no data at",
        "model: latest says v4, which is no complete version",
        "broken:v1: ",
        f"sft: key {'b' * 64} points to v8, which is no complete version",
        "sft: alias prod points to v2, which was revoked; promote another",
        "sft:v1: was made from other:v9, which is not in this store",
        "6 problems",
    ):
        assert text in out, out
    assert shell.run("store verify sft --format json")[0] == 1
    assert "did you mean 'sft'?" in shell.refused("store verify sfd")


def test_add(shell: Shell) -> None:
    (shell.folder / "books").mkdir()
    (shell.folder / "books" / "one.txt").write_text("once")
    line = "store add -m tokens=3 books ./books --type=Books -m 'title=a b' -m ok=true"
    assert shell.ok(line).startswith(f"books:v1  {shell.folder}/books (4 B)")
    manifest = shell.store.manifest("books", 1)
    assert manifest.type == "Books"
    assert manifest.path == str(shell.folder / "books")
    assert manifest.metadata == {"tokens": 3, "title": "a b", "ok": True}
    assert (manifest.content or "").startswith("sha256:")
    assert shell.ok("store verify --content") == "1 version of 1 artifact: all is well\n"
    (shell.folder / "books" / "one.txt").write_text("twice")
    code, out, _ = shell.run("store verify --content")
    assert code == 1 and "is not what was recorded" in out
    assert shell.run("store verify")[0] == 0
    assert shell.ok("store add books books -t Books --content none").startswith("books:v2")
    assert shell.store.manifest("books", 2).content is None


def test_add_what_cannot_be(shell: Shell) -> None:
    (shell.folder / "books").mkdir()
    assert "there is nothing there" in shell.refused("store add a nowhere --type X")
    assert "Write --type" in shell.refused("store add a books")
    assert "name of a class" in shell.refused("store add a books --type 'not one'")
    assert "did you mean ModelArtifact?" in shell.refused("store add a books -t ModelArtifct")
    line = "store add a books -t ModelArtifact -m iteration=many"
    assert "--metadata: is no ModelArtifact: step: " in shell.refused(line)
    assert "cannot be the name" in shell.refused("store add ../a books --type X")
    assert "needs KEY=VALUE" in shell.refused("store add a books --type X -m tokens")
    assert "says k twice" in shell.refused("store add a books --type X -m k=1 -m k=2")
    assert not (shell.folder / ".runspec").exists()


def test_what_was_added_can_be_loaded(shell: Shell) -> None:
    (shell.folder / "model").mkdir()
    shell.ok("store add model model -t ModelArtifact -m iteration=7 -m note=good")
    set_active_view(None)
    model = ModelArtifact.from_uri("art://model")
    assert (model.path, model.iteration) == (shell.folder / "model", 7)
    assert model.metadata["note"] == "good"


def test_add_within_a_namespace(shell: Shell) -> None:
    (shell.folder / "env.toml").write_text('[artifacts]\nnamespace = "user/{user}"\n')
    assert shell.ok("store add here . --type Books").startswith("user/ada/here:v1")


def test_other_stores(shell: Shell) -> None:
    build(shell, Build("sft"))
    other = shell.folder / "other"
    (shell.folder / "env.toml").write_text(f'[artifacts.manifest]\nroot = "{other}"\n')
    assert "there is no such folder" in shell.refused("store ls")
    shell.ok("store add here env.toml --type Books")
    assert [each["name"] for each in shell.json("store ls")] == ["here"]
    (line,) = shell.json("store ls --store .runspec/artifacts")
    assert line["name"] == "sft"
    (shell.folder / "env.toml").write_text("[artifacts]\nmanifest = { root = 3 }\n")
    assert "env.toml" in shell.refused("store ls")


def test_a_foreign_store(shell: Shell) -> None:
    root = Path(shell.store.root)
    version = root / "model" / "v1"
    version.mkdir(parents=True)
    data = shell.folder / "model"
    data.mkdir()
    manifest = {"name": "model", "version": 1, "path": str(data), "type": "ModelArtifact"}
    (version / "manifest.json").write_text(json.dumps(manifest))
    (version / "metadata.json").write_text("{}")
    (root / "model" / "latest").write_text("v1")
    assert shell.json("store ls")[0]["by"] == "-"
    assert shell.ok("store verify") == "1 version of 1 artifact: all is well\n"
    assert "not ours to free" not in shell.ok("store gc")


def test_a_key_for_another_content(shell: Shell) -> None:
    build(shell, Build("sft", key="a" * 64))
    shell.store.set_key("sft", "c" * 64, KeyRecord(1, "sha256:x", "/x", None, "2026-01-01T00:00Z"))
    code, out, _ = shell.run("store verify")
    assert code == 1 and f"key {'c' * 64} takes v1 for sha256:x" in out
