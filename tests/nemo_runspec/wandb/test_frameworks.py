"""Checkpoints that training frameworks save: the real client, and the frameworks in outline."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemo_runspec.store import open_store
from tests.nemo_runspec.wandb.clients import ALONE, BOTH, run
from tests.nemo_runspec.wandb.wandb_server import WandbServer

CHECKPOINTS = """
import pytest
from tests.nemo_runspec.artifacts import fake_megatron
from nemo_runspec.artifacts import checkpoints

patch = pytest.MonkeyPatch()
megatron = fake_megatron.install(patch)
document = config(artifacts=SECTION)
tracking = setup_artifact_tracking(document)
wandb_kit.patch_wandb_init_for_lineage(artifact_qualified_names=[], tags=["pretrain"])
run = wandb.init(project="proj")
wandb_kit.HOOK()
wandb_kit.HOOK()
for step in (10, 20):
    folder = Path(made("run")) / f"iter_{step:07d}"
    folder.mkdir()
    (folder / "weights").write_text(str(step))
    megatron.on_save_checkpoint_success(str(folder), "run", step, wandb)
import sys
wandb_kit.RL("rl-model")
Path("tmp_step_5").mkdir()
Path("tmp_step_5/weights").touch()
sys.modules["nemo_rl.utils.checkpoint"].CheckpointManager().finalize_checkpoint(Path("tmp_step_5"))
wandb_kit.finish_run(0)
print(json.dumps([Path("run/tracker.txt").read_text(), fake_megatron.calls]))
"""


@pytest.mark.parametrize("alone", [False, True])
def test_checkpoints(server: WandbServer, tmp_path: Path, alone: bool) -> None:
    folder = tmp_path / "job"
    hook, rl = ("patch_wandb_checkpoint_logging", "patch_nemo_rl_checkpoint_logging")
    if not alone:
        hook, rl = "patch_checkpoint_logging_both", "patch_nemo_rl_checkpoint_logging_both"
    code = CHECKPOINTS.replace("SECTION", repr(ALONE if alone else BOTH))
    ran = run(server, folder, code.replace("HOOK", hook).replace("RL(", f"{rl}("))
    assert ran.said == ["ent/proj", []]  # Megatron-Bridge does not log it once more
    first, second = server.versions("run")
    assert first.type == "model" and first.digest != second.digest
    assert (second.fields["iteration"], second.fields["step"]) == (20, 20)
    assert second.fields["absolute_path"] == str(folder / "run")
    stored = [] if alone else ["store-v2"]
    assert sorted(second.aliases) == sorted(["iter_0000020", "latest", *stored])
    [rl_model] = server.versions("rl-model")
    assert "step_5" in rl_model.aliases
    assert rl_model.fields["path"] == str(folder / "step_5")
    [only] = server.runs()
    assert only.fields["tags"] == ["pretrain"]
    if not alone:
        assert open_store(str(folder / "store")).versions("run") == [1, 2]
