"""Both scripts, started as the launcher starts them: by path, with a composed config."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from recipes.nano3.checkpoint import load_checkpoint
from recipes.nano3.optimizer import TrainingState, adamw
from recipes.nano3.settings import load
from recipes.nano3.shards import read_dataset
from recipes.nano3.stage0_pretrain import data_prep, train

STAGE = Path(train.__file__).parent
SOURCE_ROOT = STAGE.parents[2]


def compose(path: Path, script: str, *overrides: str) -> Path:
    """What the launcher makes of ``tiny`` and its ``defaults``."""
    config = read_config(STAGE / "config" / script / "tiny.yaml")
    OmegaConf.save(OmegaConf.merge(config, OmegaConf.from_dotlist([*overrides])), path)
    return path


def read_config(path: Path) -> DictConfig:
    config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    if "defaults" in config:
        merged = OmegaConf.merge(read_config(path.parent / config.pop("defaults")), config)
        assert isinstance(merged, DictConfig)
        return merged
    return config


def start(
    script: str, config: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(STAGE / f"{script}.py"), "--config", str(config), *arguments],
        cwd=config.parent,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(SOURCE_ROOT), *sys.path]),
            "PYTHONIOENCODING": "utf-8",
            "OMP_NUM_THREADS": "1",
            **environment,
        },
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )


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
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a whole tiny training, with what it printed in ``stdout``."""
    folder = tmp_path_factory.mktemp("it's a folder; 'ünï'")
    output = folder / "out put"
    result = start("train", compose(folder / "x.yaml", "train"), RUNSPEC_OUTPUT_DIR=str(output))
    assert result.returncode == 0, result.stderr
    (output / "stdout").write_text(result.stdout, encoding="utf-8")
    return output


def test_training_learns_and_leaves_what_it_promises(trained: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text(encoding="utf-8"))
    assert summary["untrained_loss"] == pytest.approx(np.log(384), rel=1e-4)
    assert summary["final_loss"] < 0.6 * summary["untrained_loss"]
    assert summary["step"] == load_checkpoint(trained / "checkpoint.npz").step == 80

    logged = losses(trained)
    assert [step for step, _, _ in logged] == list(range(10, 81, 10))
    assert [step for step, _, value in logged if value is not None] == [20, 40, 60, 80]
    assert logged[-1][2] == pytest.approx(summary["final_loss"])

    assert (trained / "samples.txt").read_text(encoding="utf-8").strip()
    assert (trained / "config.json").is_file()
    assert (trained / "tokenizer.json").is_file()
    stdout = (trained / "stdout").read_text(encoding="utf-8")
    assert str(trained) in stdout
    assert f"{summary['final_loss']:.3f} after 80 steps" in stdout
    assert [path.name for path in trained.rglob(".*")] == []


def test_prepared_shards_give_the_same_bits(trained: Path, tmp_path: Path) -> None:
    shards = tmp_path / "the shards; of 'ü'"
    config = compose(tmp_path / "data.yaml", "data_prep", f"output_dir={shards}")
    result = start("data_prep", config)
    assert result.returncode == 0, result.stderr
    assert str(shards) in result.stdout
    assert read_dataset(shards).identity == read_dataset(trained / "data").identity

    output = tmp_path / "out"
    config = compose(tmp_path / "train.yaml", "train", f"output_dir={output}", f"data={shards}")
    result = start("train", config)
    assert result.returncode == 0, result.stderr
    assert not (output / "data").exists()
    assert_equal(
        load_checkpoint(output / "checkpoint.npz"), load_checkpoint(trained / "checkpoint.npz")
    )


def test_an_interrupted_training_goes_on_to_the_same_bits(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose(tmp_path / "x.yaml", "train", f"output_dir={tmp_path}")
    monkeypatch.setattr(sys, "argv", ["train.py", "--config", str(config)])
    with monkeypatch.context() as patch:
        patch.setattr(train, "adamw", interrupted_after(step=53))
        with pytest.raises(KeyboardInterrupt):
            train.main()
    assert load_checkpoint(tmp_path / "checkpoint.npz").step == 40
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6')

    result = start("train", config)
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


def test_a_folder_with_another_training_is_left_alone(trained: Path, tmp_path: Path) -> None:
    before = (trained / "checkpoint.npz").read_bytes()
    config = compose(tmp_path / "x.yaml", "train", "train.steps=3")
    result = start("train", config, RUNSPEC_OUTPUT_DIR=str(trained))
    assert_one_line_error(result, "holds a training with other settings (train.steps: 80 -> 3)")
    assert (trained / "checkpoint.npz").read_bytes() == before


def test_fresh_starts_anew(tmp_path: Path) -> None:
    for steps, arguments in ((4, ()), (3, ("--fresh",))):
        config = compose(
            tmp_path / "x.yaml", "train", f"output_dir={tmp_path}", f"train.steps={steps}"
        )
        result = start("train", config, *arguments)
        assert result.returncode == 0, result.stderr
        assert load_checkpoint(tmp_path / "checkpoint.npz").step == steps


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.widht=48", "model.widht: unknown key; did you mean width?"),
        ("model.heads=5", "model.width: 48 cannot be divided by heads: 5"),
        ("data=no/such folder", "no/such folder: no index.json, so no prepared shards"),
        ("prepare.text=gone.txt", "gone.txt: no such file"),
        ("model.context=4000", "too few for model.context: 4000"),
        ("optimizer.learning_rate=1.0e+30", "lower optimizer.learning_rate"),
        ("output_dir=x.yaml", "x.yaml"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, override: str, message: str) -> None:
    result = start("train", compose(tmp_path / "x.yaml", "train", override))
    assert_one_line_error(result, message)


def test_a_damaged_checkpoint_is_said_in_one_line(tmp_path: Path) -> None:
    config = compose(tmp_path / "x.yaml", "train", f"output_dir={tmp_path}", "train.steps=1")
    assert start("train", config).returncode == 0
    (tmp_path / "checkpoint.npz").write_bytes(b"PK no zip")
    assert_one_line_error(start("train", config), "checkpoint.npz: no checkpoint of ours")


def assert_one_line_error(result: subprocess.CompletedProcess[str], message: str) -> None:
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("error: ")
    assert message in result.stderr


@pytest.mark.parametrize("name", ["default", "tiny"])
def test_every_shipped_config_is_complete(name: str, tmp_path: Path) -> None:
    for script, schema in (
        ("train", train.PretrainSettings),
        ("data_prep", data_prep.DataPrepSettings),
    ):
        config = read_config(STAGE / "config" / script / f"{name}.yaml")
        OmegaConf.save(config, tmp_path / f"{script}.yaml")
        load(tmp_path / f"{script}.yaml", schema)
