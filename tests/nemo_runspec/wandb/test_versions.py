"""Which version a reference means, where a store and Weights & Biases are asked."""

from __future__ import annotations

from pathlib import Path

from nemo_runspec.artifacts.job_context import JobContext, JobInput
from nemo_runspec.store import VersionDraft, open_store
from tests.nemo_runspec.wandb.clients import BOTH, run
from tests.nemo_runspec.wandb.wandb_server import WandbServer


def test_which_version_is_meant(server: WandbServer, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    code = f"""
tracking = setup_artifact_tracking(config(artifacts={BOTH!r}))
wandb_kit.init_wandb_from_env()
for n in (1, 2):
    log_artifact(Artifact(path=made(f"d{{n}}")), tracking, name="data")
    log_artifact(Artifact(path=made(f"m{{n}}")), tracking, name="model")
plain = wandb.Artifact("theirs", type="dataset", metadata={{"absolute_path": "/theirs"}})
with plain.new_file("x") as file:
    file.write("x")
wandb.run.log_artifact(plain).wait()
named = wandb.Api().artifact("ent/proj/data:store-v1")
named.aliases.append("best")
named.save()
wandb_kit.finish_run(0)
print("1")
"""
    run(server, folder, code)
    store = open_store(str(folder / "store"))
    store.add_version("model", VersionDraft(path="/m3"))  # W&B was not there
    store.add_version("unknown", VersionDraft(path="/u"))
    store.add_version("input", VersionDraft(path="/newer"))
    inputs = {"pinned": JobInput("input", 1, "/pinned")}
    context = JobContext(root=str(folder / "store"), inputs=inputs)
    (tmp_path / "context.json").write_text(context.to_json(), "utf-8")
    references = {
        "best": "data:best",
        "third": "model:latest",
        "theirs": "theirs:latest",
        "unknown": "unknown:latest",
        "pinned": "input:latest",
        "second": "model:v2",
    }
    code = f"""
document = config(artifacts={BOTH!r}, run={references!r},
                  found={{key: "${{art:" + key + "}}" for key in {list(references)!r}}})
tracking = setup_artifact_tracking(document)
found = OmegaConf.to_container(document, resolve=True)["found"]
wandb_kit.patch_wandb_init_for_lineage(artifact_qualified_names=tracking.qualified_names)
wandb.init(project="proj")
manifest = log_artifact(ModelArtifact(path=made("out"), step=3), tracking)
wandb_kit.finish_run(0)
print(json.dumps([found, tracking.qualified_names, manifest.used_artifacts]))
"""
    ran = run(server, folder, code, RUNSPEC_JOB_CONTEXT=str(tmp_path / "context.json"))
    found, names, used = ran.said
    assert found == {
        "best": str(folder / "d1"),  # an alias that only W&B has
        "third": "/m3",  # newer than what W&B has
        "theirs": "/theirs",  # not of the store
        "unknown": "/u",  # not of W&B
        "pinned": "/pinned",  # whatever latest means by now
        "second": str(folder / "m2"),
    }
    assert names == [
        "ent/proj/data:v0",
        "ent/proj/model:store-v3",
        "ent/proj/theirs:v0",
        "ent/proj/unknown:store-v1",
        "ent/proj/input:store-v1",
        "ent/proj/model:v1",
    ]
    assert set(used) == {
        "data:v1",
        "model:v3",
        "wandb://ent/proj/theirs:v0",
        "unknown:v1",
        "model:v2",
        "input:v1",
    }
    _, second = server.runs()
    data, _ = server.versions("data")
    assert {a.id for a in second.used} == {
        data.id,
        server.versions("theirs")[0].id,
        server.versions("model")[1].id,
    }
    assert "Weights & Biases knows model:v2 alone; model:v3 of the store is used" in ran.errors


def test_the_ranks_of_a_job(server: WandbServer, tmp_path: Path) -> None:
    """Rank 0 asks W&B; the others have its answer, W&B's names too."""
    folder = tmp_path / "job"
    log = f"""
tracking = setup_artifact_tracking(config(artifacts={BOTH!r}))
log_artifact(Artifact(path=made("d")), tracking, name="data")
wandb_kit.finish_run(0)
"""
    look_up = f"""
document = config(artifacts={BOTH!r}, run={{"data": "data:latest"}}, p="${{art:data}}")
tracking = setup_artifact_tracking(document)
print(json.dumps([OmegaConf.to_container(document, resolve=True)["p"], tracking.qualified_names]))
"""
    job = {"WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"}
    first = run(server, folder, log + look_up, RANK="0", **job)
    asked = len(server.seen)
    second = run(server, folder, look_up, RANK="1", **job)
    assert first.said == second.said == [str(folder / "d"), ["ent/proj/data:v0"]]
    assert server.seen[asked:] == []
