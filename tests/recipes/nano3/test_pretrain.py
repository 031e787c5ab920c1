"""Both scripts, started as the launcher starts them: by path, with a composed config."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recipes.nano3 import training
from recipes.nano3.checkpoint import load_checkpoint, load_model
from recipes.nano3.errors import InputError
from recipes.nano3.optimizer import TrainingState, adamw
from recipes.nano3.shards import read_dataset
from recipes.nano3.stage0_pretrain import train
from tests.recipes.nano3.scripts import compose, start

TRAIN = "stage0_pretrain/train.py"
DATA_PREP = "stage0_pretrain/data_prep.py"


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data, prepared by its script."""
    folder = tmp_path_factory.mktemp("data")
    shards = folder / "the shards; of 'ü'"
    result = start(DATA_PREP, compose(folder / "x.yaml", DATA_PREP, f"output_dir={shards}"))
    assert result.returncode == 0, result.stderr
    assert str(shards) in result.stdout
    return shards


def assert_equal(first: TrainingState, second: TrainingState) -> None:
    assert first.step == second.step
    for part in ("parameters", "mean", "square"):
        one, other = getattr(first, part), getattr(second, part)
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=f"{part} {name}")


def losses(folder: Path) -> list[tuple[int, float, float | None]]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [(item["step"], item["loss"], item["validation_loss"]) for item in records]


