"""The layers of a transformer, each with its gradient beside it.

A layer takes its inputs and returns its output and a function ``backward``, which takes the
gradient of the loss with respect to the output and returns those with respect to the inputs, in
their order. What backward needs from forward it remembers by being a closure.

Arithmetic stays in the type of the arrays: float32 to train, float64 to check gradients.
Shapes: N tokens (all sequences of a batch in a row), D features, B sequences, T tokens in each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]
Ids: TypeAlias = npt.NDArray[np.integer[Any]]

EPSILON = 1e-5


def embedding(table: Array, ids: Ids) -> tuple[Array, Callable[[Array], Array]]:
    """Looks up rows. table (V, D), ids (N,) -> (N, D)."""

    def backward(d_rows: Array) -> Array:
        d_table = np.zeros_like(table)
        np.add.at(d_table, ids, d_rows)  # a row that was used twice gets both gradients
        return d_table

    return table[ids], backward


def linear(x: Array, weight: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """x (N, D) @ weight (D, E) -> (N, E); without bias."""

    def backward(dy: Array) -> tuple[Array, Array]:
        return dy @ weight.T, x.T @ dy

    return x @ weight, backward


def rms_norm(x: Array, gain: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """Scales every token to unit mean square (Zhang and Sennrich 2019). x (N, D), gain (D,)."""
    scale = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + EPSILON)
    unit = x * scale

    def backward(dy: Array) -> tuple[Array, Array]:
        d_unit = dy * gain
        along = np.mean(d_unit * unit, axis=-1, keepdims=True)
        return scale * (d_unit - unit * along), np.sum(dy * unit, axis=0)

    return unit * gain, backward


def squared_relu(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """max(x, 0)² elementwise (So et al. 2021), the activation of the Nemotron models."""
    positive = np.maximum(x, 0)

    def backward(dy: Array) -> Array:
        return 2 * positive * dy

    return positive * positive, backward


def causal_attention(qkv: Array, batch: int, heads: int) -> tuple[Array, Callable[[Array], Array]]:
    """Every token looks at itself and those before it in its sequence.

    Args:
        qkv: (B*T, 3*D): queries, keys and values side by side, each of ``heads`` parts.

    Returns:
        (B*T, D), and its backward, which gives the gradient of ``qkv``.
    """
    rows, width = qkv.shape[0], qkv.shape[1] // 3
    length, head = rows // batch, width // heads
    # (B*T, 3*D) -> three of (B, heads, T, head)
    q, k, v = qkv.reshape(batch, length, 3, heads, head).transpose(2, 0, 3, 1, 4)
    scale = 1 / math.sqrt(head)
    future = np.triu(np.full((length, length), -np.inf, dtype=qkv.dtype), k=1)
    attention = softmax(q @ k.swapaxes(-1, -2) * scale + future)

    def backward(dy: Array) -> Array:
        d_mixed = dy.reshape(batch, length, heads, head).swapaxes(1, 2)
        d_attention = d_mixed @ v.swapaxes(-1, -2)
        inner = np.sum(d_attention * attention, axis=-1, keepdims=True)
        d_scores = attention * (d_attention - inner) * scale
        d_q = d_scores @ k
        d_k = d_scores.swapaxes(-1, -2) @ q
        d_v = attention.swapaxes(-1, -2) @ d_mixed
        d_qkv: Array = np.stack((d_q, d_k, d_v)).transpose(1, 3, 0, 2, 4)
        return d_qkv.reshape(rows, 3 * width)

    return (attention @ v).swapaxes(1, 2).reshape(rows, width), backward


def cross_entropy(
    logits: Array, targets: Ids, weights: Array | None = None
) -> tuple[float, Callable[[], Array]]:
    """Sum over tokens of negative log-likelihood times weight, in nats.

    Args:
        logits: (N, V).
        targets: (N,).
        weights: (N,); None weighs every token alike, which gives the mean. Zeros leave tokens
            out, and weights that are advantages make the gradient that of REINFORCE.
    """
    if weights is None:
        weights = np.full(len(targets), 1 / len(targets), logits.dtype)
    weights = weights.astype(logits.dtype)
    probabilities = softmax(logits)
    rows = np.arange(len(targets))
    tiny = np.finfo(logits.dtype).tiny  # the log of a probability that underflowed stays finite
    loss = -float(np.sum(weights * np.log(probabilities[rows, targets] + tiny)))

    def backward() -> Array:
        right = np.zeros_like(probabilities)
        right[rows, targets] = 1
        d_logits: Array = (probabilities - right) * weights[:, None]
        return d_logits

    return loss, backward


def softmax(scores: Array) -> Array:
    """Along the last axis; the largest score is subtracted first, so that nothing overflows."""
    exponentials = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    shares: Array = exponentials / np.sum(exponentials, axis=-1, keepdims=True)
    return shares
