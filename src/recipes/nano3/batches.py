"""Sequences of tokens side by side, and for each token the one that follows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recipes.nano3.layers import Array, Ids
from recipes.nano3.shards import Tokens
from recipes.nano3.tokenizer import END_OF_DOCUMENT


@dataclass(frozen=True)
class Batch:
    """B sequences of T tokens.

    Attributes:
        inputs: (B, T).
        targets: (B, T), what follows each of them.
        weights: (B, T), how much each target counts in the loss; None is all alike.
        score: What to report of it; None is its loss.
    """

    inputs: Ids
    targets: Ids
    weights: Array | None = None
    score: float | None = None


def random_batch(tokens: Tokens, size: int, context: int, seed: int, step: int) -> Batch:
    """``size`` sequences of ``context`` tokens from anywhere in a long row of them.

    Depends on seed and step alone, so that a training that goes on after an interruption sees
    what it would have seen without.
    """
    starts = np.random.default_rng((seed, step)).integers(len(tokens) - context, size=(size, 1))
    windows = tokens[starts + np.arange(context + 1)]
    return Batch(windows[:, :-1], windows[:, 1:])


def all_batches(tokens: Tokens, size: int, context: int) -> Iterator[Batch]:
    """All tokens once and in order, at most ``size`` sequences at a time; a short rest is left."""
    count = (len(tokens) - 1) // context
    inputs = tokens[: count * context].reshape(count, context)
    targets = tokens[1 : count * context + 1].reshape(count, context)
    for start in range(0, count, size):
        yield Batch(inputs[start : start + size], targets[start : start + size])


def answer_batch(
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    worth: Sequence[float] | None = None,
    score: float | None = None,
) -> Batch:
    """Prompts with their answers, of which the answers alone count.

    Args:
        prompts: Token ids, at least one each.
        answers: Token ids, at least one in all.
        worth: What each answer's tokens count; None is 1. All weights are divided by the number of
            answer tokens, so that without ``worth`` the loss is the mean over them.
        score: See :class:`Batch`.
    """
    rows = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    ids = np.full((len(rows), max(len(row) for row in rows)), END_OF_DOCUMENT)
    weights = np.zeros(ids.shape)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        weights[number, len(prompts[number]) : len(row)] = 1 if worth is None else worth[number]
    weights /= sum(len(answer) for answer in answers)
    return Batch(ids[:, :-1], ids[:, 1:], weights[:, 1:], score)
