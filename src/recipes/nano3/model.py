"""A decoder-only transformer: embeddings, blocks of attention and feed-forward, a linear head.

Parameters are a flat mapping from name to array, gradients a mapping with the same names: what
walks over parameters (the optimizer, a checkpoint) needs to know nothing about the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from recipes.nano3.layers import (
    Array,
    Ids,
    causal_attention,
    cross_entropy,
    embedding,
    linear,
    rms_norm,
    softmax,
    squared_relu,
)

Parameters: TypeAlias = Mapping[str, Array]
Block: TypeAlias = tuple[Array, Callable[[Array], tuple[Array, Parameters]]]


@dataclass(frozen=True)
class ModelSettings:
    """The shape of the model.

    Attributes:
        context: Tokens that it sees at once.
        width: Features of a token.
        layers: Blocks on top of each other.
        heads: Parts into which attention divides the features.
    """

    context: int
    width: int
    layers: int
    heads: int

    def __post_init__(self) -> None:
        for key in ("context", "width", "layers", "heads"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: {getattr(self, key)} is below 1")
        if self.width % self.heads:
            raise ValueError(f"width: {self.width} cannot be divided by heads: {self.heads}")


def initial_parameters(
    model: ModelSettings, vocab_size: int, seed: int, dtype: npt.DTypeLike = np.float32
) -> Parameters:
    """Random weights; the head starts at zero, so that at first every token is equally likely."""
    random = np.random.default_rng(seed)
    width = model.width

    def normal(*shape: int, scale: float) -> Array:
        return (random.standard_normal(shape) * scale).astype(dtype)

    # What a block adds shrinks with depth, so that deep models start as calm as shallow ones.
    deep = (2 * model.layers) ** -0.5
    parameters = {
        "embedding": normal(vocab_size, width, scale=0.5),
        "position": normal(model.context, width, scale=0.1),
    }
    for layer in range(model.layers):
        parameters |= {
            f"{layer}.attention.norm": np.ones(width, dtype),
            f"{layer}.attention.in": normal(width, 3 * width, scale=width**-0.5),
            f"{layer}.attention.out": normal(width, width, scale=deep * width**-0.5),
            f"{layer}.feedforward.norm": np.ones(width, dtype),
            f"{layer}.feedforward.in": normal(width, 4 * width, scale=width**-0.5),
            f"{layer}.feedforward.out": normal(4 * width, width, scale=deep * width**-0.5),
        }
    return parameters | {
        "norm": np.ones(width, dtype),
        "head": np.zeros((width, vocab_size), dtype),
    }


def forward(
    parameters: Parameters, model: ModelSettings, ids: Ids
) -> tuple[Array, Callable[[Array], Parameters]]:
    """Scores for the token after each one.

    Args:
        ids: (B, T), with T at most ``model.context``.

    Returns:
        Logits (B*T, V), and a function from their gradient to that of every parameter.
    """
    batch, length = ids.shape
    places = np.tile(np.arange(length), batch)
    rows, embedding_backward = embedding(parameters["embedding"], ids.ravel())
    positions, position_backward = embedding(parameters["position"], places)
    x = rows + positions
    block_backwards = []
    for layer in range(model.layers):
        change, backward_through = _attention(parameters, f"{layer}.attention", x, batch, model)
        x = x + change
        block_backwards.append(backward_through)
        change, backward_through = _feedforward(parameters, f"{layer}.feedforward", x)
        x = x + change
        block_backwards.append(backward_through)
    hidden, norm_backward = rms_norm(x, parameters["norm"])
    logits, head_backward = linear(hidden, parameters["head"])

    def backward(d_logits: Array) -> Parameters:
        d_hidden, d_head = head_backward(d_logits)
        dx, d_norm = norm_backward(d_hidden)
        gradients: dict[str, Array] = {"norm": d_norm, "head": d_head}
        for block_backward in reversed(block_backwards):
            d_inside, block_gradients = block_backward(dx)
            dx = dx + d_inside  # x reaches the next block both past this one and through it
            gradients.update(block_gradients)
        gradients["embedding"] = embedding_backward(dx)
        gradients["position"] = position_backward(dx)
        return gradients

    return logits, backward


def loss(parameters: Parameters, model: ModelSettings, inputs: Ids, targets: Ids) -> float:
    """Mean nats a token; inputs and targets (B, T)."""
    logits, _ = forward(parameters, model, inputs)
    return cross_entropy(logits, targets.ravel())[0]


def loss_and_gradients(
    parameters: Parameters, model: ModelSettings, inputs: Ids, targets: Ids
) -> tuple[float, Parameters]:
    """Mean nats a token and its gradient for every parameter; inputs and targets (B, T)."""
    logits, backward = forward(parameters, model, inputs)
    value, loss_backward = cross_entropy(logits, targets.ravel())
    return value, backward(loss_backward())


def generate(
    parameters: Parameters,
    model: ModelSettings,
    prompt: Sequence[int],
    tokens: int,
    temperature: float,
    random: np.random.Generator,
) -> list[int]:
    """Goes on from ``prompt``, one drawn token after another.

    Args:
        prompt: At least one token id.
        tokens: How many to add.
        temperature: Below 1 prefers the likely ones; must be above 0.

    Returns:
        The added token ids.
    """
    ids = list(prompt)
    for _ in range(tokens):
        window = np.array([ids[-model.context :]])
        logits, _ = forward(parameters, model, window)
        chances = softmax(logits[-1].astype(np.float64) / temperature)
        ids.append(int(random.choice(len(chances), p=chances)))
    return ids[len(prompt) :]


def _attention(
    parameters: Parameters, name: str, x: Array, batch: int, model: ModelSettings
) -> Block:
    normed, norm_backward = rms_norm(x, parameters[f"{name}.norm"])
    qkv, in_backward = linear(normed, parameters[f"{name}.in"])
    mixed, attention_backward = causal_attention(qkv, batch, model.heads)
    change, out_backward = linear(mixed, parameters[f"{name}.out"])

    def backward(d_change: Array) -> tuple[Array, Parameters]:
        d_mixed, d_out = out_backward(d_change)
        d_normed, d_in = in_backward(attention_backward(d_mixed))
        dx, d_norm = norm_backward(d_normed)
        return dx, {f"{name}.norm": d_norm, f"{name}.in": d_in, f"{name}.out": d_out}

    return change, backward


def _feedforward(parameters: Parameters, name: str, x: Array) -> Block:
    normed, norm_backward = rms_norm(x, parameters[f"{name}.norm"])
    wide, in_backward = linear(normed, parameters[f"{name}.in"])
    active, relu_backward = squared_relu(wide)
    change, out_backward = linear(active, parameters[f"{name}.out"])

    def backward(d_change: Array) -> tuple[Array, Parameters]:
        d_active, d_out = out_backward(d_change)
        d_normed, d_in = in_backward(relu_backward(d_active))
        dx, d_norm = norm_backward(d_normed)
        return dx, {f"{name}.norm": d_norm, f"{name}.in": d_in, f"{name}.out": d_out}

    return change, backward
