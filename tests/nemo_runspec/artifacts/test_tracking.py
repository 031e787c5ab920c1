from __future__ import annotations

import json
import logging
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from nemo_runspec.artifacts import (
    Artifact,
    ModelArtifact,
    SFTDataArtifact,
    log_artifact,
    setup_artifact_tracking,
)
from nemo_runspec.artifacts.job_context import (
    JobContext,
    JobInput,
    MissingInput,
    read_records,
)
from nemo_runspec.exceptions import ArtifactError, EnvError
from nemo_runspec.manifest_tracker import ManifestTracker
from nemo_runspec.store import VersionDraft, open_store
from nemo_runspec.store.errors import StoreNameError
from tests.nemo_runspec.artifacts.processes import output, start


def made(path: Path, text: str = "data") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "file.txt").write_text(text, "utf-8")
    return path


def manifest_of(root: Path, version: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((root / version / "manifest.json").read_text("utf-8"))
    return document


def planned(monkeypatch: pytest.MonkeyPatch, folder: Path, **values: Any) -> Path:
    """A job with a context; gives the file of its records back."""
    records = folder / "records.jsonl"
    context = JobContext(records=str(records), **values)
    (folder / "context.json").write_text(context.to_json(), "utf-8")
    monkeypatch.setenv("RUNSPEC_JOB_CONTEXT", str(folder / "context.json"))
    return records


def test_the_example_of_the_seeds(tmp_path: Path) -> None:
    config = OmegaConf.create({"artifacts": {"manifest": {"root": str(tmp_path / "store")}}})
    tracking = setup_artifact_tracking(config)
    assert (tracking.manifest, tracking.wandb, tracking.qualified_names) == (True, False, [])
    data = SFTDataArtifact(
        path=made(tmp_path / "splits"),
        pack_size=4096,
        total_tokens=15_000_000,
        total_sequences=3,
        source_datasets=["hf://nvidia/dataset-a"],
    )
    log_artifact(data, tracking, name="nano3-sft-data")
    folder = tmp_path / "store/nano3-sft-data"
    assert (folder / "latest").read_bytes() == b"v1"
    manifest = manifest_of(folder, "v1")
    assert manifest["type"] == "SFTDataArtifact"
    assert manifest["path"] == str(tmp_path / "splits")
    assert manifest["metadata"]["pack_size"] == 4096
    assert manifest["inputs"] == ["hf://nvidia/dataset-a"]
    assert manifest["producer"] == "local"
    assert manifest["run"]["host"] == socket.gethostname()
    assert manifest["content"].startswith("sha256:")
    document = json.loads((folder / "v1/metadata.json").read_text("utf-8"))
    assert document["pack_size"] == 4096
    assert document["path"] == str(tmp_path / "splits")
    assert data.uri == "art://nano3-sft-data:v1"
    assert data.tracking is not None
    assert data.tracking.artifact_id == "nano3-sft-data:v1"


def test_what_was_resolved_is_recorded_at_its_version(tmp_path: Path) -> None:
    store = open_store(".runspec/artifacts")
    for name in ("data", "data", "unused", "pinned", "pinned"):
        store.add_version(name, VersionDraft(path=f"/{name}", type="SFTDataArtifact"))
    config = OmegaConf.create(
        {
            "run": {"data": "data:latest", "unused": "unused:latest", "other": "pinned:v1"},
            "path": "${art:data}/x",
            "again": "${art:data,version}",
            "third": "${art:other}",
        }
    )
    tracking = setup_artifact_tracking(config)
    OmegaConf.resolve(config)
    assert (config.path, config.again) == ("/data/x", "v2")
    store.add_version("data", VersionDraft(path="/later"))
    log_artifact(ModelArtifact(path=made(tmp_path / "m"), step=1), tracking, name="model")
    assert tracking.tracker is not None
    tracking.tracker.log_model_checkpoint("checkpoint", str(tmp_path / "m"), iteration=5)
    for name in ("model", "checkpoint"):
        assert store.manifest(name, 1).used_artifacts == ("data:v2", "pinned:v1")
    checkpoint = store.manifest("checkpoint", 1)
    assert checkpoint.extra["iteration"] == 5
    assert ModelArtifact.from_uri("art://checkpoint").step == 5


def test_checkpoints_of_one_folder_are_told_apart(tmp_path: Path) -> None:
    tracker = ManifestTracker(tmp_path / "store")
    folder = made(tmp_path / "checkpoints")
    for iteration in (1, 2):
        done = tracker.log_model_checkpoint("m", folder, iteration)
        assert done["artifact_id"] == f"m:v{iteration}"
    store = open_store(str(tmp_path / "store"))
    assert store.manifest("m", 1).identity != store.manifest("m", 2).identity
    assert store.gone("m", 1) is None


def test_names(tmp_path: Path, repository: Path) -> None:
    tracking = setup_artifact_tracking({})
    data = made(tmp_path / "d")
    assert log_artifact(Artifact(path=data), tracking).reference == "Artifact:v1"  # type: ignore[union-attr]
    semantic = Artifact(path=data, name="super3/pretrain/data?sample=100")
    assert log_artifact(semantic, tracking).name == "super3-pretrain-data"  # type: ignore[union-attr]
    assert log_artifact(semantic, tracking, name="a/b").name == "a/b"  # type: ignore[union-attr]
    for name in ("../../x", "/abs", "a\nb", "v3", "a/latest", ""):
        with pytest.raises((StoreNameError, ArtifactError)) as caught:
            assert tracking.tracker is not None
            tracking.tracker.log_model_checkpoint(name, data, 1)
        assert "\n" not in str(caught.value)
    assert not (repository.parent / "x").exists()


def test_a_planned_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "store"
    pinned = JobInput("data", 4, "/data/v4", "SFTDataArtifact", {"pack_size": 8}, "sha256:d")
    joined = JobInput("shards/1", 2, "/shards", "Artifact", {}, "sha256:s")
    out = made(tmp_path / "out")
    monkeypatch.setenv("RUNSPEC_OUTPUT_DIR", str(out))
    records = planned(
        monkeypatch,
        tmp_path,
        root=str(root),
        artifact="sft-model",
        key="k" * 64,
        parts={"recipe": "sft"},
        explain={"files": {}},
        inputs={"data": pinned},
        input_list=(pinned, joined),
        missing=(MissingInput("eval", "it failed"),),
        output_dir=str(out),
        run={"user": "alice", "commit": "c0ffee", "dirty": True, "nodes": 2, "gpus": 8},
    )
    config = OmegaConf.create(
        {"run": {"data": "data:latest"}, "size": "${art:data,pack_size}", "p": "${art:data}"}
    )
    tracking = setup_artifact_tracking(config)
    # There is no such version in the store: a planned job does not ask it.
    assert (config["size"], config["p"]) == (8, "/data/v4")
    artifact = ModelArtifact(path=out, step=3)
    log_artifact(artifact, tracking)
    assert tracking.tracker is not None
    tracking.tracker.log_model_checkpoint("sft-model", out, 3)

    manifest = manifest_of(root / "sft-model", "v1")
    assert manifest["used_artifacts"] == ["data:v4", "shards/1:v2"]
    assert manifest["key"] == "k" * 64
    assert manifest["parts"] == {"recipe": "sft"}
    assert manifest["owned"] is True
    assert manifest["missing"] == [{"name": "eval", "reason": "it failed"}]
    run = manifest["run"]
    assert (run["user"], run["commit"], run["dirty"]) == ("alice", "c0ffee", True)
    assert run["seconds"] >= 0
    assert run["gpu_hours"] >= 0
    first, second = read_records(records)
    assert (first.name, first.version, first.checkpoint) == ("sft-model", 1, False)
    assert first.content == first.identity == manifest["content"]
    assert first.path == str(out)
    assert second.checkpoint
    assert not (root / "sft-model/keys").exists()
    assert Artifact.from_uri("art://data:latest").version == 4


def test_the_same_output_in_two_generations_has_one_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = set()
    for generation in ("1", "2"):
        out = made(tmp_path / generation)
        records = planned(
            monkeypatch, tmp_path, root=str(tmp_path / "s"), key="k", output_dir=str(out)
        )
        tracking = setup_artifact_tracking({})
        log_artifact(Artifact(path=out, metadata={"log": f"{out}/log"}), tracking, name="a")
        identities.add(read_records(records)[-1].identity)
    assert len(identities) == 1


def test_one_fixed_path(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracking = setup_artifact_tracking({})
    store = open_store(".runspec/artifacts")
    for text in ("one", "one", "two"):
        log_artifact(Artifact(path=made(tmp_path / "fixed", text)), tracking, name="a")
    assert store.gone("a", 1) == store.gone("a", 2) == "overwritten by a:v3"
    assert store.gone("a", 3) is None
    assert "where the data of a:v2 was" in caplog.text


def test_a_namespace(tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    team = ManifestTracker(root)
    for name in ("data", "shared"):
        team.log_artifact(Artifact(path=made(tmp_path / "team")), name)
    config = OmegaConf.create(
        {
            "artifacts": {"manifest": {"root": root}, "namespace": "user/alice"},
            "run": {"data": "data:latest", "shared": "shared:latest"},
            "data": "${art:data,name}",
            "shared": "${art:shared,name}",
        }
    )
    tracking = setup_artifact_tracking(config)
    log_artifact(Artifact(path=made(tmp_path / "own")), tracking, name="data")
    assert (config.data, config.shared) == ("user/alice/data", "shared")
    log_artifact(Artifact(path=made(tmp_path / "m")), tracking, name="user/alice/model")
    store = open_store(root)
    assert store.names() == ["data", "shared", "user/alice/data", "user/alice/model"]
    used = store.manifest("user/alice/model", 1).used_artifacts
    assert used == ("user/alice/data:v1", "shared:v1")


def test_tracking_can_be_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = OmegaConf.create(
        {
            "artifacts": {"manifest": {"root": None}, "wandb": False},
            "run": {"data": "data:latest"},
            "path": "${art:data}",
        }
    )
    tracking = setup_artifact_tracking(config)
    assert not tracking.manifest
    artifact = Artifact(path=made(tmp_path / "d"))
    assert log_artifact(artifact, tracking, name="a") is None
    assert log_artifact(artifact, tracking, name="a") is None
    assert caplog.text.count("artifacts are not tracked") == 1
    artifact.save("a")
    assert not Path(".runspec").exists()
    with pytest.raises(Exception, match="artifacts.manifest.root is null"):
        OmegaConf.resolve(config)


def test_without_wandb_a_run_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            tracking = setup_artifact_tracking({"artifacts": {"wandb": True}})
    assert (tracking.manifest, tracking.wandb) == (True, False)
    assert caplog.text.count('add "wandb" to the dependencies') == 1


def test_a_broken_section() -> None:
    for section in ("text", {"manifest": "text"}, {"manifest": {"root": "${nope}"}}):
        with pytest.raises(EnvError, match="artifacts"):
            setup_artifact_tracking({"artifacts": section})


def test_no_data_or_a_store_that_is_none(tmp_path: Path) -> None:
    tracking = setup_artifact_tracking({})
    assert tracking.tracker is not None
    with pytest.raises(ArtifactError, match="no: cannot be read: No such file"):
        tracking.tracker.log_artifact(Artifact(path=tmp_path / "no"), "a")
    assert open_store(".runspec/artifacts").names() == []
    (tmp_path / "file").touch()
    broken = setup_artifact_tracking({"artifacts": {"manifest": {"root": str(tmp_path / "file")}}})
    with pytest.raises(ArtifactError, match=str(tmp_path / "file")):
        log_artifact(Artifact(path=made(tmp_path / "d")), broken, name="a")


LOG = """
import sys
from nemo_runspec.manifest_tracker import ManifestTracker
tracker = ManifestTracker(sys.argv[1])
for i in range(20):
    print(tracker.log_model_checkpoint("model", sys.argv[2], i)["artifact_id"])
"""


def test_eight_processes_log_twenty_versions_each(tmp_path: Path) -> None:
    root, data = str(tmp_path / "store"), str(made(tmp_path / "d"))
    writers = [start(LOG, root, data) for _ in range(8)]
    acknowledged = [line for writer in writers for line in output(writer).splitlines()]
    store = open_store(root)
    assert sorted(acknowledged) == sorted(f"model:v{n}" for n in range(1, 161))
    assert store.versions("model") == list(range(1, 161))
    assert store.latest("model") == 160
    assert (tmp_path / "store/model/latest").read_bytes() == b"v160"


def test_on_s3(tmp_path: Path, s3: dict[str, Any]) -> None:
    import fsspec

    from tests.nemo_runspec.store.s3_server import make_bucket

    bucket = make_bucket(s3, f"tracking-{os.getpid()}")
    section = {"manifest": {"root": f"{bucket}/store", "storage_options": s3}}
    tracking = setup_artifact_tracking({"artifacts": section})
    fsspec.filesystem("s3", **s3).pipe_file(f"{bucket}/out/train/a.txt", b"hello")
    data = Artifact(path=f"{bucket}/out", metadata={"n": 3})
    log_artifact(data, tracking, name="team/data")

    config = OmegaConf.create(
        {
            "artifacts": section,
            "run": {"data": "team/data:latest"},
            "n": "${art:data,n}",
            "path": "${art:data}",
        }
    )
    tracking = setup_artifact_tracking(config)
    assert (config.n, config.path) == (3, f"{bucket}/out")
    with fsspec.open("art://team/data:latest/train/a.txt") as file:
        assert file.read() == b"hello"
    art = fsspec.filesystem("art")
    assert art.find("art://team/data:v1") == [
        "team/data:v1/metadata.json",
        "team/data:v1/train/a.txt",
    ]
    model = log_artifact(ModelArtifact(path=made(tmp_path / "m"), step=1), tracking, name="m")
    assert model is not None
    assert model.used_artifacts == ("team/data:v1",)
    assert tracking.tracker is not None
    tracking.tracker.view.store.revoke("team/data", 1, by="alice", reason="leak")
    with pytest.raises(ArtifactError, match="revoked by alice"):
        art.ls("art://team/data")
    with pytest.raises(ArtifactError, match="m:v1 is made from team/data:v1, which was revoked"):
        Artifact.from_uri("art://m")
