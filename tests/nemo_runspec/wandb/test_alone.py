"""Artifacts in Weights & Biases alone: the real client."""

from __future__ import annotations

from pathlib import Path

from tests.nemo_runspec.wandb.clients import ALONE, run
from tests.nemo_runspec.wandb.wandb_server import WandbServer


def test_wandb_alone(server: WandbServer, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    code = f"""
tracking = setup_artifact_tracking(config(artifacts={ALONE!r}))
artifact = ModelArtifact(path=made("model"), step=7)
nothing = log_artifact(artifact, tracking, name="user/ann/model")   # starts the run by itself
data = wandb.Artifact("referred", type="dataset")
data.add_reference(f"file://{{Path(made('data')).resolve()}}/x", name="data")   # a checksum
wandb.run.log_artifact(data).wait()
made("data", "made again since")
document = config(artifacts={ALONE!r}, run={{"model": "user/ann/model:latest", "d": "referred:v0"}},
                  m="${{art:model}}", step="${{art:model,step}}", v="${{art:model,version}}",
                  d="${{art:d}}")
tracking = setup_artifact_tracking(document)
found = OmegaConf.to_container(document, resolve=True)
again = ModelArtifact.from_uri("art://user/ann/model:v0")
errors = []
for reference in ("nope:latest", "referred:v9"):
    try:
        ModelArtifact.from_uri(reference)
    except NemoRunspecError as error:
        errors.append(f"{{type(error).__name__}}: {{error}}")
files = Path(wandb.Api().artifact("ent/proj/referred:v0").download()).name
wandb_kit.finish_run(3)
print(json.dumps([tracking.manifest, tracking.wandb, nothing, artifact.tracking.artifact_id,
                  [found[key] for key in ("m", "step", "v", "d")], tracking.qualified_names,
                  again.step, errors, bool(files)]))
"""
    ran = run(server, folder, code)
    manifest, wandb, nothing, artifact_id, found, names, step, errors, downloaded = ran.said
    assert (manifest, wandb, nothing) == (False, True, None)
    assert artifact_id == "ent/proj/user..ann..model:v0"
    assert found == [str(folder / "model"), 7, "v0", f"{folder}/data/x"]
    assert names == ["ent/proj/user..ann..model:v0", "ent/proj/referred:v0"]
    assert (step, downloaded) == (7, True)
    assert len(errors) == 2 and all(error.startswith("ArtifactNotFoundError") for error in errors)
    assert "there is no artifact nope:latest in wandb://ent/proj" in errors[0]
    assert not (folder / ".runspec").exists()
    assert server.runs()[0].exitcode == 3


def test_registry(server: WandbServer, tmp_path: Path) -> None:
    code = """
from nemo_runspec.artifact_registry import (
    ArtifactRegistry, get_resolver_mode, set_artifact_registry,
)
registry = ArtifactRegistry("wandb", wandb_project="proj", wandb_entity="ent")
set_artifact_registry(registry)
first = registry.publish("user/ann/data", made("d1"), {"n": 1})
second = registry.publish("user/ann/data", made("d2"), {"n": 2})
registry.alias("user/ann/data", "best", 0)
errors = []
for act in (
    lambda: registry.alias("nope", "best", 0),
    lambda: registry.alias("user/ann/data", "best", 7),
    lambda: registry.resolve("nope"),
):
    try:
        act()
    except NemoRunspecError as error:
        errors.append(type(error).__name__)
entry = registry.get("user/ann/data")
resolved = [str(registry.resolve("user/ann/data", which)) for which in (None, 0, "best", "latest")]
print(json.dumps([first.version, second.version, registry.list(), resolved, dict(entry.aliases),
                  [version.metadata["n"] for version in entry.versions], registry.get("nope"),
                  errors, get_resolver_mode()]))
"""
    folder = tmp_path / "job"
    ran = run(server, folder, code)
    first, second, names, resolved, aliases, metadata, nope, errors, mode = ran.said
    one, two = str(folder / "d1"), str(folder / "d2")
    assert (first, second, names) == (0, 1, ["user/ann/data"])
    assert resolved == [two, one, one, two]
    assert aliases == {"best": 0, "latest": 1}
    assert (metadata, nope, mode) == ([1, 2], None, "pre_init")
    assert errors == [
        "ArtifactNotFoundError",
        "ArtifactVersionNotFoundError",
        "ArtifactNotFoundError",
    ]
