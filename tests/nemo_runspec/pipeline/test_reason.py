from __future__ import annotations

import pytest

from nemo_runspec.pipeline.reason import Category, Reason, diff_parts, sentence

_BASE = {
    "recipe": "src:train",
    "code": "a",
    "environment": {
        "constraints": ["CPython>=3.11"],
        "image": None,
        "inherit_path": False,
        "requirements": "r",
    },
    "command": {"launch": "direct", "cmd": None, "workdir": None, "passthrough": []},
    "env": {"MODE": "fast"},
    "inputs": [["data", "words", "sha256:" + "1" * 64], [None, "more", "sha256:" + "2" * 64]],
    "config": {"train": {"lr": 0.1, "layers": [1, 2]}, "api_key": "<secret>"},
    "external": [["raw", "sha256:" + "3" * 64]],
}


def _texts(**changed: object) -> list[str]:
    return [reason.text() for reason in diff_parts(_BASE, {**_BASE, **changed})]


def test_equal_parts_have_no_reason() -> None:
    assert _texts() == []


@pytest.mark.parametrize(
    ("changed", "texts"),
    [
        ({"recipe": "src:other"}, ["recipe: src:train -> src:other"]),
        ({"code": "b"}, ["the code changed"]),
        ({"config": {**_BASE["config"], "train": {"lr": 0.2, "layers": [1, 2]}}},  # type: ignore[dict-item]
         ["train.lr: 0.1 -> 0.2"]),
        ({"config": {**_BASE["config"], "train": {"lr": 0.1, "layers": [1, 3]}}},  # type: ignore[dict-item]
         ["train.layers[1]: 2 -> 3"]),
        ({"config": {**_BASE["config"], "seed": True}}, ["seed: new, true"]),  # type: ignore[dict-item]
        ({"config": {"train": _BASE["config"]["train"]}}, ["api_key: removed, was ******"]),  # type: ignore[index]
        ({"env": {"MODE": "slow", "B": "1"}},
         ["environment variable B: new, 1", "environment variable MODE: fast -> slow"]),
        ({"environment": {**_BASE["environment"], "image": "nemo:1"}},  # type: ignore[dict-item]
         ["image: none -> nemo:1"]),
        ({"environment": {**_BASE["environment"], "requirements": "s"}},  # type: ignore[dict-item]
         ["requirement hashes or versions in the lockfile changed"]),
        ({"command": {**_BASE["command"], "launch": "ray"}},  # type: ignore[dict-item]
         ["command's launch: direct -> ray"]),
        ({"inputs": list(reversed(_BASE["inputs"]))}, ["input order changed"]),  # type: ignore[call-overload]
        ({"external": [["raw", "etag:x"]]},
         ["external input raw: sha256:333333333333 -> etag:x"]),
        ({"element": {"value": 1}}, ['element: null -> {"value":1}']),
        ({"output": {"path": "model"}}, ["the target's path: new, model"]),
    ],
)  # fmt: skip
def test_a_difference_in_words(changed: dict[str, object], texts: list[str]) -> None:
    found = _texts(**changed)
    assert [text.removeprefix("foreach: ") for text in found] == texts


def test_inputs_are_told_with_versions() -> None:
    new = {**_BASE, "inputs": [["data", "words", "sha256:" + "9" * 64], ["x", "other", None]]}
    reasons = diff_parts(
        _BASE,
        new,
        old_explain={"inputs": {"data=words": "v1", "more": "v7"}},
        new_explain={"inputs": {"data=words": "v2"}},
    )
    assert [reason.text() for reason in reasons] == [
        "input words (run.data): v1 (sha256:111111111111) -> v2 (sha256:999999999999)",
        "input other (run.x): new, missing",
        "input more: removed, was v7 (sha256:222222222222)",
    ]


def test_files_and_requirements_are_told_one_by_one() -> None:
    new = {
        **_BASE,
        "code": "b",
        "environment": {**_BASE["environment"], "requirements": "s"},  # type: ignore[dict-item]
    }
    old_explain = {"files": {"a.py": "1", "b.py": "2"}, "requirements": {"numpy": "1", "x": "1"}}
    new_explain = {"files": {"a.py": "9", "c.py": "3"}, "requirements": {"numpy": "2", "x": "1"}}
    reasons = diff_parts(_BASE, new, old_explain=old_explain, new_explain=new_explain)
    assert [reason.text() for reason in reasons] == [
        "a.py changed",
        "b.py removed",
        "c.py new",
        "requirement numpy: 1 -> 2",
    ]


def test_elements_are_counted() -> None:
    old = {"recipe": "r", "elements": [["a", "1"], ["b", "2"], ["c", "3"]]}
    new = {"recipe": "r", "elements": [["a", "1"], ["b", "9"], ["d", "4"]]}
    (reason,) = diff_parts(old, new)
    assert reason.text() == "foreach: 1 new, 1 removed, 1 changed of 3 elements"
    (order,) = diff_parts(old, {**old, "elements": list(reversed(old["elements"]))})
    assert order.text() == "foreach: another order"


def test_secrets_are_masked() -> None:
    old = {**_BASE, "env": {"HF_TOKEN": "abc"}, "config": {"wandb": {"api_key": "one"}}}
    new = {**_BASE, "env": {"HF_TOKEN": "def"}, "config": {"wandb": {"api_key": "two"}}}
    text = sentence(diff_parts(old, new), shown=9)
    assert "HF_TOKEN" in text and not {"abc", "def", "one", "two"} & set(
        text.replace(":", " ").split()
    )


def test_a_sentence_is_short() -> None:
    reasons = [Reason(Category.CONFIG, f"k{n}", "1", "2") for n in range(10)]
    assert sentence(reasons) == "k0: 1 -> 2; k1: 1 -> 2; k2: 1 -> 2; and 7 more"
    long = diff_parts({**_BASE, "config": {"a": "x"}}, {**_BASE, "config": {"a": "y\n" * 500}})
    assert len(long[0].text()) < 100 and "\n" not in long[0].text()


def test_a_deep_config_is_no_matter() -> None:
    old: object = 1
    new: object = 2
    for _ in range(300):
        old, new = {"a": old}, {"a": new}
    (reason,) = diff_parts({**_BASE, "config": old}, {**_BASE, "config": new})
    assert (reason.old, reason.new) == ("1", "2")


def test_json() -> None:
    assert Reason(Category.CONFIG, "lr", "1", None).to_json() == {
        "category": "config",
        "what": "lr",
        "old": "1",
        "new": None,
        "text": "lr: removed, was 1",
    }
