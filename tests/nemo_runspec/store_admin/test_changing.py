"""`promote`, `revoke`, `accept`."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemo_runspec.store import (
    ArtifactRevokedError,
    VersionDraft,
    open_store,
    parse_artifact_reference,
)
from nemo_runspec.store.lineage import Revocations, revoked_ancestor
from tests.nemo_runspec.store_admin.commands import Build, Shell


def build(shell: Shell, *builds: Build) -> None:
    for each in builds:
        each.record(shell.store, shell.folder / ".runspec" / "outputs")


def chain(shell: Shell) -> None:
    """data:v1 → model:v1 → eval:v1, and beside it data:v2 → model:v2."""
    build(
        shell,
        Build("data"),
        Build("data"),
        Build("model", used=("data:v1",), key="a" * 64),
        Build("model", used=("data:v2",), key="b" * 64),
        Build("eval", used=("model:v1", "entity/project/x:v0", "https://example.com/x")),
    )


def test_promote(shell: Shell) -> None:
    chain(shell)
    assert shell.ok("promote model:v1 prod") == "model:prod is v1 now\n"
    assert shell.ok("promote model:v1 prod") == "model:prod is v1 already\n"
    line = "promote --reason='better on all' model:latest prod"
    assert shell.ok(line) == "model:prod is v2 now, was v1\n"
    assert shell.ok("promote model:prod staging") == "model:staging is v2 now\n"
    assert shell.store.resolve(parse_artifact_reference("model:prod")).version == 2
    history = shell.json("store show model:prod")["aliases"]["prod"]
    assert [(each["version"], each.get("reason")) for each in history] == [
        (1, None),
        (2, "better on all"),
    ]


def test_promote_what_cannot_be(shell: Shell) -> None:
    chain(shell)
    assert "Write model:vN" in shell.refused("promote model prod")
    assert "to what?" in shell.refused("promote model:v1")
    assert "'latest' cannot be an alias; " in shell.refused("promote model:v1 latest")
    assert "'v7' cannot be an alias; " in shell.refused("promote model:v1 v7")
    assert "it has v1 to v2" in shell.refused("promote model:v9 prod")
    assert "did you mean 'model'?" in shell.refused("promote modle:v1 prod")
    shell.store.mark_gone("model", 1, "the disk died")
    assert "has no data any more: the disk died" in shell.refused("promote model:v1 prod")
    assert shell.store.aliases("model") == {}


def test_publish_to_the_team(shell: Shell) -> None:
    build(shell, Build("data"), Build("user/ada/sft", used=("data:v1",), key="a" * 64))
    out = shell.ok("promote user/ada/sft:v1 prod --to sft")
    assert out == "sft:v1 is user/ada/sft:v1\nsft:prod is v1 now\n"
    own, team = shell.store.manifest("user/ada/sft", 1), shell.store.manifest("sft", 1)
    assert (team.path, team.identity, team.metadata) == (own.path, own.identity, own.metadata)
    assert team.used_artifacts == ("user/ada/sft:v1", "data:v1")
    record = shell.store.find_key("sft", "a" * 64)
    assert record is not None and record.version == 1
    again = shell.ok("promote user/ada/sft:v1 --to sft")
    assert again == "sft:v1 is user/ada/sft:v1, as it was already\n"
    assert "leave --to out" in shell.refused("promote sft:v1 prod --to sft")
    shell.ok("revoke user/ada/sft:v1 --reason bad")
    assert "made from user/ada/sft:v1" in shell.refused("promote sft:v1 best")


def test_revoke(shell: Shell) -> None:
    chain(shell)
    shell.ok("promote model:v1 prod")
    out = shell.ok("revoke data:v1 --reason 'holds the test set'")
    assert out.splitlines() == [
        "data:v1 is revoked: holds the test set",
        "refused with it, as made from it: 2 versions",
        "  eval:v1",
        "  model:v1",
        "aliases that mean one of these; promote another version:",
        "  model:prod",
    ]
    for reference in ("data:v1", "model:v1", "eval:latest", "model:prod"):
        with pytest.raises(ArtifactRevokedError, match=r"holds the test set"):
            shell.store.resolve(parse_artifact_reference(reference))
    assert shell.store.resolve(parse_artifact_reference("model:v2")).version == 2
    assert "is made from data:v1, which was revoked by ada@" in shell.refused(
        "promote eval:v1 prod"
    )
    assert "was revoked" in shell.refused(f"accept model:v1 --key {'c' * 64} --reason same")
    shell.ok("promote model:v2 prod")

    document = shell.json("revoke data:v1 --reason again")
    assert document["reason"] == "holds the test set"
    assert document["descendants"] == ["eval:v1", "model:v1"]
    assert document["aliases"] == []
    assert "was revoked already by ada@" in shell.ok("revoke data:v1 --reason again")


def test_revoke_needs_a_reason_and_a_version(shell: Shell) -> None:
    chain(shell)
    assert "why?" in shell.refused("revoke data:v1")
    assert "--reason has no value" in shell.refused("revoke data:v1 --reason ''")
    assert "Write data:vN" in shell.refused("revoke data --reason x")
    assert "it has v1 to v2" in shell.refused("revoke data:v3 --reason x")
    assert not Revocations(shell.store)


def test_revoked_ancestor(shell: Shell) -> None:
    chain(shell)
    assert revoked_ancestor(shell.store, "eval", 1) is None
    shell.store.revoke("data", 1, by="eve@box", reason="bad")
    shell.store.revoke("model", 1, by="eve@box", reason="worse")
    found = revoked_ancestor(shell.store, "eval", 1)
    assert found is not None and found.reference == "model:v1"
    assert found.tombstone.reason == "worse"
    assert revoked_ancestor(shell.store, "model", 2) is None


def test_a_long_lineage_needs_no_recursion() -> None:
    store = open_store("memory://a-long-lineage")
    for number in range(1, 1502):
        used = (f"step:v{number - 1}",) if number > 1 else ()
        store.add_version("step", VersionDraft(path="/x", used_artifacts=used))
    store.revoke("step", 1, by="eve@box", reason="bad")
    found = revoked_ancestor(store, "step", 1501)
    assert found is not None and found.version == 1


def test_accept(shell: Shell) -> None:
    chain(shell)
    key = "c" * 64
    out = shell.ok(f"accept model:v1 --key {key} --reason 'moved to pathlib'")
    assert out.startswith("model:v1 stands for key cccccccccccccccc… now: moved to pathlib")
    record = shell.store.find_key("model", key)
    assert record is not None and record.version == 1
    assert record.identity == shell.store.manifest("model", 1).identity
    assert record.accepted is not None and record.accepted["reason"] == "moved to pathlib"
    assert str(record.accepted["by"]).startswith("ada@")
    again = shell.ok(f"accept model:v1 --key {key} --reason 'moved to pathlib'")
    assert "stands for key cccccccccccccccc… already: ada@" in again
    # What a person said, a person may say otherwise; what was built stays.
    shell.ok(f"accept model:v2 --key {key} --reason 'that one'")
    record = shell.store.find_key("model", key)
    assert record is not None and record.version == 2
    assert "v2 was made with key bbbb" in shell.refused(
        f"accept model:v1 --key {'b' * 64} --reason x"
    )
    assert "it was made with it" in shell.ok(f"accept model:v1 --key {'a' * 64} --reason x")


def test_accept_what_cannot_be(shell: Shell) -> None:
    chain(shell)
    build(shell, Build("model", extra={"checkpoint": True}))
    key = f"--key {'c' * 64}"
    assert "why is it the same?" in shell.refused(f"accept model:v1 {key}")
    assert "for which key?" in shell.refused("accept model:v1 --reason x")
    assert "for which key?" in shell.refused(f"accept model:v1 {key} --plan y --reason x")
    assert "64 hexadecimal digits" in shell.refused("accept model:v1 --key 3f --reason x")
    assert "is a checkpoint" in shell.refused(f"accept model:v3 {key} --reason x")
    assert "Write model:vN" in shell.refused(f"accept model {key} --reason x")
    assert shell.store.keys("model").keys() == {"a" * 64, "b" * 64}


def test_who_did_it_without_a_user_name(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    build(shell, Build("data"))
    shell.ok("promote data:v1 prod")
    assert Path(shell.store.root).is_dir()
