"""`nemo-runspec why`: two versions compared."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

from nemo_runspec.store import VersionDraft
from tests.nemo_runspec.lineage.family import Family
from tests.nemo_runspec.store_admin.commands import Shell


def plain(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", text)


def test_a_config_key_and_what_came_of_it(shell: Shell, family: Family) -> None:
    assert (
        plain(shell.ok("why model:v2 v1"))
        == """\
model:v2 compared with model:v1
  model:v2  TIME by ada@node1
  model:v1  TIME by ada@node1

What made them differ:
  lr: 0.1 -> 0.2

The data is not the same.

WHAT  v1   v2    CHANGE
loss  0.1  0.2  +100.0%
"""
    )


def test_the_other_one_can_be_named_in_many_ways(shell: Shell, family: Family) -> None:
    expected = shell.ok("why model:v2 v1")
    shell.ok("promote model:v1 prod")
    for words in ("model:v2", "model", "model:v2 model:v1", "model:v2 prod", "model:v2 :prod"):
        assert shell.ok(f"why {words}") == expected
    assert "-> 0.1" in shell.ok("why model:v1 latest")
    assert shell.ok("why model:v1 2").splitlines()[0] == "model:v1 compared with model:v2"
    assert shell.refused("why model:v2 latest").startswith("both are model:v2; name another")


def test_down_to_the_input_of_an_input(shell: Shell, family: Family) -> None:
    family.add("tokens", ["books:v1"], files={"clean.py": "2", "tok.py": "1"}, keys=["raw"])
    family.add("model", ["tokens:v2"], config={"lr": 0.2, "steps": 10}, keys=["data"])
    family.add("scores", ["model:v3", "tokens:v2"], keys=["model", "data"])
    out = shell.ok("why scores:v2 v1")
    assert "input model (run.model): v2 (sha256:" in out and "-> v3 (sha256:" in out
    assert "model:v3 and v2, which they were made from:\n  input tokens (run.data): v1" in out
    assert "tokens:v2 and v1, which they were made from:" in out
    assert "  clean.py new\n  tok.py new\n  train.py removed\n" in out
    document = shell.json("why scores:v2 v1")
    assert [(each["new"], each["old"]) for each in document["made_from"]] == [
        ("model:v3", "model:v2"),
        ("tokens:v2", "tokens:v1"),
    ]
    assert document["reasons"][0]["category"] == "input"
    assert document["why"].startswith("input model (run.model): v2")


def test_an_input_that_came_out_the_same_is_no_reason(shell: Shell, family: Family) -> None:
    for text in ("1", "2"):
        family.add("tokens", ["books:v1"], files={"tok.py": text}, content="the same")
    for tokens, rate in (("tokens:v2", 0.1), ("tokens:v3", 0.2)):
        family.add("model", [tokens], config={"lr": rate}, keys=["data"])
    document = shell.json("why model:v4 v3")
    assert [each["text"] for each in document["reasons"]] == ["lr: 0.1 -> 0.2"]
    assert document["made_from"] == []


def test_requirements_commits_and_where_it_ran(shell: Shell, family: Family) -> None:
    store = family.store
    old = family.made["model:v2"]
    parts: dict[str, Any] = {
        **dict(old.parts or {}),
        "environment": {"requirements": "other", "image": "nemo:2"},
    }
    explain = {**dict(old.explain or {}), "requirements": {"numpy": "2"}}
    run = {**old.run, "commit": "beef" + 36 * "0", "dirty": True, "host": "node2", "seconds": 30.0}
    store.add_version(
        "model",
        VersionDraft(path="/x", key="e" * 64, parts=parts, explain=explain, run=run),
    )
    out = shell.ok("why model:v3 v2")
    assert "  requirement numpy: 1 -> 2\n  image: none -> nemo:2\n" in out
    rows = {line.split("  ")[0]: line.split() for line in out.splitlines()}
    assert rows["commit"] == ["commit", "c0ffee0000", "beef000000", "and", "changes"]
    assert rows["host"][1:] == ["node1", "node2"]
    assert rows["seconds"][1:] == ["60", "30", "-50.0%"]
    document = shell.json("why model:v3 v2")
    assert document["run"]["commit"]["new"] == "beef000000 and changes"
    assert document["same_content"] is None


def test_the_commits_that_changed_the_files(shell: Shell, family: Family) -> None:
    env = {
        **os.environ,
        **{
            f"GIT_{who}_{what}": "a@b"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
        "GIT_CONFIG_GLOBAL": os.devnull,
    }

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=shell.folder, env=env, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    (shell.folder / ".git").rmdir()
    git("init", "-q")
    commits = []
    for text in ("1", "2"):
        (shell.folder / "train.py").write_text(text)
        git("add", "train.py")
        git("commit", "-q", "-m", f"Make it {text} 'é'")
        commits.append(git("rev-parse", "HEAD"))
        family.add("model", files={"train.py": text}, run={"commit": commits[-1]})
    (shell.folder / "other.py").write_text("x")
    out = shell.ok("why model:v4 v3")
    assert "  train.py changed\n" in out
    assert f"  {commits[1][:7]} Make it 2 'é'\n" in out and "Make it 1" not in out
    assert len(shell.json("why model:v4 v3")["commits"]) == 1


def test_by_hand_and_twice_the_same(shell: Shell, family: Family) -> None:
    family.store.add_version("books", VersionDraft(path="/x", used_artifacts=("rival:v1",)))
    out = shell.ok("why books:v2")
    assert "  input rival: new, v1\n" in out
    assert "books:v1 was logged by hand: what else it was made from is not known" in out
    again = family.made["model:v2"]
    family.store.add_version(
        "model",
        VersionDraft(path="/x", key=again.key, parts=again.parts, explain=again.explain),
    )
    out = shell.ok("why model:v3 v2")
    assert "Both have the same key: nothing that counts was otherwise." in out


def test_versions_of_two_artifacts(shell: Shell, family: Family) -> None:
    out = shell.ok("why rival:v1 model:v2")
    assert "rival:v1 compared with model:v2" in out
    assert "recipe: src:model -> src:rival" in out and "lr: removed, was 0.2" in out


def test_what_is_wrong_is_said(shell: Shell, family: Family) -> None:
    assert "model:v1 is the first version of it" in shell.refused("why model:v1")
    assert "model has no version v9" in shell.refused("why model:v2 v9")
    assert "no artifact 'prdo'" in shell.refused("why model:v2 prdo")
    assert "why needs NAME:vN" in shell.refused("why")


def test_a_circle_ends(shell: Shell) -> None:
    for _ in range(2):
        number = len(shell.store.versions("a")) + 1
        for name, other in (("a", "b"), ("b", "a")):
            shell.store.add_version(
                name, VersionDraft(path="/x", used_artifacts=(f"{other}:v{number}",))
            )
    document = shell.json("why a:v2 v1")
    assert [each["new"] for each in document["made_from"]] == ["b:v2", "a:v2"]
