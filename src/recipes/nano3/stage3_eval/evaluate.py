# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "numpy>=1.26",
#   "omegaconf>=2.3",
#   "pydantic>=2",
#   "pyyaml>=6",
#   "s3fs",
#   "tabulate>=0.9",
# ]
#
# [tool.runspec]
# schema = "1"
# name = "nano3/eval"
# docs = "Compares the trained models with an untrained one."
#
# [tool.runspec.run]
# launch = "direct"
#
# [tool.runspec.config]
# dir = "./config"
# default = "default"
#
# [tool.runspec.resources]
# nodes = 1
# gpus_per_node = 0
#
# [tool.runspec.env]
# OMP_NUM_THREADS = "1"
# ///
"""Compares the trained models with an untrained one, on what none of them was trained on.

It leaves in its output folder

- ``eval.json``: for each model the loss of answers it should give (nats a token), and what part
  of the wishes its own answers make come true.
- ``report.md``: the same for people, with the stories that the last model told first.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from tabulate import tabulate

from nemo_runspec.artifacts import Artifact
from recipes.nano3 import tracked
from recipes.nano3.answers import Answer, AnswerSettings, answer, encode, mean_answer_loss, success
from recipes.nano3.checkpoint import Model, load_model
from recipes.nano3.errors import exit_code
from recipes.nano3.files import write_json, write_text
from recipes.nano3.model import initial_parameters
from recipes.nano3.wishes import VALIDATION, Example, Wish, read_examples, read_wishes


@dataclass(frozen=True)
class EvalSettings:
    """What is compared by what.

    Attributes:
        pretrained: The folder of a model, ``sft`` and ``model`` likewise; the last is the result.
        data: The folder of the examples.
        wishes: The folder of the wishes.
        repeats: Stories told for each wish.
    """

    seed: int
    pretrained: str
    sft: str
    model: str
    data: str
    wishes: str
    output_dir: str
    repeats: int
    batch_size: int
    answer: AnswerSettings

    def __post_init__(self) -> None:
        for key in ("repeats", "batch_size"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: {getattr(self, key)} is below 1")


@dataclass(frozen=True)
class Score:
    """How good a model is.

    Attributes:
        loss: Nats a token of the answers that it should give.
        success: Part of the wishes that its own answers make come true.
        reward: The mean part of a wish that they do.
    """

    loss: float
    success: float
    reward: float


class EvalArtifact(Artifact):
    """The scores that a gate looks at: those of the last model and of an untrained one."""

    loss: float
    success: float
    untrained_loss: float
    untrained_success: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare trained models with an untrained one.")
    parser.add_argument("--config", type=Path, required=True, help="a composed YAML file")
    config, tracking = tracked.load(parser.parse_args().config, EvalSettings)
    output = Path(config.output_dir)
    examples = read_examples(Path(config.data) / VALIDATION)
    wishes = read_wishes(Path(config.wishes) / VALIDATION) * config.repeats
    model = load_model(Path(config.model))
    models = {
        "untrained": untrained(model, config.seed),
        "pretrained": load_model(Path(config.pretrained)),
        "sft": load_model(Path(config.sft)),
        "rl": model,
    }
    told = {name: tell(config, each, wishes) for name, each in models.items()}
    scores = {name: score(config, each, examples, told[name]) for name, each in models.items()}
    write_json(output / "eval.json", {name: asdict(each) for name, each in scores.items()})
    report = table(scores)
    stories = "".join(f"\n- {', '.join(one.wish)}: {one.story}" for one in told["rl"][:5])
    write_text(output / "report.md", f"{report}\n{stories}\n")
    print(f"{report}\n{stories}\n\neval.json and report.md are in {output.resolve()}", flush=True)
    tracked.log(
        EvalArtifact(
            path=output,
            loss=scores["rl"].loss,
            success=scores["rl"].success,
            untrained_loss=scores["untrained"].loss,
            untrained_success=scores["untrained"].success,
            metadata={"scores": {name: asdict(each) for name, each in scores.items()}},
        ),
        tracking,
    )


def untrained(model: Model, seed: int) -> Model:
    """A model of the same shape that has learnt nothing."""
    return replace(
        model, parameters=initial_parameters(model.shape, model.tokenizer.vocab_size, seed)
    )


def tell(config: EvalSettings, model: Model, wishes: Sequence[Wish]) -> list[Answer]:
    """A story for each wish; every model is asked with the same draws."""
    return answer(model, wishes, config.answer, np.random.default_rng(config.seed))


def score(
    config: EvalSettings, model: Model, examples: Sequence[Example], told: Sequence[Answer]
) -> Score:
    encoded = encode(model, examples)
    return Score(
        loss=mean_answer_loss(model.parameters, model.shape, encoded, config.batch_size),
        success=success(told),
        reward=float(np.mean([each.reward for each in told])),
    )


def table(scores: Mapping[str, Score]) -> str:
    rows = [(name, each.loss, each.success, each.reward) for name, each in scores.items()]
    headers = ("model", "loss", "success", "reward")
    return tabulate(rows, headers, tablefmt="github", floatfmt=".3f")


if __name__ == "__main__":
    sys.exit(exit_code(main))
