"""Without a server: what is logged is kept, and can be sent later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from nemo_runspec.store import open_store
from tests.nemo_runspec.wandb.clients import run_script
from tests.nemo_runspec.wandb.wandb_server import WandbServer, client_environment

SCRIPT = """
    import json
    from pathlib import Path

    import wandb
    from nemo_runspec import wandb_kit
    from nemo_runspec.artifacts import Artifact, log_artifact, setup_artifact_tracking
    from nemo_runspec.artifacts import log_metric
    from nemo_runspec.store import VersionDraft, open_store

    open_store(".runspec/artifacts").add_version("data", VersionDraft(path="/data"))
    config = {"artifacts": {"wandb": True}, "run": {"data": "data:latest"}, "p": "${art:data}"}
    tracking = setup_artifact_tracking(config)
    wandb_kit.init_wandb_from_env()
    wandb_kit.add_run_tags(["pretrain"])
    Path("out").mkdir()
    Path("out/x").write_text("x")
    log_metric("loss", 0.5, 1)
    artifact = Artifact(path="out", metadata={"n": 1})
    manifest = log_artifact(artifact, tracking, name="user/ann/out")
    folder = wandb.run.settings.sync_dir
    wandb_kit.finish_run(0)
    print(json.dumps([tracking.wandb, manifest.used_artifacts, artifact.tracking.url, folder]))
"""


def test_a_run_is_kept_and_sent_later(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    offline = client_environment("http://127.0.0.1:9", folder, WANDB_MODE="offline")
    ran = run_script(folder, SCRIPT, offline)
    assert (ran.code, ran.errors) == (0, "")
    on, used, url, kept = ran.said
    assert (on, used, url) == (True, ["data:v1"], None)
    with WandbServer() as server:
        done = subprocess.run(
            [sys.executable, "-m", "wandb", "sync", kept],
            env={**os.environ, **server.environment(folder)},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        [version] = server.versions("user..ann..out")
        assert version.fields["runspec"]["version"] == 1
        assert version.fields["n"] == 1
        assert sorted(version.aliases) == ["latest", "store-v1"]
        assert "manifest.json" in version.files
        [run] = server.runs()
        assert [row["loss"] for row in run.history if "loss" in row] == [0.5]
        assert run.fields["tags"] == ["pretrain"]
        assert server.unknown == []


def test_disabled(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    disabled = client_environment("http://127.0.0.1:9", folder, WANDB_MODE="disabled")
    ran = run_script(folder, SCRIPT, disabled)
    assert (ran.code, ran.errors) == (0, "")
    assert open_store(str(folder / ".runspec/artifacts")).versions("user/ann/out") == [1]
