"""What user code says to TorchX in a job that we launch, and what TorchX's own commands answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from nemo_runspec.torchx_names import STORE_FACTORY, pipeline_handle, run_handle
from nemo_runspec.torchx_tracker import create_tracker
from tests.nemo_runspec.executor_contract import PATIENCE_SECONDS
from tests.nemo_runspec.pipeline.workshop import Workshop, finish

TORCHX = [sys.executable, "-c", "from torchx.cli.main import main; main()"]

# Nothing of ours but what the launcher set up.
SCRIPT = """
from torchx.tracker import app_run_from_env
run = app_run_from_env()
run.add_metadata(lr=0.1, note="it's so")
run.add_artifact("checkpoint", str(out / "ckpt"), {"step": 3})
run.add_source("s3://elsewhere/corpus", "corpus")
log_artifact(Artifact(path=out), tracking)
"""


def test_a_job_tells_and_torchx_answers(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data")
    shop.library("model", SCRIPT, config="x: 1\n", inputs={"data": "data"})
    give_tracker(shop, "model")
    other = tmp_path / "other trackers"
    other.mkdir()
    settings = tmp_path / "fsspec.conf"
    settings.write_text(f"protocol=file\nroot_path={other}\n")
    (shop.repository / "env.toml").write_text(
        f"""\
[here.torchx_trackers]
fsspec = {{ factory = "torchx.tracker.backend.fsspec:create", config = "{settings}" }}
broken = "torchx.tracker.backend.fsspec:create"
missing = "no.such:thing"
"""
    )
    code, out, err = shop.materialize("--run", "here")
    assert (code, err) == (0, ""), out

    manifest = shop.manifest("model")
    data, model = (
        run_handle(Path(one.run["job"]).name, one.run["id"])
        for one in (shop.manifest("data"), manifest)
    )
    # The job went on without those that cannot record it, and said so once for each.
    log = (Path(manifest.run["job"]) / "logs" / "job.log").read_text()
    warned = [line for line in log.splitlines() if line.startswith("warning: the TorchX tracker")]
    assert [line.split()[4] for line in warned] == ["broken", "missing"]
    # TorchX's own tracker has the same.
    (theirs,) = other.iterdir()
    assert [json.loads(file.read_text()) for file in (theirs / "metadata").iterdir()] == [
        {"metadata": {"lr": 0.1, "note": "it's so"}}
    ]

    tracker = create_tracker(str(shop.repository / ".runspec" / "artifacts"))
    pipeline = pipeline_handle(str(manifest.run["pipeline"]))
    assert list(tracker.run_ids()) == sorted([data, model, pipeline])
    assert tracker.metadata(pipeline)["exit_code"] == 0
    assert sorted(tracker.artifacts(pipeline)) == ["data:v1", "model:v1"]
    said = tracker.metadata(model)
    assert (said["lr"], said["note"], said["address"]) == (
        0.1,
        "it's so",
        "src/demo:model.artifact",
    )
    assert sorted(tracker.artifacts(model)) == ["checkpoint", "model:v1"]
    sources = {(each.source_run_id, each.artifact_name) for each in tracker.sources(model)}
    assert sources == {(pipeline, None), (data, "data:v1"), ("s3://elsewhere/corpus", "corpus")}
    assert list(tracker.run_ids(parent_run_id=pipeline)) == sorted([data, model])
    assert [link.run_id for link in tracker.lineage(data).descendants] == [model]

    # None of it counts in a key, and none of it is in the way of those who keep the store.
    (shop.repository / "env.toml").write_text("[here]\n")
    code, out, err = shop.materialize("--run", "here", env={"TORCHX_PARENT_RUN_ID": "x"})
    assert (code, out, err) == (0, "nothing to do: all 2 artifacts are fresh\n", "")
    for command in (["store", "verify"], ["store", "gc", "--days", "0", "--yes"]):
        code, out, err = finish(shop.command(*command))
        assert (code, err) == (0, "") and "_torchx" not in out
    assert tracker.metadata(model)["lr"] == 0.1

    # By an entry point's name, as a wheel of ours has it; by the module, as a checkout.
    installed = tmp_path / "installed" / "nemo_runspec-0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: nemo-runspec\nVersion: 0\n")
    (installed / "entry_points.txt").write_text(
        f"[torchx.tracker]\nnemo_runspec = {STORE_FACTORY}\n"
    )
    root = shop.repository / ".runspec" / "artifacts"
    (shop.repository / ".torchxconfig").write_text(
        f"[torchx:tracker]\nnemo_runspec = nemo_runspec\n[tracker:nemo_runspec]\nconfig = {root}\n"
    )
    named = {"PYTHONPATH": os.pathsep.join([str(installed.parent), *sys.path])}
    listed = torchx(shop.repository, named, "list", "jobs")
    assert listed.split()[3:] == sorted([data, model, pipeline])
    by_module = {"TORCHX_TRACKERS": STORE_FACTORY}
    listed = torchx(shop.repository, by_module, "list", "metadata", model)
    assert ["lr", "0.1"] in [line.split() for line in listed.splitlines()]
    assert "it's so" in listed and "src/demo:model.artifact" in listed
    listed = torchx(
        shop.repository, by_module, "list", "artifacts", "--artifact", "checkpoint", model
    )
    assert "ckpt" in listed and "{'step': 3}" in listed and "model:v1" not in listed


def give_tracker(shop: Workshop, recipe: str) -> None:
    """Let a recipe's bundle say that its code has our tracker; the job imports it from here."""
    path = shop.bundles / recipe / "bundle.json"
    bundle = json.loads(path.read_text())
    bundle["files"]["src/nemo_runspec/torchx_tracker/in_job.py"] = "f" * 64
    path.write_text(json.dumps(bundle))


def torchx(folder: Path, env: Mapping[str, str], *arguments: str) -> str:
    """What ``torchx tracker …`` prints in a folder."""
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*TORCHX, "tracker", *arguments],
        cwd=folder,
        env={**os.environ, **paths, **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
