from __future__ import annotations

import pytest

from nemo_runspec.store.errors import StoreNameError
from nemo_runspec.wandb_tracking.names import (
    WandbNameError,
    from_wandb_name,
    to_wandb_name,
    to_wandb_reference,
)

NAMES = {
    "nano3-sft-data": "nano3-sft-data",
    "user/ann/nano3.5-model": "user..ann..nano3.5-model",
    "a/b": "a..b",
    "a..b": "a._.b",
    "a./b": "a._..b",
    "a._b": "a.__b",
    "a_./b": "a_._..b",
    "a.": "a._",
    "a...b": "a._._.b",
    "a.-b": "a.-b",
}


@pytest.mark.parametrize("name", NAMES)
def test_there_and_back(name: str) -> None:
    made = to_wandb_name(name)
    assert made == NAMES[name]
    assert "/" not in made
    assert from_wandb_name(made) == name


def test_no_two_names_are_one() -> None:
    letters = ["a", "a.", "a_", "a._", "a..", "a_.", "a__", "a.b", "a-"]
    names = [f"{one}{join}{two}" for one in letters for two in letters for join in ("", "/")]
    assert len({to_wandb_name(name) for name in names}) == len(set(names))
    assert all(from_wandb_name(to_wandb_name(name)) == name for name in names)


def test_what_cannot_be_named() -> None:
    with pytest.raises(WandbNameError, match=r"129 letters as a name in W&B, which takes 128"):
        to_wandb_name("a" * 129)
    with pytest.raises(StoreNameError):
        to_wandb_name("../a")


def test_references() -> None:
    assert to_wandb_reference("user/ann/data:v3") == "user..ann..data:store-v3"
    assert to_wandb_reference("wandb://ent/proj/data:v0") == "ent/proj/data:v0"
    assert to_wandb_reference("hf://nvidia/data") is None
    assert to_wandb_reference(f"{'a' * 129}:v1") is None
