"""`nemo-runspec impact`: what is lost with a version."""

from __future__ import annotations

import re

from nemo_runspec.store import VersionDraft
from tests.nemo_runspec.lineage.family import Family
from tests.nemo_runspec.store_admin.commands import Shell


def test_what_stands_on_a_version(shell: Shell, family: Family) -> None:
    shell.ok("promote model:v2 prod")
    out = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", shell.ok("impact tokens:v1"))
    assert (
        out
        == """\
tokens:v1  DataArtifact
  TIME by ada@node1, at /data/tokens

It can be made again from commit c0ffee0000: 2.0 GPU-hours.
It answers 1 key: a build with one would run again.
Aliases that stand on it:
  model:prod is model:v2

Made from it: 4 versions (1 EvalArtifact, 3 ModelArtifact)
VERSION    TYPE                    TOOK  MADE AGAIN
model:v1   ModelArtifact  2.0 GPU-hours  yes
model:v2   ModelArtifact  2.0 GPU-hours  yes
rival:v1   ModelArtifact  2.0 GPU-hours  yes
scores:v1  EvalArtifact   2.0 GPU-hours  yes

Making it and 4 of these again: 10.0 GPU-hours.
"""
    )


def test_what_cannot_be_made_again_takes_others_with_it(shell: Shell, family: Family) -> None:
    out = shell.ok("impact books")
    assert "It cannot be made again: it was logged by hand: what makes it is not known." in out
    assert "tokens:v1  DataArtifact   2.0 GPU-hours  no: books:v1 cannot be made again\n" in out
    # The others are made from tokens:v1, which is there.
    assert "scores:v1  EvalArtifact   2.0 GPU-hours  yes\n" in out
    assert out.endswith(
        "Without it 4 of these can still be made again: 8.0 GPU-hours; 1 could not be.\n"
    )
    document = shell.json("impact books")
    assert document["lost"] == ["books:v1", "tokens:v1"]
    assert document["gpu_hours"] == 8 and document["keys"] == []
    family.store.mark_gone("tokens", 1, "freed")
    assert len(shell.json("impact books")["lost"]) == 6
    assert shell.ok("impact books").endswith("None of these could be made again.\n")


def test_a_dirty_tree_is_a_perhaps(shell: Shell, family: Family) -> None:
    family.add("model", ["tokens:v1"], run={"dirty": True}, config={"lr": 9}, keys=["data"])
    family.add("model", ["tokens:v1"], run={"commit": None}, config={"lr": 8}, keys=["data"])
    out = shell.ok("impact tokens:v1")
    assert "model:v3   ModelArtifact" not in out  # it is an Artifact
    assert "perhaps: commit c0ffee0000 had changes that were not in it" in out
    assert "no: the commit that it was made from is not known" in out
    assert "; 1 could not be." in out
    out = shell.ok("impact model:v3")
    assert "from commit c0ffee0000, if at all: commit c0ffee0000 had changes" in out


def test_what_is_gone_above_has_to_be_made_first(shell: Shell, family: Family) -> None:
    family.store.mark_gone("tokens", 1, "freed")
    out = shell.ok("impact model:v2")
    assert "It can be made again from commit c0ffee0000, after tokens:v1: 4.0 GPU-hours." in out
    family.store.mark_gone("books", 1, "freed")
    out = shell.ok("impact model:v2")
    assert "It cannot be made again: tokens:v1 cannot be made again." in out
    family.store.mark_gone("model", 2, "freed")
    assert "its data is gone already" in shell.ok("impact model:v2")


def test_nothing_was_made_from_it(shell: Shell, family: Family) -> None:
    assert shell.ok("impact scores").endswith("Nothing was made from it.\n")


def test_what_another_store_has(shell: Shell, family: Family) -> None:
    family.add("model", ["elsewhere:v1"], keys=["x"])
    assert "elsewhere:v1 is in another store" in shell.ok("impact model:v3")


def test_a_circle_ends(shell: Shell) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        shell.store.add_version(name, VersionDraft(path="/x", used_artifacts=(f"{other}:v1",)))
    assert [each["reference"] for each in shell.json("impact a:v1")["made_from_it"]] == ["b:v1"]


def test_what_is_wrong_is_said(shell: Shell, family: Family) -> None:
    assert "no artifact 'modle'" in shell.refused("impact modle")
    assert "impact needs NAME" in shell.refused("impact")
