"""The gate: what was trained is better than what was not, or it is not to be used.

It reads the evaluation that `./pants materialize src/recipes/nano3:eval-results` made, packaged
into the sandbox as `manifest.json` and `metadata.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path("src.recipes.nano3/eval-results")


@pytest.fixture(scope="module")
def scores() -> dict[str, dict[str, float]]:
    """Loss, success and reward of each model."""
    found: dict[str, dict[str, float]] = read("metadata.json")["metadata"]["scores"]
    return found


def read(name: str) -> dict[str, Any]:
    path = RESULTS / name
    if not path.is_file():
        pytest.fail(
            f"{path} is not here, because the evaluation is missing or stale; bring it up to date: "
            "./pants materialize src/recipes/nano3:eval-results",
            pytrace=False,
        )
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def test_it_is_the_evaluation_of_the_last_model() -> None:
    manifest = read("manifest.json")
    assert manifest["name"] == "nano3-eval-results"
    assert any(used.startswith("nano3-rl-model:v") for used in manifest["used_artifacts"])


def test_every_stage_of_training_lowers_the_loss(scores: dict[str, dict[str, float]]) -> None:
    untrained, pretrained, sft = (scores[k]["loss"] for k in ("untrained", "pretrained", "sft"))
    assert pretrained < 0.5 * untrained
    assert sft < 0.8 * pretrained


def test_reinforcement_earns_more_and_keeps_the_language(
    scores: dict[str, dict[str, float]],
) -> None:
    assert scores["rl"]["reward"] > scores["sft"]["reward"]
    assert scores["rl"]["loss"] < 0.5 * scores["untrained"]["loss"]


def test_the_trained_model_makes_wishes_come_true(scores: dict[str, dict[str, float]]) -> None:
    assert scores["rl"]["success"] > scores["untrained"]["success"] + 0.15
