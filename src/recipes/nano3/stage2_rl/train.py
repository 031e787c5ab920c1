# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy>=1.26", "omegaconf>=2.3", "pydantic>=2", "pyyaml>=6", "s3fs"]
#
# [tool.runspec]
# schema = "1"
# name = "nano3/rl"
# docs = "Improves the fine-tuned transformer by rewarding the wishes that it makes come true."
#
# [tool.runspec.run]
# launch = "direct"
#
# [tool.runspec.config]
# dir = "./config/train"
# default = "default"
#
# [tool.runspec.resources]
# nodes = 1
# gpus_per_node = 0
#
# [tool.runspec.env]
# # As in pre-training: threads and the kernel's memory cost more than they bring.
# OMP_NUM_THREADS = "1"
# MALLOC_MMAP_THRESHOLD_ = "33554432"
# MALLOC_TRIM_THRESHOLD_ = "268435456"
# ///
"""Rewards a model for the wishes that it makes come true.

Group-relative policy gradient (GRPO, Shao et al. 2024), always on policy and so without clipping:
for each wish the model tells several stories, and those that fulfil more of it than their group
become more likely, the others less. The output folder is a model, see ``recipes.nano3.training``,
with a ``summary.json`` of how good it is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from nemo_runspec.artifacts import ModelArtifact
from recipes.nano3 import tracked
from recipes.nano3.answers import AnswerSettings, answer, success
from recipes.nano3.batches import Batch, answer_batch
from recipes.nano3.checkpoint import CHECKPOINT, Model, load_model
from recipes.nano3.errors import exit_code
from recipes.nano3.files import sha256, write_json
from recipes.nano3.layers import Array
from recipes.nano3.optimizer import OptimizerSettings
from recipes.nano3.training import Goal, TrainSettings, start, train
from recipes.nano3.wishes import TRAIN, VALIDATION, Wish, read_wishes


@dataclass(frozen=True)
class RLSettings:
    """How a model is rewarded.

    Attributes:
        model: The folder of the model to start from.
        data: The folder of the wishes.
        group_size: Stories told for each wish; ``train.batch_size`` counts all stories of a step.
        answer: How they are told. A temperature other than 1 would make them those of another
            policy than the one that is improved.
    """

    seed: int
    model: str
    data: str
    output_dir: str
    group_size: int
    train: TrainSettings
    optimizer: OptimizerSettings
    answer: AnswerSettings

    def __post_init__(self) -> None:
        if self.group_size < 2:
            raise ValueError(f"group_size: {self.group_size} is below 2, so nothing to compare")
        if self.train.batch_size % self.group_size:
            raise ValueError(
                f"train.batch_size: {self.train.batch_size} cannot be divided by group_size: "
                f"{self.group_size}"
            )
        if self.answer.temperature != 1:
            raise ValueError(f"answer.temperature: {self.answer.temperature} is not 1")


def main() -> None:
    parser = argparse.ArgumentParser(description="Improve a language model by rewards.")
    parser.add_argument("--config", type=Path, required=True, help="a composed YAML file")
    parser.add_argument(
        "--fresh", action="store_true", help="start anew where the output folder holds a training"
    )
    options = parser.parse_args()
    config, tracking = tracked.load(options.config, RLSettings)
    output, data = Path(config.output_dir), Path(config.data)
    base = load_model(Path(config.model))
    practice, test = read_wishes(data / TRAIN), read_wishes(data / VALIDATION)

    goal = Goal(
        batch=lambda parameters, step: practise(
            config, replace(base, parameters=parameters), practice, step
        ),
        validate=lambda parameters: success_rate(
            config, replace(base, parameters=parameters), test
        ),
        score_name="reward",
        validation_name="success",
    )
    description = {
        "seed": config.seed,
        "start": sha256(Path(config.model) / CHECKPOINT),
        "data": sha256(data / TRAIN),
        "model": asdict(base.shape),
        "train": {"steps": config.train.steps, "batch_size": config.train.batch_size},
        "group_size": config.group_size,
        "optimizer": asdict(config.optimizer),
        "answer": asdict(config.answer),
    }
    state = start(output, description, base.tokenizer, base.parameters, fresh=options.fresh)
    print(
        f"practising {len(practice):,} wishes, {config.train.steps:,} steps of "
        f"{config.train.batch_size} stories"
        f"{f', {state.step:,} of them done before' if state.step else ''}\n",
        flush=True,
    )
    state = train(state, base.shape, config.train, config.optimizer, goal, output)

    summary = {
        "step": state.step,
        "start_success": goal.validate(base.parameters),
        "success": goal.validate(state.parameters),
    }
    write_json(output / "summary.json", summary)
    print(
        f"\n{summary['start_success']:.0%} of wishes came true before, "
        f"{summary['success']:.0%} do after\n"
        f"checkpoint and metrics are in {output.resolve()}",
        flush=True,
    )
    tracked.log(ModelArtifact(path=output, step=state.step, metadata=summary), tracking)


def practise(config: RLSettings, model: Model, wishes: Sequence[Wish], step: int) -> Batch:
    """Stories for a few wishes, each weighed by its advantage; decided by seed and step alone."""
    random = np.random.default_rng((config.seed, step))
    groups = config.train.batch_size // config.group_size
    chosen = [wishes[number] for number in random.integers(len(wishes), size=groups)]
    asked = [wish for wish in chosen for _ in range(config.group_size)]
    told = answer(model, asked, config.answer, random)
    rewards = np.array([each.reward for each in told]).reshape(groups, config.group_size)
    worth = advantages(rewards).ravel().tolist()
    prompts, answers = [each.prompt for each in told], [each.ids for each in told]
    return answer_batch(prompts, answers, worth, score=float(np.mean(rewards)))


def advantages(rewards: Array) -> Array:
    """How much better than its group each story is, in its standard deviations.

    Args:
        rewards: (wishes, stories of each).

    Returns:
        The same shape; zeros for a group whose stories are all equally good.
    """
    deviations = np.std(rewards, axis=1, keepdims=True)
    better: Array = rewards - np.mean(rewards, axis=1, keepdims=True)
    return better / np.where(deviations == 0, 1, deviations)


def success_rate(config: RLSettings, model: Model, wishes: Sequence[Wish]) -> float:
    """Of one story for each wish; always the same draws, so that only the model makes it differ."""
    return success(answer(model, wishes, config.answer, np.random.default_rng(config.seed)))


if __name__ == "__main__":
    sys.exit(exit_code(main))
