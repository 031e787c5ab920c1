# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy>=1.26", "omegaconf>=2.3", "pydantic>=2", "pyyaml>=6", "s3fs"]
#
# [tool.runspec]
# schema = "1"
# name = "nano3/sft"
# docs = "Fine-tunes the small transformer to tell the story that somebody wishes for."
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
"""Teaches a pretrained model to tell the story that somebody wishes for.

Supervised fine-tuning: the model reads a wish and is taught the story, token by token; what the
wish says is no part of the loss. The output folder is a model, see ``recipes.nano3.training``,
with a ``summary.json`` of how good it is.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from nemo_runspec.artifacts import ModelArtifact
from recipes.nano3 import tracked
from recipes.nano3.answers import AnswerSettings, Encoded, answer, encode, mean_answer_loss, success
from recipes.nano3.batches import Batch
from recipes.nano3.checkpoint import CHECKPOINT, load_model
from recipes.nano3.errors import exit_code
from recipes.nano3.files import sha256, write_json
from recipes.nano3.optimizer import OptimizerSettings
from recipes.nano3.training import Goal, TrainSettings, start, train
from recipes.nano3.wishes import TRAIN, VALIDATION, read_examples


@dataclass(frozen=True)
class SFTSettings:
    """``model`` is the folder of the model to start from, ``data`` that of the examples."""

    seed: int
    model: str
    data: str
    output_dir: str
    train: TrainSettings
    optimizer: OptimizerSettings
    answer: AnswerSettings


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tune a language model on instructions.")
    parser.add_argument("--config", type=Path, required=True, help="a composed YAML file")
    parser.add_argument(
        "--fresh", action="store_true", help="start anew where the output folder holds a training"
    )
    options = parser.parse_args()
    config, tracking = tracked.load(options.config, SFTSettings)
    output, data = Path(config.output_dir), Path(config.data)
    base = load_model(Path(config.model))
    validation = read_examples(data / VALIDATION)
    taught, asked = encode(base, read_examples(data / TRAIN)), encode(base, validation)
    size = config.train.batch_size

    goal = Goal(
        batch=lambda _, step: random_examples(taught, size, config.seed, step),
        validate=lambda parameters: mean_answer_loss(parameters, base.shape, asked, size),
    )
    description = {
        "seed": config.seed,
        "start": sha256(Path(config.model) / CHECKPOINT),
        "data": sha256(data / TRAIN),
        "model": asdict(base.shape),
        "train": {"steps": config.train.steps, "batch_size": size},
        "optimizer": asdict(config.optimizer),
    }
    state = start(output, description, base.tokenizer, base.parameters, fresh=options.fresh)
    print(
        f"teaching {len(taught.prompts):,} examples, {config.train.steps:,} steps of {size}"
        f"{f', {state.step:,} of them done before' if state.step else ''}\n",
        flush=True,
    )
    state = train(state, base.shape, config.train, config.optimizer, goal, output)

    model = replace(base, parameters=state.parameters)
    wishes = [example.wish for example in validation]
    answers = answer(model, wishes, config.answer, np.random.default_rng(config.seed))
    summary = {
        "step": state.step,
        "start_loss": goal.validate(base.parameters),
        "final_loss": goal.validate(model.parameters),
        "success": success(answers),
        "learning_rate": config.optimizer.learning_rate,
    }
    write_json(output / "summary.json", summary)
    for told in answers[:3]:
        print(f"\n  {', '.join(told.wish)}: {told.story}")
    print(
        f"\nloss of answers {summary['start_loss']:.3f} before, {summary['final_loss']:.3f} after; "
        f"{summary['success']:.0%} of wishes come true\n"
        f"checkpoint and metrics are in {output.resolve()}",
        flush=True,
    )
    tracked.log(
        ModelArtifact(
            path=output,
            step=state.step,
            final_loss=summary["final_loss"],
            metadata={key: summary[key] for key in ("start_loss", "success", "learning_rate")},
        ),
        tracking,
    )


def random_examples(examples: Encoded, size: int, seed: int, step: int) -> Batch:
    """``size`` examples, decided by seed and step alone."""
    rows = np.random.default_rng((seed, step)).integers(len(examples.prompts), size=size)
    return examples.batch(rows.tolist())


if __name__ == "__main__":
    sys.exit(exit_code(main))
