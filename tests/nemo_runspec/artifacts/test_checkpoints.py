from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from nemo_runspec.artifacts import (
    checkpoints,
    patch_checkpoint_logging_both,
    patch_manifest_checkpoint_logging,
    patch_manifest_nemo_rl_checkpoint_logging,
    patch_wandb_checkpoint_logging,
    patch_wandb_init_for_lineage,
    setup_artifact_tracking,
)
from nemo_runspec.artifacts.job_context import JobContext
from nemo_runspec.optional import MissingPackageError
from nemo_runspec.store import VersionDraft, open_store
from tests.nemo_runspec.artifacts import fake_megatron


@pytest.fixture
def megatron(monkeypatch: pytest.MonkeyPatch) -> Any:
    return fake_megatron.install(monkeypatch)


def test_megatron_bridge(tmp_path: Path, megatron: Any) -> None:
    store = open_store(".runspec/artifacts")
    store.add_version("data", VersionDraft(path="/data"))
    config = OmegaConf.create({"run": {"data": "data:latest"}, "x": "${art:data}"})
    tracking = setup_artifact_tracking(config)
    OmegaConf.resolve(config)
    if tracking.manifest and tracking.wandb:
        patch_checkpoint_logging_both()
    elif tracking.manifest:
        patch_manifest_checkpoint_logging()
    patch_manifest_checkpoint_logging()  # once more does no harm
    save_dir = tmp_path / "nano3-model"
    for iteration in (10, 20):
        checkpoint = save_dir / f"iter_{iteration:07d}"
        checkpoint.mkdir(parents=True)
        megatron.on_save_checkpoint_success(str(checkpoint), str(save_dir), iteration, None)
    assert store.versions("nano3-model") == [1, 2]
    manifest = store.manifest("nano3-model", 2)
    assert manifest.path == str(save_dir)
    assert manifest.metadata["iteration"] == 20
    assert manifest.metadata["checkpoint_path"] == str(save_dir / "iter_0000020")
    assert manifest.used_artifacts == ("data:v1",)
    assert [call[2] for call in fake_megatron.calls] == [10, 20]


def test_the_promised_name(tmp_path: Path, megatron: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    context = JobContext(root=str(tmp_path / "store"), artifact="pretrain-model", key="k")
    (tmp_path / "c.json").write_text(context.to_json(), "utf-8")
    monkeypatch.setenv("RUNSPEC_JOB_CONTEXT", str(tmp_path / "c.json"))
    setup_artifact_tracking({})
    patch_checkpoint_logging_both()
    (tmp_path / "run/iter_1").mkdir(parents=True)
    megatron.on_save_checkpoint_success(
        str(tmp_path / "run/iter_1"), str(tmp_path / "run"), 1, None
    )
    assert open_store(str(tmp_path / "store")).manifest("pretrain-model", 1).key == "k"


def test_nemo_rl(tmp_path: Path, megatron: Any) -> None:
    setup_artifact_tracking({})
    patch_manifest_nemo_rl_checkpoint_logging("rl-model")
    (tmp_path / "tmp_step_5").mkdir()
    manager = sys.modules["nemo_rl.utils.checkpoint"].CheckpointManager()
    manager.finalize_checkpoint(tmp_path / "tmp_step_5")
    manifest = open_store(".runspec/artifacts").manifest("rl-model", 1)
    assert manifest.path == str(tmp_path / "step_5")
    assert manifest.extra["iteration"] == 5


def test_a_store_that_fails_costs_no_training(
    tmp_path: Path, megatron: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    setup_artifact_tracking({"artifacts": {"manifest": {"root": str(tmp_path / "file")}}})
    patch_manifest_checkpoint_logging()
    megatron.on_save_checkpoint_success(str(tmp_path), str(tmp_path), 1, None)
    assert "checkpoint 1 is not logged" in caplog.text
    assert len(fake_megatron.calls) == 1


def test_without_the_framework() -> None:
    with pytest.raises(MissingPackageError, match="logging its checkpoints needs megatron-bridge"):
        patch_manifest_checkpoint_logging()


def test_without_wandb(
    tmp_path: Path,
    megatron: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    patch_wandb_init_for_lineage(artifact_qualified_names=["a"], tags=["pretrain"])
    assert 'add "wandb" to the dependencies' in caplog.text
    patch_wandb_checkpoint_logging()
    megatron.on_save_checkpoint_success(str(tmp_path), str(tmp_path), 1, None)
    assert not Path(".runspec").exists()  # nothing tracks, and nothing fails


MOUNTS = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:40 / /lustre rw - lustre srv:/fs rw
31 22 0:40 /team/jobs/run%201 /nemo_run rw - lustre srv:/fs rw
"""


def test_the_jobs_folder_within_a_container() -> None:
    assert checkpoints._mount_source("/nemo_run", MOUNTS) == "/lustre/team/jobs/run%201"
    assert checkpoints._mount_source("/other", MOUNTS) is None
    assert checkpoints._mount_source("/nemo_run", MOUNTS.splitlines()[2]) == "/team/jobs/run%201"
