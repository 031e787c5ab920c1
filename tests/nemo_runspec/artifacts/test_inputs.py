from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from nemo_runspec.artifacts import (
    Artifact,
    ModelArtifact,
    load_inputs,
    merge_artifacts,
    setup_artifact_tracking,
)
from nemo_runspec.artifacts.inputs import InputsError
from nemo_runspec.artifacts.job_context import JobContext, JobInput, MissingInput
from nemo_runspec.artifacts.view import used_references
from nemo_runspec.store import VersionDraft, open_store


def model(name: str, loss: float | None, version: int = 1) -> JobInput:
    metadata = {"step": 3, "final_loss": loss, "metadata": {"step": 3, "lr": "1e-4"}}
    return JobInput(name, version, f"/{name}", "ModelArtifact", metadata, "sha256:x")


def test_the_inputs_of_a_join(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    context = JobContext(
        root=str(tmp_path / "store"),
        input_list=(model("sft/b", 2.0, 7), model("sft/a", 1.0), JobInput("odd", 1, "/o", "Other")),
        missing=(MissingInput("sft/c", "it failed"),),
    )
    (tmp_path / "c.json").write_text(context.to_json(), "utf-8")
    monkeypatch.setenv("RUNSPEC_JOB_CONTEXT", str(tmp_path / "c.json"))
    with caplog.at_level(logging.WARNING):
        inputs = load_inputs()
    assert [item.uri for item in inputs] == ["art://sft/b:v7", "art://sft/a:v1", "art://odd:v1"]
    assert isinstance(inputs[0], ModelArtifact)
    assert inputs[0].final_loss == 2.0
    assert inputs[0].lr == "1e-4"
    assert inputs[0].path == Path("/sft/b")
    assert inputs.missing == context.missing
    assert "input sft/c is missing: it failed" in caplog.text
    assert merge_artifacts(inputs[:2]).final_loss == [2.0, 1.0]


def test_by_hand_the_inputs_are_those_of_the_config() -> None:
    store = open_store(".runspec/artifacts")
    for name in ("b", "a"):
        store.add_version(name, VersionDraft(path=f"/{name}", metadata={"n": name}))
    setup_artifact_tracking(OmegaConf.create({"run": {"x": "b:latest", "y": "a:v1"}}))
    assert [item.n for item in load_inputs()] == ["b", "a"]


def test_a_fan_out_is_its_elements(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In the list's order, which is neither that of names nor that of making."""
    store = open_store(str(tmp_path / "store"))
    for name, loss in (("each/a", 1.0), ("each/b", 2.0)):
        fields = {"step": 3, "final_loss": loss, "lr": "1e-4"}
        store.add_version(
            name, VersionDraft(path=f"/{name}", type="ModelArtifact", metadata=fields)
        )
    gathered = store.add_version(
        "each",
        VersionDraft(
            path="/each",
            metadata={"elements": ["/each/b", "/each/a"]},
            extra={
                "elements": ["each/b:v1", "each/a:v1"],
                "missing": [{"index": 2, "value": 3, "name": "each/c", "reason": "it failed"}],
            },
        ),
    )
    own = store.add_version("own", VersionDraft(path="/own", metadata={"elements": [1]}))
    pinned = tuple(
        JobInput(one.name, one.version, one.path, one.type, store.metadata(one.name, one.version))
        for one in (gathered, own)
    )
    context = JobContext(root=str(tmp_path / "store"), input_list=pinned)
    (tmp_path / "c.json").write_text(context.to_json(), "utf-8")
    monkeypatch.setenv("RUNSPEC_JOB_CONTEXT", str(tmp_path / "c.json"))
    with caplog.at_level(logging.WARNING):
        inputs = load_inputs()
    assert [item.uri for item in inputs] == ["art://each/b:v1", "art://each/a:v1", "art://own:v1"]
    assert isinstance(inputs[0], ModelArtifact)
    merged = merge_artifacts(inputs[:2])
    assert (merged.final_loss, merged.lr) == ([2.0, 1.0], ["1e-4", "1e-4"])
    assert inputs.missing == (MissingInput("each/c", "it failed"),)
    assert "input each/c is missing: it failed" in caplog.text
    # What the job logs was made from the fan-out, and through it from its elements.
    assert used_references() == ("each:v1", "own:v1")


def test_no_inputs() -> None:
    with pytest.raises(InputsError, match="this script has no inputs: run it as"):
        load_inputs()
    with pytest.raises(InputsError, match="no inputs to merge"):
        merge_artifacts([])


def test_merge_as_the_seed_shows() -> None:
    inputs = [
        SimpleNamespace(branch_name="branch1", value=10),
        SimpleNamespace(branch_name="branch2", value=20),
    ]

    class Join:
        branch_name: list[str]
        value: list[int]

    join = Join()
    merge_artifacts(join, inputs)
    assert join.branch_name == ["branch1", "branch2"]
    assert join.value == [10, 20]
    merged = merge_artifacts(inputs)
    assert (merged.branch_name, merged.value) == (["branch1", "branch2"], [10, 20])
    assert merge_artifacts([{"a": 1}, {"a": {"b": 2}}]).a == [1, {"b": 2}]


def test_merge_artifacts_of_types(tmp_path: Path) -> None:
    # An optional field that nobody filled is there all the same: the class declares it.
    models = [ModelArtifact(path=tmp_path / n, step=1, metadata={"n": n}) for n in "ab"]
    merged = merge_artifacts(models)
    assert merged.final_loss == [None, None]
    assert merged.n == ["a", "b"]
    assert merged.path == [tmp_path / "a", tmp_path / "b"]


def test_a_name_that_one_branch_lacks(tmp_path: Path) -> None:
    artifacts = [
        Artifact(path=tmp_path, metadata={"score": 1}),
        Artifact(path=tmp_path, metadata={"sore": 1}),
    ]
    join = SimpleNamespace()
    with pytest.raises(InputsError, match=r"'score' is missing in input 1; give every input"):
        merge_artifacts(join, artifacts)
    assert vars(join) == {}
    with pytest.raises(InputsError, match="3 has no fields to merge"):
        merge_artifacts([3])
