"""`nemo-runspec import data|model`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.nemo_runspec.cli.command import Shell


@pytest.fixture
def data(shell: Shell) -> Path:
    folder = shell.folder / "data"
    folder.mkdir()
    (folder / "part").write_text("x")
    return folder


def test_a_blend(shell: Shell, data: Path) -> None:
    (data / "blend.json").write_text("{}")
    assert "blends:v1" in shell.ok("import", "data", "blends", data, "-m", "total_tokens=7")
    manifest = shell.store.manifest("blends", 1)
    assert (manifest.type, manifest.path) == ("DataBlendsArtifact", str(data / "blend.json"))
    assert manifest.metadata["total_tokens"] == 7
    assert manifest.content is not None
    shell.ok("import", "data", "blends", data / "blend.json")
    assert shell.store.manifest("blends", 2).type == "DataBlendsArtifact"


def test_splits(shell: Shell, data: Path) -> None:
    (data / "manifest.json").write_text("{}")
    shell.ok("import", "data", "rl", data)
    manifest = shell.store.manifest("rl", 1)
    assert (manifest.type, manifest.path) == (
        "SplitJsonlDataArtifact",
        str(data / "manifest.json"),
    )


def test_what_was_saved_says_its_class_itself(shell: Shell, data: Path) -> None:
    document = {"type": "SFTDataArtifact", "metadata": {"pack_size": 4096, "total_tokens": 1}}
    document["metadata"]["total_sequences"] = 2  # type: ignore[index]
    (data / "metadata.json").write_text(json.dumps(document))
    shell.ok("import", "data", "sft", data, "-m", "total_tokens=9")
    manifest = shell.store.manifest("sft", 1)
    assert manifest.type == "SFTDataArtifact"
    assert (manifest.metadata["pack_size"], manifest.metadata["total_tokens"]) == (4096, 9)


def test_data_that_shows_nothing(shell: Shell, data: Path) -> None:
    error = shell.refused("import", "data", "x", data)
    assert "what data is it?" in error and "--type" in error
    shell.ok("import", "data", "x", data, "--type", "Artifact")
    assert shell.store.manifest("x", 1).type == "Artifact"
    error = shell.refused("import", "data", "x", data, "-t", "SFTDataArtfact")
    assert "SFTDataArtifact" in error
    (data / "metadata.json").write_text("{")
    assert "metadata.json: no JSON" in shell.refused("import", "data", "x", data)
    assert shell.store.versions("x") == [1]


def test_a_checkpoint_tells_its_step(shell: Shell, data: Path) -> None:
    (data / "latest_checkpointed_iteration.txt").write_text("1200\n")
    shell.ok("import", "model", "base", data, "--loss", "0.5")
    manifest = shell.store.manifest("base", 1)
    assert (manifest.type, manifest.metadata["step"]) == ("ModelArtifact", 1200)
    assert manifest.metadata["final_loss"] == 0.5
    numbered = data / "iter_0005000"
    numbered.mkdir()
    (numbered / "w").write_text("w")
    shell.ok("import", "model", "base", numbered)
    assert shell.store.manifest("base", 2).metadata["step"] == 5000
    shell.ok("import", "model", "base", numbered, "--step", "7", "--content", "none")
    manifest = shell.store.manifest("base", 3)
    assert (manifest.metadata["step"], manifest.content) == (7, None)


def test_a_checkpoint_without_a_step(shell: Shell, data: Path) -> None:
    (data / "latest_checkpointed_iteration.txt").write_text("release\n")
    assert "write --step N" in shell.refused("import", "model", "base", data)
    assert "--loss needs a number" in shell.refused(
        "import", "model", "base", data, "--step", "1", "--loss", "low"
    )
    assert "nothing there" in shell.refused("import", "model", "b", "nowhere")
    assert "nothing there" in shell.refused("import", "data", "b", "nowhere")
