# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy>=1.26", "omegaconf>=2.3", "pyyaml>=6"]
#
# [tool.runspec]
# schema = "1"
# name = "nano3/pretrain"
# docs = "Trains a small transformer, in NumPy alone, to tell the stories of a harbour town."
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
# # Matrices this small lose by more threads, and the bits must not depend on the machine's cores.
# OMP_NUM_THREADS = "1"
# # glibc keeps the memory of one step for the next; through the kernel it costs 3 s of CPU in 10.
# MALLOC_MMAP_THRESHOLD_ = "33554432"
# MALLOC_TRIM_THRESHOLD_ = "268435456"
# ///
"""Trains a small language model and shows what it has learnt.

In its output folder it leaves

- ``checkpoint.npz``, ``config.json`` and ``tokenizer.json``: the model, and all that is needed to
  train it further. Started again in the same folder it goes on from there, to the same bits.
- ``metrics.jsonl``: one JSON object for each logged step.
- ``samples.txt`` and ``summary.json``: what it says and how good it is, written at the end.
- ``metadata.json``: the summary, for who asks a version of the model.
"""

from __future__ import annotations

import argparse
import math
import sys
import textwrap
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recipes.nano3 import settings
from recipes.nano3.batches import random_batch
from recipes.nano3.checkpoint import Model
from recipes.nano3.errors import InputError, exit_code
from recipes.nano3.evaluation import continue_texts, mean_loss
from recipes.nano3.files import METADATA, write_json, write_text
from recipes.nano3.metrics import duration
from recipes.nano3.model import ModelSettings, Parameters, initial_parameters
from recipes.nano3.optimizer import OptimizerSettings, TrainingState
from recipes.nano3.shards import Dataset, Tokens, read_dataset
from recipes.nano3.training import Goal, TrainSettings, start, train


@dataclass(frozen=True)
class SampleSettings:
    """What the trained model is asked to continue, how often, by how many tokens and how boldly."""

    prompt: str
    count: int
    tokens: int
    temperature: float

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature: {self.temperature} is not above 0")


@dataclass(frozen=True)
class PretrainSettings:
    """``data``: a folder of shards."""

    seed: int
    data: str
    output_dir: str
    model: ModelSettings
    train: TrainSettings
    optimizer: OptimizerSettings
    sample: SampleSettings


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small language model.")
    parser.add_argument("--config", type=Path, required=True, help="a composed YAML file")
    parser.add_argument(
        "--fresh", action="store_true", help="start anew where the output folder holds a training"
    )
    options = parser.parse_args()
    config = settings.load(options.config, PretrainSettings)
    output = Path(config.output_dir)

    dataset = read_dataset(Path(config.data))
    goal = make_goal(config, dataset)
    state = start(
        output,
        describe_training(config, dataset),
        dataset.tokenizer,
        untrained(config, dataset),
        fresh=options.fresh,
    )
    describe(config, dataset, state)
    began = time.monotonic()
    state = train(state, config.model, config.train, config.optimizer, goal, output)
    finish(config, dataset, state, output, seconds=time.monotonic() - began)


def make_goal(config: PretrainSettings, dataset: Dataset) -> Goal:
    """To tell, anywhere in the stories, what comes next."""
    model, size = config.model, config.train.batch_size
    tokens = split_tokens(dataset, "train", model.context)
    validation = split_tokens(dataset, "validation", model.context)
    return Goal(
        batch=lambda _, step: random_batch(tokens, size, model.context, config.seed, step),
        validate=lambda parameters: mean_loss(parameters, model, validation, size),
    )


def describe_training(config: PretrainSettings, dataset: Dataset) -> dict[str, Any]:
    """All that decides the bits of the checkpoint, and nothing else."""
    return {
        "seed": config.seed,
        "data": dataset.identity,
        "vocab_size": dataset.tokenizer.vocab_size,
        "model": asdict(config.model),
        "train": {"steps": config.train.steps, "batch_size": config.train.batch_size},
        "optimizer": asdict(config.optimizer),
    }


def untrained(config: PretrainSettings, dataset: Dataset) -> Parameters:
    return initial_parameters(config.model, dataset.tokenizer.vocab_size, config.seed)


def describe(config: PretrainSettings, dataset: Dataset, state: TrainingState) -> None:
    train_split, validation = dataset.splits["train"], dataset.splits["validation"]
    model = config.model
    size = sum(value.size for value in state.parameters.values())
    print(
        f"data      {train_split.tokens:,} tokens in {train_split.documents:,} documents, "
        f"{validation.tokens:,} more to validate; {dataset.tokenizer.vocab_size:,} different\n"
        f"model     {size:,} parameters: {model.layers} layers, width {model.width}, "
        f"{model.heads} heads, context {model.context}\n"
        f"training  {config.train.steps:,} steps of "
        f"{config.train.batch_size * model.context:,} tokens, "
        + (f"{state.step:,} of them done before" if state.step else f"seed {config.seed}")
        + "\n",
        flush=True,
    )


def split_tokens(dataset: Dataset, split: str, context: int) -> Tokens:
    """The tokens of a split, which must make at least one sequence and its targets."""
    tokens = dataset.tokens(split)
    if len(tokens) <= context:
        raise InputError(
            f"{dataset.folder}: {split} has {len(tokens)} tokens, too few for "
            f"model.context: {context}; prepare more text or lower it"
        )
    return tokens


def finish(
    config: PretrainSettings,
    dataset: Dataset,
    state: TrainingState,
    output: Path,
    seconds: float,
) -> None:
    """Writes samples and summary, and prints what was made and where."""
    model, sample, validation = config.model, config.sample, dataset.splits["validation"]
    tokens = split_tokens(dataset, "validation", model.context)
    before = mean_loss(untrained(config, dataset), model, tokens, config.train.batch_size)
    after = mean_loss(state.parameters, model, tokens, config.train.batch_size)
    bits_per_byte = after / math.log(2) * validation.tokens / validation.bytes
    told = continue_texts(
        Model(model, dataset.tokenizer, state.parameters),
        [sample.prompt] * sample.count,
        sample.tokens,
        sample.temperature,
        np.random.default_rng(config.seed),
    )
    texts = [sample.prompt + dataset.tokenizer.decode(ids) for ids in told]
    write_text(output / "samples.txt", "".join(f"{text}\n\n" for text in texts))
    summary = {
        "step": state.step,
        "untrained_loss": before,
        "final_loss": after,
        "bits_per_byte": bits_per_byte,
        "parameters": sum(value.size for value in state.parameters.values()),
        "data": dataset.identity,
    }
    write_json(output / "summary.json", summary)
    write_json(output / METADATA, summary)
    for text in texts:
        print(f"\n{textwrap.fill(text, 88, initial_indent='  ', subsequent_indent='  ')}")
    print(
        f"\nvalidation loss {before:.3f} before training, {after:.3f} after {state.step:,} steps "
        f"({bits_per_byte:.2f} bits a byte) in {duration(seconds)}\n"
        f"checkpoint, metrics and samples are in {output.resolve()}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(exit_code(main))
