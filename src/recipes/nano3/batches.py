"""Sequences cut from a long row of tokens, and for each token the one that follows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from recipes.nano3.layers import Ids
from recipes.nano3.shards import Tokens

Batch: TypeAlias = tuple[Ids, Ids]


def random_batch(tokens: Tokens, size: int, context: int, seed: int, step: int) -> Batch:
    """``size`` sequences from anywhere, inputs and targets (size, context).

    Depends on seed and step alone, so that a training that goes on after an interruption sees
    what it would have seen without.
    """
    starts = np.random.default_rng((seed, step)).integers(len(tokens) - context, size=(size, 1))
    windows = tokens[starts + np.arange(context + 1)]
    return windows[:, :-1], windows[:, 1:]


def all_batches(tokens: Tokens, size: int, context: int) -> Iterator[Batch]:
    """All tokens once and in order, at most ``size`` sequences at a time; a short rest is left."""
    count = (len(tokens) - 1) // context
    inputs = tokens[: count * context].reshape(count, context)
    targets = tokens[1 : count * context + 1].reshape(count, context)
    for start in range(0, count, size):
        yield inputs[start : start + size], targets[start : start + size]
