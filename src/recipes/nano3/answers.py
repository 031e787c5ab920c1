"""What a model answers to wishes, and how likely it finds the answers that it should give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recipes.nano3.batches import Batch, answer_batch
from recipes.nano3.checkpoint import Model
from recipes.nano3.errors import InputError
from recipes.nano3.evaluation import continue_texts, start_of_document
from recipes.nano3.model import ModelSettings, Parameters, loss
from recipes.nano3.tokenizer import END_OF_DOCUMENT
from recipes.nano3.wishes import Example, Wish, prompt, reward


@dataclass(frozen=True)
class AnswerSettings:
    """How stories are told: of how many tokens at most, and how boldly."""

    tokens: int
    temperature: float

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise ValueError(f"tokens: {self.tokens} is below 1")
        if self.temperature <= 0:
            raise ValueError(f"temperature: {self.temperature} is not above 0")


@dataclass(frozen=True)
class Answer:
    """A story told for a wish.

    Attributes:
        ids: Its tokens, END_OF_DOCUMENT too if it came to its end.
        reward: What part of the wish came true.
    """

    wish: Wish
    prompt: list[int]
    ids: list[int]
    story: str
    reward: float


def answer(
    model: Model, wishes: Sequence[Wish], settings: AnswerSettings, random: np.random.Generator
) -> list[Answer]:
    """One story for each wish."""
    prompts = [prompt(wish) for wish in wishes]
    told = continue_texts(model, prompts, settings.tokens, settings.temperature, random)
    return [
        Answer(wish, start_of_document(model, text), ids, *_judge(model, wish, ids))
        for wish, text, ids in zip(wishes, prompts, told, strict=True)
    ]


def success(answers: Sequence[Answer]) -> float:
    """What part of the answers fulfils its whole wish."""
    return sum(each.reward == 1 for each in answers) / len(answers)


def _judge(model: Model, wish: Wish, ids: Sequence[int]) -> tuple[str, float]:
    story = model.tokenizer.decode(ids)
    return story, reward(wish, story, ended=END_OF_DOCUMENT in ids)


@dataclass(frozen=True)
class Encoded:
    """Examples as tokens: prompts, and the answers wanted."""

    prompts: list[list[int]]
    answers: list[list[int]]

    def batch(self, rows: Sequence[int]) -> Batch:
        return answer_batch(
            [self.prompts[row] for row in rows], [self.answers[row] for row in rows]
        )


def encode(model: Model, examples: Sequence[Example]) -> Encoded:
    """Raises InputError if an example is longer than the model's context."""
    prompts = [start_of_document(model, prompt(each.wish)) for each in examples]
    answers = [[*model.tokenizer.encode(each.story), END_OF_DOCUMENT] for each in examples]
    longest = max(len(one) + len(other) for one, other in zip(prompts, answers, strict=True)) - 1
    if longest > model.shape.context:
        raise InputError(
            f"an example has {longest} tokens, too many for the model's context of "
            f"{model.shape.context}; leave out long stories or pretrain with a longer context"
        )
    return Encoded(prompts, answers)


def mean_answer_loss(
    parameters: Parameters, model: ModelSettings, examples: Encoded, batch_size: int
) -> float:
    """Nats a token over all answers; what the prompts are does not count."""
    total, count = 0.0, 0
    for first in range(0, len(examples.prompts), batch_size):
        rows = range(first, min(first + batch_size, len(examples.prompts)))
        batch = examples.batch(rows)
        tokens = sum(len(examples.answers[row]) for row in rows)
        value = loss(parameters, model, batch.inputs, batch.targets, batch.weights)
        total += value * tokens
        count += tokens
    return total / count
