"""What is attached to versions does not get into the way of looking after a store."""

from __future__ import annotations

from pathlib import Path

from tests.nemo_runspec.store_admin.commands import Build, Shell


def test_verify_and_gc_leave_attachments_alone(shell: Shell, tmp_path: Path) -> None:
    store = shell.store
    for number in (1, 2):
        Build("model").record(store, tmp_path)
        store.attach("model", number, "metrics.jsonl", b'{"name": "loss"}\n')
        store.attach("model", number, "manifest.json", b"none")
    before = shell.json("store ls")
    assert [(each["name"], each["versions"]) for each in before] == [("model", 2)]
    assert shell.ok("store verify") == "2 versions of 1 artifact: all is well\n"
    shell.ok("store gc --yes --days 0")
    assert not (tmp_path / "model" / "1").exists()
    assert (tmp_path / "model" / "2").exists()
    assert store.attachments("model", 1) == ["manifest.json", "metrics.jsonl"]
    assert shell.ok("store verify").endswith("all is well\n")


def test_provenance_on_the_command_line(shell: Shell, tmp_path: Path) -> None:
    Build("model").record(shell.store, tmp_path)
    assert '"name": "model:v1"' in shell.ok("provenance model:v1")
    assert "no artifact 'modle'" in shell.refused("provenance modle")


def test_show_has_what_the_job_said(shell: Shell, tmp_path: Path) -> None:
    Build("model").record(shell.store, tmp_path)
    assert "metrics" not in shell.ok("store show model")
    line = b'{"name": "loss", "value": 0.5, "step": 1, "at": "2026"}\n'
    shell.store.attach("model", 1, "metrics.jsonl", line)
    shell.store.attach("model", 1, "card-1.md", b'<!-- card {"title": "Worst cases"} -->\n- one\n')
    page = " ".join(shell.ok("store show model").split())
    assert "metrics loss 0.5" in page and "cards Worst cases" in page
    document = shell.json("store show model")
    assert (document["metrics"], document["cards"]) == ({"loss": 0.5}, ["Worst cases"])
