"""Model and optimizer: gradients against finite differences, and the properties they must have."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recipes.nano3.layers import Array, Ids, softmax
from recipes.nano3.model import (
    ModelSettings,
    Parameters,
    forward,
    generate,
    initial_parameters,
    loss,
    loss_and_gradients,
)
from recipes.nano3.optimizer import (
    OptimizerSettings,
    adamw,
    clip,
    initial_state,
    learning_rate,
)

MODEL = ModelSettings(context=5, width=8, layers=2, heads=2)
VOCAB = 11
OPTIMIZER = OptimizerSettings(
    learning_rate=0.01,
    warmup_steps=10,
    final_fraction=0.1,
    beta1=0.9,
    beta2=0.99,
    weight_decay=0.0,
    max_gradient_norm=1.0,
)


def random_parameters() -> Parameters:
    """In double precision, and none of them zero or one: nothing cancels by chance."""
    random = np.random.default_rng(0)
    parameters = initial_parameters(MODEL, VOCAB, seed=0, dtype=np.float64)
    return {
        name: value + 0.3 * random.standard_normal(value.shape)
        for name, value in parameters.items()
    }


def random_sequences() -> tuple[Ids, Ids]:
    ids = np.random.default_rng(1).integers(VOCAB, size=(3, MODEL.context + 1))
    return ids[:, :-1], ids[:, 1:]


def slope(parameters: Parameters, name: str, direction: Array) -> float:
    """Central difference of the loss along ``direction``."""
    step = 1e-5
    there = {**parameters, name: parameters[name] + step * direction}
    back = {**parameters, name: parameters[name] - step * direction}
    inputs, targets = random_sequences()
    return (loss(there, MODEL, inputs, targets) - loss(back, MODEL, inputs, targets)) / (2 * step)


@pytest.mark.parametrize("name", sorted(random_parameters()))
def test_the_gradient_of_every_parameter_agrees_with_finite_differences(name: str) -> None:
    parameters = random_parameters()
    _, gradients = loss_and_gradients(parameters, MODEL, *random_sequences())
    random = np.random.default_rng(2)
    for _ in range(5):
        direction = random.standard_normal(parameters[name].shape)
        expected = slope(parameters, name, direction)
        assert np.vdot(gradients[name], direction) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_gradients_cover_all_parameters_in_their_shapes_and_type() -> None:
    parameters = initial_parameters(MODEL, VOCAB, seed=0)
    _, gradients = loss_and_gradients(parameters, MODEL, *random_sequences())
    assert gradients.keys() == parameters.keys()
    for name, value in parameters.items():
        assert gradients[name].shape == value.shape
        assert gradients[name].dtype == np.dtype(np.float32)


def test_an_untrained_model_finds_all_tokens_equally_likely() -> None:
    parameters = initial_parameters(MODEL, VOCAB, seed=0)
    assert loss(parameters, MODEL, *random_sequences()) == pytest.approx(math.log(VOCAB), rel=1e-6)


def test_no_token_sees_what_comes_after_it() -> None:
    parameters = random_parameters()
    inputs, _ = random_sequences()
    changed = inputs.copy()
    changed[:, 3] = (changed[:, 3] + 1) % VOCAB
    shape = (*inputs.shape, VOCAB)
    before = forward(parameters, MODEL, inputs)[0].reshape(shape)
    after = forward(parameters, MODEL, changed)[0].reshape(shape)
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert not np.allclose(before[:, 3:], after[:, 3:])


def test_a_sequence_can_be_learnt_by_heart() -> None:
    inputs, targets = random_sequences()
    state = initial_state(initial_parameters(MODEL, VOCAB, seed=0))
    for step in range(1, 301):
        _, gradients = loss_and_gradients(state.parameters, MODEL, inputs[:1], targets[:1])
        gradients = clip(gradients, OPTIMIZER.max_gradient_norm)
        state = adamw(state, gradients, OPTIMIZER, learning_rate(OPTIMIZER, step, 300))
    assert loss(state.parameters, MODEL, inputs[:1], targets[:1]) < 0.05
    first, *rest = inputs[0].tolist()
    (told,) = generate(
        state.parameters, MODEL, [[first]], len(rest), 0.1, np.random.default_rng(0), end=-1
    )
    assert told == rest


def test_generation_draws_as_often_as_the_whole_model_says() -> None:
    """Token by token, with what it has seen kept, and all at once: the same chances."""
    parameters, prompt, count = random_parameters(), [4, 2], 20_000
    random = np.random.default_rng(0)
    told = generate(parameters, MODEL, [prompt] * count, 2, 0.7, random, end=-1)
    pairs, first = np.array(told), np.zeros((VOCAB, VOCAB))
    np.add.at(first, (pairs[:, 0], pairs[:, 1]), 1 / count)
    chances = softmax(forward(parameters, MODEL, np.array([prompt]))[0][-1] / 0.7)
    for token, chance in enumerate(chances):
        ids = np.array([[*prompt, token]])
        after = softmax(forward(parameters, MODEL, ids)[0][-1] / 0.7)
        np.testing.assert_allclose(first[token], chance * after, atol=0.015)


def test_prompts_of_all_lengths_go_on_to_the_end_or_the_context() -> None:
    random = np.random.default_rng(0)
    prompts = [[1], [2, 3, 4], [5, 6, 7, 8], [1, 2, 3, 4, 5]]
    told = generate(random_parameters(), MODEL, prompts, 3, 1.0, random, end=-1)
    assert [len(added) for added in told] == [3, 2, 1, 0]
    assert all(0 <= token < VOCAB for added in told for token in added)


def test_nothing_follows_the_end() -> None:
    random = np.random.default_rng(0)
    told = generate(random_parameters(), MODEL, [[1]] * 50, 4, 1.0, random, end=3)
    assert any(3 in added and len(added) < 4 for added in told)
    assert all(3 not in added[:-1] for added in told)
    assert all(len(added) == 4 or added[-1] == 3 for added in told)


def test_weights_leave_tokens_out_and_turn_the_gradient() -> None:
    parameters = random_parameters()
    inputs, targets = random_sequences()
    weights = np.zeros(targets.shape)
    weights[0] = 1 / MODEL.context
    alone = loss_and_gradients(parameters, MODEL, inputs[:1], targets[:1])
    among = loss_and_gradients(parameters, MODEL, inputs, targets, weights)
    against = loss_and_gradients(parameters, MODEL, inputs, targets, -weights)
    assert among[0] == pytest.approx(alone[0]) == -against[0]
    for name, gradient in alone[1].items():
        np.testing.assert_allclose(among[1][name], gradient, atol=1e-12)
        np.testing.assert_allclose(against[1][name], -gradient, atol=1e-12)


def test_the_learning_rate_warms_up_and_decays() -> None:
    rates = [learning_rate(OPTIMIZER, step, 100) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.001)
    assert max(rates) == rates[9] == pytest.approx(0.01)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.001)


def test_clipping_keeps_the_direction() -> None:
    gradients = {"a": np.array([3.0]), "b": np.array([[4.0]])}
    clipped = clip(gradients, 1.0)
    assert (clipped["a"][0], clipped["b"][0, 0]) == (pytest.approx(0.6), pytest.approx(0.8))
    assert clip(gradients, 6.0) == gradients
