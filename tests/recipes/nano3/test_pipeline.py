"""From the text to the evaluation with the tiny configs, each script in a job of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from nemo_runspec.artifacts.job_context import JobInput
from recipes.nano3.checkpoint import load_checkpoint, load_model
from recipes.nano3.settings import load
from recipes.nano3.shards import read_dataset
from recipes.nano3.stage0_pretrain import data_prep, shard_stats, train
from recipes.nano3.stage1_sft import data_prep as sft_data_prep
from recipes.nano3.stage1_sft import select_best
from recipes.nano3.stage1_sft import train as sft
from recipes.nano3.stage2_rl import data_prep as rl_data_prep
from recipes.nano3.stage2_rl import train as rl
from recipes.nano3.stage3_eval import evaluate
from tests.recipes.nano3.scripts import Pipeline, compose, read_config, run_all, start

RATES = ("1e-3", "3e-3")
SCHEMAS: dict[str, type[Any]] = {
    "stage0_pretrain/data_prep.py": data_prep.DataPrepSettings,
    "stage0_pretrain/shard_stats.py": shard_stats.ShardStatsSettings,
    "stage0_pretrain/train.py": train.PretrainSettings,
    "stage1_sft/data_prep.py": sft_data_prep.DataPrepSettings,
    "stage1_sft/train.py": sft.SFTSettings,
    "stage1_sft/select_best.py": select_best.SelectSettings,
    "stage2_rl/data_prep.py": rl_data_prep.DataPrepSettings,
    "stage2_rl/train.py": rl.RLSettings,
    "stage3_eval/evaluate.py": evaluate.EvalSettings,
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return Pipeline(tmp_path_factory.mktemp("it's a folder; 'ünï'"), "tiny")


@pytest.fixture(scope="module")
def made(pipeline: Pipeline) -> dict[str, JobInput]:
    return run_all(pipeline, RATES)


def read(made: JobInput, file: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((Path(made.path) / file).read_text(encoding="utf-8"))
    return document


def test_every_version_says_what_it_is(made: dict[str, JobInput]) -> None:
    kinds = {name: each.type for name, each in made.items() if each.metadata}
    assert kinds == {
        "sft-data": "SplitJsonlDataArtifact",
        "sft-1e-3": "ModelArtifact",
        "sft-3e-3": "ModelArtifact",
        "sft-model": "ModelArtifact",
        "rl-data": "SplitJsonlDataArtifact",
        "rl-model": "ModelArtifact",
        "eval-results": "EvalArtifact",
    }
    assert made["sft-data"].metadata["total_sequences"] == 200
    assert made["rl-data"].metadata["metadata"]["val"].endswith("validation.jsonl")


def test_fine_tuning_lowers_the_loss_of_answers(made: dict[str, JobInput]) -> None:
    for rate in RATES:
        summary = read(made[f"sft-{rate}"], "summary.json")
        assert summary["final_loss"] < 0.95 * summary["start_loss"]
        assert made[f"sft-{rate}"].metadata["final_loss"] == summary["final_loss"]
        assert summary["learning_rate"] == float(rate)


def test_the_join_takes_the_better_one(made: dict[str, JobInput]) -> None:
    losses = [made[f"sft-{rate}"].metadata["final_loss"] for rate in RATES]
    assert read(made["sft-model"], "choice.json") == {
        "chosen": losses.index(min(losses)),
        "losses": losses,
    }
    better = made[f"sft-{RATES[losses.index(min(losses))]}"]
    for name in ("checkpoint.npz", "config.json", "tokenizer.json"):
        chosen = Path(made["sft-model"].path) / name
        assert chosen.read_bytes() == (Path(better.path) / name).read_bytes()
    assert made["sft-model"].metadata["final_loss"] == min(losses)


def test_reinforcement_goes_on_from_the_chosen_model(made: dict[str, JobInput]) -> None:
    before, after = (load_model(Path(made[name].path)) for name in ("sft-model", "rl-model"))
    assert after.shape == before.shape
    assert any((after.parameters[name] != value).any() for name, value in before.parameters.items())
    assert load_checkpoint(Path(made["rl-model"].path) / "checkpoint.npz").step == 4
    lines = (Path(made["rl-model"].path) / "metrics.jsonl").read_text().splitlines()
    rewards = [json.loads(line)["reward"] for line in lines]
    assert len(rewards) == 4
    assert all(0 <= reward <= 1 for reward in rewards)


def test_the_evaluation_finds_trained_models_better(made: dict[str, JobInput]) -> None:
    scores = read(made["eval-results"], "eval.json")
    assert list(scores) == ["untrained", "pretrained", "sft", "rl"]
    losses = [scores[name]["loss"] for name in ("untrained", "pretrained", "sft")]
    assert losses == sorted(losses, reverse=True)
    metadata = made["eval-results"].metadata["metadata"]
    assert metadata["loss"] == scores["rl"]["loss"] < metadata["untrained_loss"]
    report = (Path(made["eval-results"].path) / "report.md").read_text(encoding="utf-8")
    assert report.startswith("| model")
    assert f"{scores['rl']['loss']:.3f}" in report


def test_a_trained_model_is_the_same_wherever_and_whenever(
    pipeline: Pipeline, made: dict[str, JobInput], tmp_path: Path
) -> None:
    """So that nothing below it need run again; an interrupted job comes to the same, too."""
    for name, script, kept in (
        ("sft-3e-3", "stage1_sft/train.py", None),
        ("rl-model", "stage2_rl/train.py", "checkpoint"),
    ):
        folder = tmp_path / name
        shutil.copytree(Path(made[name].path), folder)
        steps = load_checkpoint(folder / "checkpoint.npz").step
        if kept is None:
            (folder / "checkpoint.npz").unlink()
        again = pipeline.again(made[name], script, folder)
        assert again.returncode == 0, again.stderr
        assert (f"{steps} of them done before" in again.stdout) == (kept is not None)
        for file in ("checkpoint.npz", "metrics.jsonl", "summary.json"):
            assert (folder / file).read_bytes() == (Path(made[name].path) / file).read_bytes()


def test_equal_builds_have_equal_identities(pipeline: Pipeline, made: dict[str, JobInput]) -> None:
    for name, script in (
        ("sft-data", "stage1_sft/data_prep.py"),
        ("rl-data", "stage2_rl/data_prep.py"),
        ("eval-results", "stage3_eval/evaluate.py"),
    ):
        again = pipeline.run(made[name].name, script)
        assert again.version == 2
        assert again.path != made[name].path
        assert again.identity == made[name].identity
        assert str(again.identity).startswith("sha256:")


def test_each_shard_is_measured_by_a_job_of_its_own(
    pipeline: Pipeline, made: dict[str, JobInput]
) -> None:
    dataset = read_dataset(Path(made["data"].path))
    shards = read(made["data"], "metadata.json")["shards"]
    tokens = documents = 0
    for number, shard in enumerate(shards):
        element = {"index": number, "value": shard}
        name, script = f"shard-stats-{number}", "stage0_pretrain/shard_stats.py"
        found = pipeline.run(name, script, element=element).metadata["metadata"]
        assert found["shard"] == shard["file"]
        assert found["tokens"] == shard["tokens"]
        assert 0 < found["entropy"] < 9
        tokens, documents = tokens + found["tokens"], documents + found["documents"]
    assert tokens == sum(split.tokens for split in dataset.splits.values())
    assert documents == sum(split.documents for split in dataset.splits.values())


@pytest.mark.parametrize(
    ("script", "override", "message"),
    [
        ("stage1_sft/train.py", "model=no/where", "no/where: no checkpoint.npz, so no model"),
        ("stage1_sft/train.py", "data=no/where", "no/where/validation.jsonl: no such file"),
        ("stage1_sft/train.py", "answer.tokens=0", "answer.tokens: 0 is below 1"),
        ("stage2_rl/train.py", "group_size=3", "train.batch_size: 8 cannot be divided by"),
        ("stage2_rl/train.py", "answer.temperature=0.5", "answer.temperature: 0.5 is not 1"),
        ("stage3_eval/evaluate.py", "repeats=0", "repeats: 0 is below 1"),
        ("stage0_pretrain/shard_stats.py", "data=.", "shard: null is for jobs that run once"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    made: dict[str, JobInput], tmp_path: Path, script: str, override: str, message: str
) -> None:
    folders = {"model": "pretrain-model", "pretrained": "pretrain-model", "sft": "sft-model"}
    folders |= {"data": "sft-data", "wishes": "rl-data"}
    config = read_config(compose(tmp_path / "x.yaml", script))
    given = [f"{key}={made[name].path}" for key, name in folders.items() if key in config]
    store = f"artifacts.manifest.root={tmp_path / 'store'}"
    result = start(script, compose(tmp_path / "x.yaml", script, *given, store, override))
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert message in result.stderr


def test_an_artifact_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    store = f"artifacts.manifest.root={tmp_path / 'store'}"
    script = "stage1_sft/data_prep.py"
    result = start(script, compose(tmp_path / "x.yaml", script, store))
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1, result.stderr
    assert "nano3-tiny-pretrain-data" in result.stderr


@pytest.mark.parametrize("script", sorted(SCHEMAS))
@pytest.mark.parametrize("name", ["default", "tiny"])
def test_every_shipped_config_is_complete(name: str, script: str, tmp_path: Path) -> None:
    if script == "stage1_sft/select_best.py":
        name = "default"
    config = read_config(compose(tmp_path / "x.yaml", script, name=name))
    for key in config.get("run", {}):
        config[key] = "/somewhere"  # the launcher or the library resolves ${art:KEY,path}
    OmegaConf.save(config, tmp_path / "x.yaml")
    load(tmp_path / "x.yaml", SCHEMAS[script])
