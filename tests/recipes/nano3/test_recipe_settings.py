"""Every mistake in a config is one line that names file, key and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from recipes.nano3.errors import InputError
from recipes.nano3.settings import differences, load


@dataclass(frozen=True)
class Inner:
    width: int
    rate: float

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width: {self.width} is below 1")


@dataclass(frozen=True)
class Outer:
    data: str | None
    shuffle: bool
    model: Inner


GOOD = "data: null\nshuffle: true\nmodel: {width: 3, rate: 2}\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "a config; 'ünï'.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_config(tmp_path: Path) -> None:
    expected = Outer(data=None, shuffle=True, model=Inner(width=3, rate=2.0))
    assert load(write(tmp_path, GOOD), Outer) == expected


def test_what_the_launcher_left_is_passed_over(tmp_path: Path) -> None:
    text = GOOD + "run: {data: x:latest}\nartifacts: {wandb: false}\n"
    assert load(write(tmp_path, text), Outer) == load(write(tmp_path, GOOD), Outer)


def test_interpolations_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", "/a b/ü'")
    text = GOOD.replace("data: null", "data: ${oc.env:WHERE}/${model.width}")
    assert load(write(tmp_path, text), Outer).data == "/a b/ü'/3"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("width", "widht", "model.widht: unknown key; did you mean width? (known: width, rate)"),
        ("shuffle: true\n", "", "shuffle: missing; add it, a bool"),
        ("width: 3", "width: wide", "model.width: int is needed, not str 'wide'"),
        ("width: 3", "width: true", "model.width: int is needed, not bool True"),
        ("width: 3", "width: 3.5", "model.width: int is needed, not float 3.5"),
        ("width: 3", "width: null", "model.width: int is needed, not null"),
        ("width: 3", "width: 0", "model.width: 0 is below 1"),
        ("data: null", "data: 7", "data: str or null is needed, not int 7"),
        ("{width: 3, rate: 2}", "7", "model: a mapping is needed, not int 7"),
        ("null", "${nowhere}", "Interpolation key 'nowhere' not found"),
        ("null", "${oc.env:NOT_SET_ANYWHERE}", "'NOT_SET_ANYWHERE' not found"),
        ("data: null", "data: [", "no valid YAML"),
        (GOOD, "- 1\n", "the config: a mapping is needed, not list [1]"),
        ("data: null", "defaults: default.yaml", "is followed by the launcher"),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(InputError) as caught:
        load(path, Outer)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.yaml: no such file"):
        load(tmp_path / "gone.yaml", Outer)


def test_differences_name_key_and_both_values() -> None:
    old = {"seed": 1, "model": {"width": 3, "rate": 2.0}}
    new = {"seed": 1, "model": {"width": 4, "rate": 2.0}, "data": "x"}
    assert differences(old, new) == ["data: None -> x", "model.width: 3 -> 4"]
