"""How good a model is, as a number and as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recipes.nano3.batches import all_batches
from recipes.nano3.checkpoint import Model
from recipes.nano3.errors import InputError
from recipes.nano3.model import ModelSettings, Parameters, generate, loss
from recipes.nano3.shards import Tokens
from recipes.nano3.tokenizer import END_OF_DOCUMENT


def mean_loss(
    parameters: Parameters, model: ModelSettings, tokens: Tokens, batch_size: int
) -> float:
    """Nats a token over all of ``tokens``, ``batch_size`` sequences at a time."""
    total, count = 0.0, 0
    for batch in all_batches(tokens, batch_size, model.context):
        total += loss(parameters, model, batch.inputs, batch.targets) * batch.targets.size
        count += batch.targets.size
    return total / count


def continue_texts(
    model: Model,
    texts: Sequence[str],
    tokens: int,
    temperature: float,
    random: np.random.Generator,
) -> list[list[int]]:
    """Tokens that follow each text, at most ``tokens``; the last one may be END_OF_DOCUMENT.

    Raises:
        InputError: A text fills the model's context.
    """
    prompts = [start_of_document(model, text) for text in texts]
    return generate(
        model.parameters, model.shape, prompts, tokens, temperature, random, END_OF_DOCUMENT
    )


def start_of_document(model: Model, text: str) -> list[int]:
    """The tokens of a document that begins with ``text``.

    Raises:
        InputError: They fill the model's context.
    """
    # In training a document always follows the end of another one.
    ids = [END_OF_DOCUMENT, *model.tokenizer.encode(text)]
    if len(ids) >= model.shape.context:
        raise InputError(
            f"{text[:40]!r} is {len(ids)} tokens, which leaves nothing of model.context: "
            f"{model.shape.context}; shorten it"
        )
    return ids
