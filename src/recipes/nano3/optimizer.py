"""AdamW with gradient clipping, and a learning rate that warms up and then decays as a cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from recipes.nano3.model import Parameters

EPSILON = 1e-8


@dataclass(frozen=True)
class OptimizerSettings:
    """How parameters follow their gradients.

    Attributes:
        learning_rate: The highest one, reached at the end of the warmup.
        warmup_steps: Steps from zero to it.
        final_fraction: Part of it that is left at the last step.
        beta1: Memory of the mean gradient, beta2 of the mean squared one (Kingma and Ba 2015).
        weight_decay: Shrinks weight matrices beside the gradient (Loshchilov and Hutter 2019).
        max_gradient_norm: Longer gradients are scaled down to this length.
    """

    learning_rate: float
    warmup_steps: int
    final_fraction: float
    beta1: float
    beta2: float
    weight_decay: float
    max_gradient_norm: float

    def __post_init__(self) -> None:
        for key in ("beta1", "beta2", "final_fraction"):
            if not 0 <= getattr(self, key) < 1:
                raise ValueError(f"{key}: {getattr(self, key)} is not within 0..1")
        for key in ("learning_rate", "max_gradient_norm"):
            if getattr(self, key) <= 0:
                raise ValueError(f"{key}: {getattr(self, key)} is not above 0")
        for key in ("warmup_steps", "weight_decay"):
            if getattr(self, key) < 0:
                raise ValueError(f"{key}: {getattr(self, key)} is below 0")


@dataclass(frozen=True)
class TrainingState:
    """All that training needs to go on after ``step`` steps."""

    step: int
    parameters: Parameters
    mean: Parameters
    square: Parameters


def initial_state(parameters: Parameters) -> TrainingState:
    zeros = {name: np.zeros_like(value) for name, value in parameters.items()}
    return TrainingState(step=0, parameters=parameters, mean=zeros, square=zeros)


def learning_rate(settings: OptimizerSettings, step: int, steps: int) -> float:
    """The rate for step 1 … ``steps``."""
    if step <= settings.warmup_steps:
        return settings.learning_rate * step / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, steps - settings.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return settings.learning_rate * (
        settings.final_fraction + (1 - settings.final_fraction) * cosine
    )


def clip(gradients: Parameters, max_norm: float) -> Parameters:
    """Scales all gradients together, so that their common norm is at most ``max_norm``."""
    norm = math.sqrt(sum(float(np.vdot(value, value)) for value in gradients.values()))
    scale = min(1.0, max_norm / norm) if norm else 1.0
    return {name: value * scale for name, value in gradients.items()}


def adamw(
    state: TrainingState, gradients: Parameters, settings: OptimizerSettings, rate: float
) -> TrainingState:
    """One step along ``gradients``."""
    step = state.step + 1
    beta1, beta2 = settings.beta1, settings.beta2
    mean = {
        name: beta1 * state.mean[name] + (1 - beta1) * gradient
        for name, gradient in gradients.items()
    }
    square = {
        name: beta2 * state.square[name] + (1 - beta2) * gradient * gradient
        for name, gradient in gradients.items()
    }
    # Both memories start at zero; this undoes their bias towards it.
    mean_scale, square_scale = 1 / (1 - beta1**step), 1 / (1 - beta2**step)
    parameters = {}
    for name, value in state.parameters.items():
        change = mean[name] * mean_scale / (np.sqrt(square[name] * square_scale) + EPSILON)
        # Gains are no matrices: shrinking them would only fight the norm that they belong to.
        decay = settings.weight_decay if value.ndim == 2 else 0.0
        parameters[name] = value - rate * (change + decay * value)
    return TrainingState(step, parameters, mean, square)
