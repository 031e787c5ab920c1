"""Artifacts in a store and in Weights & Biases, or in neither: the real client."""

from __future__ import annotations

import json
from pathlib import Path

from nemo_runspec.artifacts.job_context import JobContext, read_records
from nemo_runspec.store import open_store
from tests.nemo_runspec.wandb.clients import BOTH, run
from tests.nemo_runspec.wandb.wandb_server import WandbServer


def test_both(server: WandbServer, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    context = JobContext(root=str(folder / "store"), records=str(tmp_path / "records"))
    (tmp_path / "context.json").write_text(context.to_json(), "utf-8")
    code = f"""
class Eval(Artifact):
    accuracy: float

tracking = setup_artifact_tracking(config(artifacts={BOTH!r}))
wandb_kit.init_wandb_from_env()
wandb_kit.add_run_tags(["data-prep", "tiny"])
wandb_kit.log_wandb_config({{"lr": 0.1, "path": Path("/x")}})
run = wandb.run
inf = float("inf")
for n in (1, 2):
    log_artifact(Artifact(path=made(f"d{{n}}"), metadata={{"same": 1, "worst": inf}}), tracking,
                 name="user/ann/data")
log_metric("loss", 0.25, 3)
long = "a" * 129
assert log_artifact(Artifact(path=made("d3")), tracking, name=long).name == long
document = config(artifacts={BOTH!r}, run={{"data": "user/ann/data:v1"}}, p="${{art:data}}",
                  v="${{art:data,version}}")
tracking = setup_artifact_tracking(document)
settings = run.settings
found = OmegaConf.to_container(document, resolve=True)
out = Eval(path=made("out 50% #1"), accuracy=0.5)
manifest = log_artifact(out, tracking, name="eval")
wandb_kit.finish_run(0)
print(json.dumps([found["p"], found["v"], tracking.qualified_names, out.tracking.model_dump(),
                  manifest.used_artifacts, settings.init_timeout, settings.finish_timeout]))
"""
    ran = run(
        server,
        folder,
        code,
        RUNSPEC_JOB_CONTEXT=str(tmp_path / "context.json"),
        WANDB_NAME="my run",
        WANDB_GROUP="g",
        WANDB_TAGS="a,b",
        WANDB_JOB_TYPE="sft",
    )
    path, version, names, tracking, used, init_timeout, finish_timeout = ran.said
    page = f"{server.url}/ent/proj/runs/{server.runs()[0].name}"
    assert (path, version) == (str(folder / "d1"), "v1")
    assert names == ["ent/proj/user..ann..data:v0"]
    assert used == ["user/ann/data:v1"]
    assert tracking["artifact_id"] == "eval:v1"
    assert tracking["url"] == f"{server.url}/ent/proj/artifacts/Eval/eval/v0"
    assert (init_timeout, finish_timeout) == (240, 390)  # shares of PATIENT's seconds

    one, two = server.versions("user..ann..data")
    assert one.digest != two.digest
    assert (one.aliases, sorted(two.aliases)) == (["store-v1"], ["latest", "store-v2"])
    assert one.fields["runspec"]["name"] == "user/ann/data"
    assert (one.fields["path"], one.fields["worst"]) == (str(folder / "d1"), "Infinity")
    [result] = server.versions("eval")
    assert (result.type, result.fields["accuracy"]) == ("Eval", 0.5)
    uploaded = server.state.storage[f"/storage/artifacts/{result.id}/manifest.json"]
    assert json.loads(uploaded)["used_artifacts"] == ["user/ann/data:v1"]
    entries = json.loads(server.state.storage[f"/storage/{result.manifest}"])["contents"]
    assert entries["data/x"]["ref"] == f"{(folder / 'out 50% #1').as_uri()}/x"

    [only] = server.runs()
    assert only.used == [one]
    assert set(only.fields["tags"]) == {"a", "b", "data-prep", "tiny"}
    assert (only.fields["displayName"], only.fields["groupName"]) == ("my run", "g")
    assert (only.fields["jobType"], only.exitcode) == ("sft", 0)
    assert json.loads(only.fields["config"])["lr"] == {"value": 0.1}
    assert [row["loss"] for row in only.history if "loss" in row] == [0.25]

    store = open_store(str(folder / "store"))
    assert store.manifest("eval", 1).extra["tracking"] == {"url": page}
    assert [record.url for record in read_records(tmp_path / "records")] == [page] * 4
    # What W&B has no name for is said, and in the store all the same.
    assert len(ran.errors.splitlines()) == 1
    assert "as a name in W&B, which takes 128; choose a shorter name" in ran.errors


def test_off_switches(server: WandbServer, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    code = """
told = []
for section in (
    {"wandb": False, "manifest": {"root": "store"}},
    {"wandb": False, "manifest": {"root": None}},
):
    tracking = setup_artifact_tracking(config(artifacts=section))
    manifest = log_artifact(Artifact(path=made("d")), tracking, name="data")
    told.append([tracking.manifest, tracking.wandb, manifest and manifest.reference])
print(json.dumps(told))
"""
    ran = run(server, folder, code)
    assert ran.said == [[True, False, "data:v1"], [False, False, None]]
    assert server.seen == []
    assert "are not tracked" in ran.errors and not ran.warnings
