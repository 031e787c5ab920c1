"""Where the client is not installed, is broken, or starts no run: what a run loses is a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemo_runspec.store import open_store
from tests.nemo_runspec.wandb.clients import run_script
from tests.nemo_runspec.wandb.wandb_server import client_environment

UNUSABLE = """
import json, sys
from pathlib import Path
if BROKEN:
    Path("wandb.py").write_text("raise TypeError('Descriptors cannot be created directly')")
else:
    sys.modules["wandb"] = None
from nemo_runspec import wandb_kit
from nemo_runspec.artifacts import Artifact, log_artifact, setup_artifact_tracking
config = {"artifacts": {"wandb": True}}
tracking = setup_artifact_tracking(config)
setup_artifact_tracking(config)
wandb_kit.init_wandb_from_env()
wandb_kit.patch_wandb_init_for_lineage(tags=["x"])
Path("out").mkdir()
manifest = log_artifact(Artifact(path="out"), tracking, name="out")
wandb_kit.finish_run(0)
wandb_kit.add_run_tags(["x"])
print(json.dumps([tracking.manifest, tracking.wandb, manifest.reference]))
"""


@pytest.mark.parametrize("broken", [False, True])
def test_without_the_client(tmp_path: Path, broken: bool) -> None:
    folder = tmp_path / "job"
    code = UNUSABLE.replace("BROKEN", str(broken))
    ran = run_script(folder, code, {"HOME": str(folder)})
    assert (ran.code, ran.said) == (0, [True, False, "out:v1"]), ran.errors
    [warning] = ran.errors.splitlines()
    assert ("Descriptors cannot be created" in warning) is broken
    assert 'add "wandb" to the dependencies of the script\'s PEP 723 block' in warning


FRAMEWORK = """
import json
from pathlib import Path

import wandb
from nemo_runspec import wandb_kit
from nemo_runspec.artifacts import Artifact, log_artifact, log_metric, setup_artifact_tracking

def fails(*arguments, **named):
    raise TypeError("init() got an unexpected keyword argument 'bogus'")

if NOTHING_STARTS:
    wandb.init = fails
tracking = setup_artifact_tracking({"artifacts": {"wandb": True}})
wandb_kit.patch_wandb_init_for_lineage(artifact_qualified_names=["a/b/c:v0"], tags=["x"])
with wandb.init(project="proj", bogus=1) as run:
    run.log({"loss": 1.0}, step=run.step)
    run.config.update({"lr": 1})
    run.config["seed"] = 1
    run.define_metric("loss", step_metric="step")
    run.summary["best"] = 1.0
    run.tags = (*(run.tags or ()), "more")
    wandb.log({"loss": 0.5})
    wandb.config.update({"momentum": 2})
    wandb.run.summary["best"] = 0.5
    page = f"{run.name}: {run.url}"
    log_metric("loss", 0.25, 3)
    Path("out").mkdir()
    manifest = log_artifact(Artifact(path="out"), tracking, name="out")
wandb.finish()
wandb_kit.finish_run(0)
print(json.dumps([manifest.reference, manifest.producer]))
"""


@pytest.mark.parametrize("nothing_starts", [False, True])
def test_a_framework_goes_on_without_a_run(tmp_path: Path, nothing_starts: bool) -> None:
    folder = tmp_path / "job"
    environment = client_environment("http://127.0.0.1:9", folder)
    ran = run_script(folder, FRAMEWORK.replace("NOTHING_STARTS", str(nothing_starts)), environment)
    assert ran.code == 0, ran.errors
    assert ran.said[0] == "out:v1"
    [warning] = ran.errors.splitlines()
    assert "starting a run failed (TypeError: init() got an unexpected keyword" in warning
    manifest = open_store(str(folder / ".runspec/artifacts")).manifest("out", 1)
    assert manifest.producer == ran.said[1]
    assert "tracking" not in manifest.extra
