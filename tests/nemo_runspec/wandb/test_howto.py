"""The script that docs/howto/wandb.md shows, with a server; tests/integration runs it without."""

from __future__ import annotations

from pathlib import Path

from tests.docs.pages import blocks
from tests.nemo_runspec.wandb.clients import BOTH, run
from tests.nemo_runspec.wandb.wandb_server import WandbServer

PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "wandb.md"

BEFORE = f"""
import sys
log_artifact(Artifact(path=made("d")), setup_artifact_tracking(config(artifacts={BOTH!r})),
             name="data")
wandb_kit.finish_run(0)
OmegaConf.save(config(artifacts={BOTH!r}, run={{"data": "data:latest"}}, output=made("out"),
                      steps=3), "config.yaml")
sys.argv += ["--config", "config.yaml"]
"""


def test_the_script_that_it_shows(server: WandbServer, tmp_path: Path) -> None:
    snippets = [block for block in blocks(PAGE) if block.language == "python"]
    [script] = [block.text for block in snippets if (block.title or "").endswith("/train.py")]
    [patching] = [block.text for block in snippets if block.title is None]
    # A framework's run is told before it is started: here, that of the script.
    start = "if tracking.wandb:\n    init_wandb_from_env()"
    assert start in script
    code = BEFORE + script.replace(start, f"{patching}\n{start}") + "\nprint(1)"
    run(server, tmp_path / "job", code)
    _, training = server.runs()
    [data] = server.versions("data")
    assert training.used == [data]
    assert (training.fields["tags"], training.exitcode) == (["pretrain"], 0)
    assert [row["loss"] for row in training.history if "loss" in row] == [1.0, 0.5, 1 / 3]
    [model] = server.versions("ModelArtifact")
    assert (model.fields["step"], model.fields["final_loss"]) == (3, 1 / 3)
