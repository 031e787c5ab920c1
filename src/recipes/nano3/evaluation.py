"""How good a model is, as a number and as text."""

from __future__ import annotations

import numpy as np

from recipes.nano3.batches import all_batches
from recipes.nano3.model import ModelSettings, Parameters, generate, loss
from recipes.nano3.shards import Tokens
from recipes.nano3.tokenizer import END_OF_DOCUMENT, Tokenizer


def mean_loss(
    parameters: Parameters, model: ModelSettings, tokens: Tokens, batch_size: int
) -> float:
    """Nats a token over all of ``tokens``, ``batch_size`` sequences at a time."""
    total, count = 0.0, 0
    for inputs, targets in all_batches(tokens, batch_size, model.context):
        total += loss(parameters, model, inputs, targets) * targets.size
        count += targets.size
    return total / count


def tell(
    parameters: Parameters,
    model: ModelSettings,
    tokenizer: Tokenizer,
    prompt: str,
    tokens: int,
    temperature: float,
    random: np.random.Generator,
) -> str:
    """A document that begins with ``prompt``, to its end or for ``tokens`` more tokens."""
    # In training a document always follows the end of another one.
    start = [END_OF_DOCUMENT, *tokenizer.encode(prompt)]
    added = generate(parameters, model, start, tokens, temperature, random)
    if END_OF_DOCUMENT in added:
        added = added[: added.index(END_OF_DOCUMENT)]
    return tokenizer.decode([*start, *added])
