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
- ``data/``: the shards, if it had to prepare them itself.
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
from recipes.nano3.checkpoint import load_checkpoint, save_checkpoint
from recipes.nano3.errors import InputError, exit_code
from recipes.nano3.evaluation import mean_loss, tell
from recipes.nano3.files import read_json, write_json, write_text
from recipes.nano3.metrics import Metrics, duration
from recipes.nano3.model import ModelSettings, Parameters, initial_parameters, loss_and_gradients
from recipes.nano3.optimizer import (
    OptimizerSettings,
    TrainingState,
    adamw,
    clip,
    initial_state,
    learning_rate,
)
from recipes.nano3.prepare import PrepareSettings, prepare
from recipes.nano3.shards import Dataset, Tokens, read_dataset


@dataclass(frozen=True)
class TrainSettings:
    """``batch_size`` counts sequences of ``model.context`` tokens; the rest count steps."""

    steps: int
    batch_size: int
    log_every: int
    checkpoint_every: int

    def __post_init__(self) -> None:
        for key in ("steps", "batch_size", "log_every", "checkpoint_every"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: {getattr(self, key)} is below 1")


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
    """``data``: a folder of shards; None has ``prepare`` make them in ``output_dir``."""

    seed: int
    data: str | None
    prepare: PrepareSettings
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

    if config.data is None:
        dataset = prepare(config.prepare, output / "data")
    else:
        dataset = read_dataset(Path(config.data))
    state = start(config, dataset, output, fresh=options.fresh)
    describe(config, dataset, state)
    began = time.monotonic()
    state = train(config, dataset, state, output)
    finish(config, dataset, state, output, seconds=time.monotonic() - began)


def start(
    config: PretrainSettings, dataset: Dataset, output: Path, *, fresh: bool
) -> TrainingState:
    """The state to train on from: that of the folder's checkpoint, else an untrained model.

    Raises:
        InputError: The checkpoint comes from other settings or other data.
    """
    checkpoint = output / "checkpoint.npz"
    description = describe_training(config, dataset)
    if checkpoint.exists() and not fresh:
        changed = settings.differences(read_json(output / "config.json"), description)
        if changed:
            raise InputError(
                f"{output}: holds a training with other settings ({'; '.join(changed)}); "
                "name another output_dir, or pass --fresh to start anew"
            )
        return load_checkpoint(checkpoint)
    checkpoint.unlink(missing_ok=True)
    write_json(output / "config.json", description)
    dataset.tokenizer.save(output / "tokenizer.json")
    return initial_state(untrained(config, dataset))


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


def train(
    config: PretrainSettings, dataset: Dataset, state: TrainingState, output: Path
) -> TrainingState:
    """Takes the steps that are left; saves a checkpoint every so often and after the last one."""
    model, batch_size, steps = config.model, config.train.batch_size, config.train.steps
    if state.step == steps:
        return state
    tokens = split_tokens(dataset, "train", model.context)
    validation_tokens = split_tokens(dataset, "validation", model.context)
    metrics = Metrics(output / "metrics.jsonl", state.step, steps, batch_size * model.context)
    for step in range(state.step + 1, steps + 1):
        rate = learning_rate(config.optimizer, step, steps)
        state, loss = take_step(config, tokens, state, rate)
        if not math.isfinite(loss):
            raise InputError(f"the loss is {loss} at step {step}; lower optimizer.learning_rate")

        save = step % config.train.checkpoint_every == 0 or step == steps
        if save or step % config.train.log_every == 0:
            validation = (
                mean_loss(state.parameters, model, validation_tokens, batch_size) if save else None
            )
            metrics.log(step, loss, validation, rate)
        if save:
            save_checkpoint(output / "checkpoint.npz", state)
    return state


def take_step(
    config: PretrainSettings, tokens: Tokens, state: TrainingState, rate: float
) -> tuple[TrainingState, float]:
    """The state after one more batch, and the loss on it before."""
    model, size = config.model, config.train.batch_size
    inputs, targets = random_batch(tokens, size, model.context, config.seed, state.step + 1)
    # A training that runs away shows in its loss; NumPy need not warn of every overflow on the way.
    with np.errstate(over="ignore", invalid="ignore"):
        loss, gradients = loss_and_gradients(state.parameters, model, inputs, targets)
        gradients = clip(gradients, config.optimizer.max_gradient_norm)
        return adamw(state, gradients, config.optimizer, rate), loss


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
    texts = [
        tell(
            state.parameters,
            model,
            dataset.tokenizer,
            sample.prompt,
            sample.tokens,
            sample.temperature,
            np.random.default_rng((config.seed, number)),
        )
        for number in range(sample.count)
    ]
    write_text(output / "samples.txt", "".join(f"{text}\n\n" for text in texts))
    summary = {
        "step": state.step,
        "untrained_loss": before,
        "final_loss": after,
        "bits_per_byte": bits_per_byte,
        "parameters": sum(value.size for value in state.parameters.values()),
        "seconds": round(seconds, 1),
        "data": dataset.identity,
    }
    write_json(output / "summary.json", summary)
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
