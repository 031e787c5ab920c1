from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from nemo_runspec.config import apply_dotlist_overrides
from nemo_runspec.exceptions import OverrideError

CONFIG: dict[str, Any] = {
    "train": {"steps": 10, "lr": 0.1, "adam_beta1": 0.9, "min_lr": 0.0},
    "model": {"layers": [{"width": 1}, {"width": 2}], "base": "${train}"},
    "name": "tiny",
    "nothing": None,
}


def override(*dotlist: str, config: dict[str, Any] | None = None) -> Any:
    made = apply_dotlist_overrides(OmegaConf.create(CONFIG if config is None else config), dotlist)
    return OmegaConf.to_container(made, resolve=False)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("train.lr=1e-4", "lr", 1e-4),
        ("train.lr=null", "lr", None),
        ("train.lr=", "lr", None),
        ("train.steps=true", "steps", True),
        ("train.steps=[1, 2]", "steps", [1, 2]),
        ("train.steps={a: 1}", "steps", {"a": 1}),
        ("train.steps='007'", "steps", "007"),
        ("train.steps=a=b=c", "steps", "a=b=c"),
        ("train.steps=/a folder/with 'quotes\" and ü", "steps", "/a folder/with 'quotes\" and ü"),
        ("train.steps=${oc.env:HOME}", "steps", "${oc.env:HOME}"),
    ],
)
def test_values_are_read_as_omegaconf_reads_them(text: str, key: str, value: object) -> None:
    assert override(text)["train"][key] == value


def test_the_given_config_is_not_changed() -> None:
    config = OmegaConf.create(CONFIG)
    apply_dotlist_overrides(config, ["train.steps=1"])
    assert config == CONFIG


def test_later_overrides_win_and_mappings_merge() -> None:
    assert override("train.steps=1", "train={steps: 2, lr: 3}")["train"]["steps"] == 2
    assert override("train={lr: 3}")["train"]["steps"] == 10


@pytest.mark.parametrize("key", ["model.layers[1].width", "model.layers.1.width"])
def test_an_item_of_a_list(key: str) -> None:
    assert override(f"{key}=7")["model"]["layers"] == [{"width": 1}, {"width": 7}]


def test_below_an_interpolation_the_copy_changes_alone() -> None:
    changed = override("model.base.steps=1")
    assert changed["model"]["base"]["steps"] == 1
    assert changed["model"]["base"]["lr"] == 0.1
    assert changed["train"]["steps"] == 10


@pytest.mark.parametrize(
    "text",
    [
        "artifacts.manifest.root=null",
        "artifacts.wandb=false",
        "run.data=my-data:v1",
        "run.env.nodes=2",
        "run.env.env_vars.X=1",
        "wandb.project=p",
        "train.train_iters=5000",
        "train.adam_beta2=0.99",
        "train.max_lr=1",
        "nothing.at.all=1",
        "+optimizer.lr=1",
        "+train.stepss=1",
        "+name.first=1",
    ],
)
def test_new_keys_that_are_meant(text: str) -> None:
    config = override(text)
    for key in text.removeprefix("+").partition("=")[0].split("."):
        config = config[key]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trian.steps=1", "the config has no key 'trian'; did you mean 'train'? Keys: artifacts, "),
        ("optimizer.lr=1", "has no key 'optimizer'"),
        ("rn.env.nodes=1", "did you mean 'run'?"),
        ("train.stpes=1", "'train' of the config has no key 'stpes'; did you mean 'steps'?"),
        ("train.lrr=1", "did you mean 'lr'? +train.lrr=1 adds it"),
        ("run.env.nodess=1", "did you mean 'nodes'?"),
        ("artifacts.manifst.root=1", "did you mean 'manifest'?"),
        ("name.first=1", "'name' of the config is 'tiny', no mapping"),
        ("model.layers[2].width=1", "is a list of 2, which has no item '2'"),
        ("model.layers.x=1", "which has no item 'x'"),
        ("=1", "is not of the form key.subkey=value"),
        ("a..b=1", "is not of the form"),
        ("words", "is not of the form"),
        ("train.steps=[1,", "the value is broken YAML"),
        ("train.steps=${x", "train.steps=${x"),
    ],
)
def test_keys_that_cannot_be_meant(text: str, words: str) -> None:
    with pytest.raises(OverrideError) as caught:
        override(text)
    assert words in str(caught.value)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_config_on_top_of_a_recipe_takes_new_sections_but_no_misspellings() -> None:
    config = {"recipe": {"_target_": "megatron.bridge.pretrain"}, "train": {}, "checkpoint": {}}
    assert override("optimizer.lr=1e-5", config=config)["optimizer"] == {"lr": 1e-5}
    with pytest.raises(OverrideError, match="did you mean 'train'?"):
        override("trian.lr=1", config=config)
