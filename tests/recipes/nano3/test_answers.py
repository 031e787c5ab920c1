"""What a model answers, what it is taught by, and what reinforcement makes of its rewards."""

from __future__ import annotations

import numpy as np
import pytest

from recipes.nano3.answers import AnswerSettings, answer, encode, mean_answer_loss, success
from recipes.nano3.batches import answer_batch
from recipes.nano3.checkpoint import Model
from recipes.nano3.errors import InputError
from recipes.nano3.model import (
    ModelSettings,
    forward,
    initial_parameters,
    loss,
    loss_and_gradients,
)
from recipes.nano3.optimizer import OptimizerSettings, adamw, clip, initial_state
from recipes.nano3.stage2_rl.train import advantages
from recipes.nano3.tokenizer import END_OF_DOCUMENT, Tokenizer
from recipes.nano3.wishes import Example

SHAPE = ModelSettings(context=24, width=16, layers=1, heads=2)
TOKENIZER = Tokenizer(())
OPTIMIZER = OptimizerSettings(
    learning_rate=0.02,
    warmup_steps=1,
    final_fraction=0.1,
    beta1=0.9,
    beta2=0.98,
    weight_decay=0.0,
    max_gradient_norm=1.0,
)
EXAMPLES = (Example(("a", "b"), "a b c"), Example(("c", "d"), "c d"), Example(("x",), "lox x"))


def make_model() -> Model:
    return Model(SHAPE, TOKENIZER, initial_parameters(SHAPE, TOKENIZER.vocab_size, seed=0))


def test_only_answers_count_in_the_loss() -> None:
    model = make_model()
    encoded = encode(model, EXAMPLES)
    batch = encoded.batch(range(3))
    assert batch.weights is not None
    assert np.sum(batch.weights) == pytest.approx(1)
    counted = [
        row[weights > 0].tolist() for row, weights in zip(batch.targets, batch.weights, strict=True)
    ]
    assert counted == [[*each.story.encode(), END_OF_DOCUMENT] for each in EXAMPLES]
    wishes = [
        row[: len(prompt)].tolist()
        for row, prompt in zip(batch.inputs, encoded.prompts, strict=True)
    ]
    assert wishes == encoded.prompts
    assert bytes(wishes[0][1:]) == b"a, b:\n"


def test_the_loss_of_answers_does_not_depend_on_how_they_are_batched() -> None:
    model = make_model()
    parameters = {name: value + 0.1 for name, value in model.parameters.items()}
    encoded = encode(model, EXAMPLES)
    one, all_at_once = (mean_answer_loss(parameters, SHAPE, encoded, size) for size in (1, 3))
    assert one == pytest.approx(all_at_once, rel=1e-5)
    total = 0.0
    for row in range(3):
        batch = encoded.batch([row])
        value = loss(parameters, SHAPE, batch.inputs, batch.targets, batch.weights)
        total += value * len(encoded.answers[row])
    assert one == pytest.approx(total / sum(len(ids) for ids in encoded.answers), rel=1e-5)


def test_examples_that_are_too_long_are_refused() -> None:
    with pytest.raises(InputError, match="26 tokens, too many for the model's context of 24"):
        encode(make_model(), [Example(("abcdefg",), "0123456789abcdef")])
    with pytest.raises(InputError, match="leaves nothing of model.context: 24"):
        encode(make_model(), [Example(("x" * 40,), "")])


def test_a_taught_model_fulfils_the_wishes_it_was_taught() -> None:
    model = make_model()
    encoded = encode(model, EXAMPLES)
    state = initial_state(model.parameters)
    batch = encoded.batch(range(3))
    for _ in range(150):
        _, gradients = loss_and_gradients(
            state.parameters, SHAPE, batch.inputs, batch.targets, batch.weights
        )
        state = adamw(state, clip(gradients, 1.0), OPTIMIZER, OPTIMIZER.learning_rate)
    taught = Model(SHAPE, TOKENIZER, state.parameters)
    wishes = [each.wish for each in EXAMPLES]
    settings = AnswerSettings(tokens=12, temperature=0.1)
    answers = answer(taught, wishes, settings, np.random.default_rng(0))
    assert [each.story for each in answers] == [each.story for each in EXAMPLES]
    assert success(answers) == 1
    assert [each.prompt for each in answers] == encoded.prompts
    cut = answer(taught, wishes, AnswerSettings(2, 0.1), np.random.default_rng(0))
    assert [each.ids for each in cut] == [each.ids[:2] for each in answers]
    assert success(cut) == 0


def test_advantages_compare_stories_of_one_wish_only() -> None:
    rewards = np.array([[0.0, 0.0, 1.0, 1.0], [5.0, 5.0, 5.0, 5.0], [0.0, 0.0, 0.0, 4.0]])
    found = advantages(rewards)
    np.testing.assert_allclose(found[0], [-1, -1, 1, 1])
    np.testing.assert_allclose(found[1], 0)
    np.testing.assert_allclose(np.mean(found, axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(np.std(found[2]), 1)


def test_a_step_makes_the_better_story_likelier_and_the_worse_one_rarer() -> None:
    model = make_model()
    prompt, good, bad = [END_OF_DOCUMENT, 1], [2, 3], [4, 5]
    batch = answer_batch([prompt, prompt], [good, bad], worth=[1.0, -1.0])
    state = initial_state(model.parameters)
    _, gradients = loss_and_gradients(
        state.parameters, SHAPE, batch.inputs, batch.targets, batch.weights
    )
    state = adamw(state, gradients, OPTIMIZER, rate=0.01)

    def likelihood(answer: list[int], improved: bool) -> float:
        parameters = state.parameters if improved else model.parameters
        ids = np.array([[*prompt, *answer]])
        logits = forward(parameters, SHAPE, ids)[0][len(prompt) - 1 : -1].astype(np.float64)
        return float(np.sum(logits[[0, 1], answer] - np.log(np.sum(np.exp(logits), axis=1))))

    assert likelihood(good, True) > likelihood(good, False)
    assert likelihood(bad, True) < likelihood(bad, False)
