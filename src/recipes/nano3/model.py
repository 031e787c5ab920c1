"""A decoder-only transformer: embeddings, blocks of attention and feed-forward, a linear head.

Parameters are a flat mapping from name to array, gradients a mapping with the same names: what
walks over parameters (the optimizer, a checkpoint) needs to know nothing about the model.
"""

from __future__ import annotations

import math
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
# Of each layer the keys and the values (B, heads, T, head) of the places so far.
Seen: TypeAlias = dict[int, tuple[Array, Array]]
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


def loss(
    parameters: Parameters,
    model: ModelSettings,
    inputs: Ids,
    targets: Ids,
    weights: Array | None = None,
) -> float:
    """Weighted nats of all tokens, as in :func:`loss_and_gradients`."""
    logits, _ = forward(parameters, model, inputs)
    return cross_entropy(logits, targets.ravel(), None if weights is None else weights.ravel())[0]


def loss_and_gradients(
    parameters: Parameters,
    model: ModelSettings,
    inputs: Ids,
    targets: Ids,
    weights: Array | None = None,
) -> tuple[float, Parameters]:
    """Weighted nats of all tokens and their gradient for every parameter.

    Args:
        inputs: (B, T), as ``targets``.
        weights: (B, T), see :func:`recipes.nano3.layers.cross_entropy`; None takes the mean.
    """
    logits, backward = forward(parameters, model, inputs)
    flat = None if weights is None else weights.ravel()
    value, loss_backward = cross_entropy(logits, targets.ravel(), flat)
    return value, backward(loss_backward())


def generate(
    parameters: Parameters,
    model: ModelSettings,
    prompts: Sequence[Sequence[int]],
    tokens: int,
    temperature: float,
    random: np.random.Generator,
    end: int,
) -> list[list[int]]:
    """Goes on from every prompt, one drawn token after another, all prompts side by side.

    Args:
        prompts: Token ids, 1 … ``model.context`` each.
        tokens: How many to add at most; none are added beyond ``model.context``.
        temperature: Below 1 prefers the likely ones; must be above 0.
        end: The token id after which nothing is added.

    Returns:
        The added token ids of each prompt; the last one is ``end`` if it was drawn.
    """
    given = np.array([len(prompt) for prompt in prompts])
    stops = np.minimum(given + tokens, model.context)
    ids = np.full((len(prompts), np.max(stops)), end)
    for row, prompt in zip(ids, prompts, strict=True):
        row[: len(prompt)] = prompt
    seen: Seen = {}
    place = 0
    while np.any(place + 1 < stops):
        logits = _next_logits(parameters, model, ids[:, place], place, seen)
        chances = np.cumsum(softmax(logits.astype(np.float64) / temperature), axis=-1)
        drawn = np.sum(chances <= random.random((len(ids), 1)) * chances[:, -1:], axis=-1)
        place += 1
        # Prompts differ in length: within one, and after the end, there is nothing to add.
        adds = (given <= place) & (place < stops)
        ids[adds, place] = drawn[adds]
        stops[adds & (drawn == end)] = place + 1
    parts = zip(ids, given, stops, strict=True)
    return [row[start:stop].tolist() for row, start, stop in parts]


def _next_logits(
    parameters: Parameters, model: ModelSettings, ids: Ids, place: int, seen: Seen
) -> Array:
    """What :func:`forward` gives for the tokens ``ids`` (B,) at ``place``, without their past anew.

    Args:
        seen: Keys and values of the places before; those of this one are added.

    Returns:
        Logits (B, V).
    """
    x = parameters["embedding"][ids] + parameters["position"][place]
    for layer in range(model.layers):
        name = f"{layer}.attention"
        normed, _ = rms_norm(x, parameters[f"{name}.norm"])
        qkv = (normed @ parameters[f"{name}.in"]).reshape(len(ids), 3, model.heads, 1, -1)
        query, keys, values = qkv.swapaxes(0, 1)  # (B, heads, 1, head) each
        if layer in seen:
            keys = np.concatenate((seen[layer][0], keys), axis=2)
            values = np.concatenate((seen[layer][1], values), axis=2)
        seen[layer] = keys, values
        scores = query @ keys.swapaxes(-1, -2) / math.sqrt(query.shape[-1])
        mixed = (softmax(scores) @ values).reshape(x.shape)
        x = x + mixed @ parameters[f"{name}.out"]
        x = x + _feedforward(parameters, f"{layer}.feedforward", x)[0]
    logits: Array = rms_norm(x, parameters["norm"])[0] @ parameters["head"]
    return logits


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
