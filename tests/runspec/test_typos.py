"""What is almost certainly a misspelling, and what is a name of its own."""

from __future__ import annotations

import pytest

from runspec.typos import typo_of


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("nodess", "nodes"),
        ("ndoes", "nodes"),
        ("node", "nodes"),
        ("gpu_per_node", "gpus_per_node"),
        ("gpus_pernode", "gpus_per_node"),
        ("gpus-per-node", "gpus_per_node"),
        ("Steps", "steps"),
        ("lrr", "lr"),
        ("learnin_rat", "learning_rate"),
        ("learningz_rate", "learning_rate"),
        ("contaimer_image", "container_image"),
    ],
)
def test_slips(written: str, known: str) -> None:
    assert typo_of(written, [known, "unrelated"]) == known


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("adam_beta2", "adam_beta1"),
        ("beta", "beta2"),
        ("min_lr", "max_lr"),
        ("tp_size", "pp_size"),
        ("text_path", "test_path"),
        ("patch_size", "batch_size"),
        ("eval_interval", "save_interval"),
        ("top_p", "top_k"),
        ("x", "xs"),
        ("steps", "steps"),
    ],
)
def test_names_of_their_own(written: str, known: str) -> None:
    assert typo_of(written, [known]) is None


def test_a_known_name_is_no_slip_of_another() -> None:
    assert typo_of("node", ["node", "nodes"]) is None