@pytest.fixture(scope="module")
def trained(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a whole tiny training, with what it printed in ``stdout`` beside it."""
    folder = tmp_path_factory.mktemp("it's a folder; 'ünï'")
    output = folder / "out put"
    config = compose(folder / "x.yaml", TRAIN, f"data={shards}")
    result = start(TRAIN, config, RUNSPEC_OUTPUT_DIR=str(output))
    assert result.returncode == 0, result.stderr
    (folder / "stdout").write_text(result.stdout, encoding="utf-8")
    return output


def test_training_learns_and_leaves_what_it_promises(trained: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text(encoding="utf-8"))
    assert summary["untrained_loss"] == pytest.approx(np.log(512), rel=1e-4)
    assert summary["final_loss"] < 0.6 * summary["untrained_loss"]
    assert summary["step"] == load_checkpoint(trained / "checkpoint.npz").step == 80

    logged = losses(trained)
    assert [step for step, _, _ in logged] == list(range(10, 81, 10))
    assert [step for step, _, value in logged if value is not None] == [20, 40, 60, 80]
    assert logged[-1][2] == pytest.approx(summary["final_loss"])

    assert (trained / "samples.txt").read_text(encoding="utf-8").strip()
    assert (trained / "config.json").is_file()
    assert (trained / "tokenizer.json").is_file()
    stdout = (trained.parent / "stdout").read_text(encoding="utf-8")
    assert str(trained) in stdout
    assert f"{summary['final_loss']:.3f} after 80 steps" in stdout
    assert [path.name for path in trained.rglob(".*")] == []


def test_what_a_version_of_it_says_stands_beside_it(shards: Path, trained: Path) -> None:
    data = json.loads((shards / "metadata.json").read_text(encoding="utf-8"))
    dataset = read_dataset(shards)
    files = [each.file for split in dataset.splits.values() for each in split.shards]
    assert [each["file"] for each in data["shards"]] == files
    assert data["num_shards"] == len(files) == 3
    assert data["total_tokens"] == data["train_tokens"] + data["valid_tokens"]
    model = json.loads((trained / "metadata.json").read_text(encoding="utf-8"))
    assert model["step"] == 80
    assert model["final_loss"] < model["untrained_loss"]


def test_the_same_training_leaves_the_same_bytes(
    shards: Path, trained: Path, tmp_path: Path
) -> None:
    other_place = tmp_path / "other shards"
    shutil.copytree(shards, other_place)
    config = compose(tmp_path / "x.yaml", TRAIN, f"output_dir={tmp_path}", f"data={other_place}")
    result = start(TRAIN, config)
    assert result.returncode == 0, result.stderr
    for path in trained.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_an_interrupted_training_goes_on_to_the_same_bits(
    shards: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose(tmp_path / "x.yaml", TRAIN, f"output_dir={tmp_path}", f"data={shards}")
    monkeypatch.setattr(sys, "argv", ["train.py", "--config", str(config)])
    with monkeypatch.context() as patch:
        patch.setattr(training, "adamw", interrupted_after(step=53))
        with pytest.raises(KeyboardInterrupt):
            train.main()
    assert load_checkpoint(tmp_path / "checkpoint.npz").step == 40
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6')

    result = start(TRAIN, config)
    assert result.returncode == 0, result.stderr
    assert "40 of them done before" in result.stdout
    assert losses(tmp_path) == losses(trained)
    assert (tmp_path / "samples.txt").read_bytes() == (trained / "samples.txt").read_bytes()
    assert_equal(
        load_checkpoint(tmp_path / "checkpoint.npz"), load_checkpoint(trained / "checkpoint.npz")
    )


def interrupted_after(step: int) -> Any:
    def step_or_stop(state: TrainingState, *arguments: Any) -> TrainingState:
        if state.step == step:
            raise KeyboardInterrupt
        return adamw(state, *arguments)

    return step_or_stop


def test_a_folder_with_another_training_is_left_alone(
    shards: Path, trained: Path, tmp_path: Path
) -> None:
    before = (trained / "checkpoint.npz").read_bytes()
    config = compose(tmp_path / "x.yaml", TRAIN, f"data={shards}", "train.steps=3")
    result = start(TRAIN, config, RUNSPEC_OUTPUT_DIR=str(trained))
    assert_one_line_error(result, "holds a training with other settings (train.steps: 80 -> 3)")
    assert (trained / "checkpoint.npz").read_bytes() == before


def test_fresh_starts_anew(shards: Path, tmp_path: Path) -> None:
    for steps, arguments in ((4, ()), (3, ("--fresh",))):
        overrides = (f"data={shards}", f"output_dir={tmp_path}", f"train.steps={steps}")
        config = compose(tmp_path / "x.yaml", TRAIN, *overrides)
        result = start(TRAIN, config, *arguments)
        assert result.returncode == 0, result.stderr
        assert load_checkpoint(tmp_path / "checkpoint.npz").step == steps


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.widht=48", "model.widht: unknown key; did you mean width?"),
        ("model.heads=5", "model.width: 48 cannot be divided by heads: 5"),
        ("data=no/such folder", "no/such folder: no index.json, so no prepared shards"),
        ("sample.prompt='" + "a b " * 200 + "'", "leaves nothing of model.context: 144"),
        ("model.context=4000", "too few for model.context: 4000"),
        ("optimizer.learning_rate=1.0e+30", "lower optimizer.learning_rate"),
        ("output_dir=x.yaml", "x.yaml"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    shards: Path, tmp_path: Path, override: str, message: str
) -> None:
    overrides = (f"data={shards}", "train.steps=20", override)
    result = start(TRAIN, compose(tmp_path / "x.yaml", TRAIN, *overrides))
    assert_one_line_error(result, message)


def test_a_text_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    config = compose(tmp_path / "x.yaml", DATA_PREP, "prepare.text=gone.txt")
    assert_one_line_error(start(DATA_PREP, config), "gone.txt: no such file")


def test_a_damaged_checkpoint_is_said_in_one_line(shards: Path, tmp_path: Path) -> None:
    overrides = (f"data={shards}", f"output_dir={tmp_path}", "train.steps=1")
    config = compose(tmp_path / "x.yaml", TRAIN, *overrides)
    assert start(TRAIN, config).returncode == 0
    (tmp_path / "checkpoint.npz").write_bytes(b"PK no zip")
    assert_one_line_error(start(TRAIN, config), "checkpoint.npz: no checkpoint of ours")


def assert_one_line_error(result: subprocess.CompletedProcess[str], message: str) -> None:
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("error: ")
    assert message in result.stderr


def test_a_folder_without_a_whole_model_is_no_model(trained: Path, tmp_path: Path) -> None:
    assert load_model(trained).shape == train.ModelSettings(144, 48, 1, 4)
    with pytest.raises(InputError, match=r"no checkpoint\.npz, so no model"):
        load_model(tmp_path)
    for name in ("checkpoint.npz", "tokenizer.json"):
        shutil.copy(trained / name, tmp_path)
    (tmp_path / "config.json").write_text('{"model": {"width": 3}}')
    with pytest.raises(InputError, match="does not describe a model of ours"):
        load_model(tmp_path)
