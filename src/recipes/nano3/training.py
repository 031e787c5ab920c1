"""A training in an output folder: started, interrupted and gone on with, whatever it trains on.

The folder is a model: ``checkpoint.npz``, ``config.json`` and ``tokenizer.json``. With the files
that tell how it went, ``metrics.jsonl`` above all, it is the same to the last bit whenever it is
trained anew; how long that took is only printed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recipes.nano3.batches import Batch
from recipes.nano3.checkpoint import (
    CHECKPOINT,
    DESCRIPTION,
    TOKENIZER,
    load_checkpoint,
    save_checkpoint,
)
from recipes.nano3.errors import InputError
from recipes.nano3.files import read_json, write_json
from recipes.nano3.metrics import Metrics
from recipes.nano3.model import ModelSettings, Parameters, loss_and_gradients
from recipes.nano3.optimizer import (
    OptimizerSettings,
    TrainingState,
    adamw,
    clip,
    initial_state,
    learning_rate,
)
from recipes.nano3.settings import differences
from recipes.nano3.tokenizer import Tokenizer


@dataclass(frozen=True)
class TrainSettings:
    """``batch_size`` counts sequences; the rest count steps."""

    steps: int
    batch_size: int
    log_every: int
    checkpoint_every: int

    def __post_init__(self) -> None:
        for key in ("steps", "batch_size", "log_every", "checkpoint_every"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: {getattr(self, key)} is below 1")


@dataclass(frozen=True)
class Goal:
    """What a training is about.

    Attributes:
        batch: Gives that of a step, from the parameters before it and its number: 1, 2, …
        validate: How good the parameters are on what they are not trained on.
        score_name: What a batch's score is called in the metrics, ``validation_name`` likewise.
    """

    batch: Callable[[Parameters, int], Batch]
    validate: Callable[[Parameters], float]
    score_name: str = "loss"
    validation_name: str = "validation_loss"


def start(
    output: Path,
    description: Mapping[str, Any],
    tokenizer: Tokenizer,
    parameters: Parameters,
    *,
    fresh: bool = False,
) -> TrainingState:
    """The state to train on from: that of the folder's checkpoint, else ``parameters``.

    Args:
        description: All that decides the bits of the checkpoint, and nothing else; the shape of
            the model under ``model``.
        fresh: Start anew even so.

    Raises:
        InputError: The checkpoint comes from other settings or other data.
    """
    checkpoint = output / CHECKPOINT
    if checkpoint.exists() and not fresh:
        changed = differences(read_json(output / DESCRIPTION), description)
        if changed:
            raise InputError(
                f"{output}: holds a training with other settings ({'; '.join(changed)}); "
                "name another output_dir, or pass --fresh to start anew"
            )
        return load_checkpoint(checkpoint)
    checkpoint.unlink(missing_ok=True)
    write_json(output / DESCRIPTION, description)
    tokenizer.save(output / TOKENIZER)
    return initial_state(parameters)


def train(
    state: TrainingState,
    model: ModelSettings,
    settings: TrainSettings,
    optimizer: OptimizerSettings,
    goal: Goal,
    output: Path,
) -> TrainingState:
    """Takes the steps that are left; saves a checkpoint every so often and after the last one.

    Raises:
        InputError: The loss is no number any more.
    """
    steps = settings.steps
    if state.step == steps:
        return state
    names = (goal.score_name, goal.validation_name)
    metrics = Metrics(output / "metrics.jsonl", state.step, steps, names)
    for step in range(state.step + 1, steps + 1):
        rate = learning_rate(optimizer, step, steps)
        batch = goal.batch(state.parameters, step)
        state, loss = take_step(state, model, optimizer, batch, rate)
        if not math.isfinite(loss):
            raise InputError(f"the loss is {loss} at step {step}; lower optimizer.learning_rate")
        metrics.count(batch.inputs.size)
        save = step % settings.checkpoint_every == 0 or step == steps
        if save or step % settings.log_every == 0:
            score = loss if batch.score is None else batch.score
            metrics.log(step, score, goal.validate(state.parameters) if save else None, rate)
        if save:
            save_checkpoint(output / CHECKPOINT, state)
    return state


def take_step(
    state: TrainingState,
    model: ModelSettings,
    optimizer: OptimizerSettings,
    batch: Batch,
    rate: float,
) -> tuple[TrainingState, float]:
    """The state after one more batch, and the loss on it before."""
    # A training that runs away shows in its loss; NumPy need not warn of every overflow on the way.
    with np.errstate(over="ignore", invalid="ignore"):
        loss, gradients = loss_and_gradients(
            state.parameters, model, batch.inputs, batch.targets, batch.weights
        )
        gradients = clip(gradients, optimizer.max_gradient_norm)
        return adamw(state, gradients, optimizer, rate), loss
