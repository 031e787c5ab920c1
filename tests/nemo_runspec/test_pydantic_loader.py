from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from nemo_runspec.config.pydantic_loader import (
    RecipeSettings,
    load_config,
    parse_config_and_overrides,
)
from nemo_runspec.exceptions import ConfigError


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int = 8
    layers: list[int] = []


class Settings(RecipeSettings):
    model_config = ConfigDict(extra="forbid")
    name: str = "default"
    steps: int = Field(default=10, gt=0)
    lr: float = 0.1
    enabled: bool = False
    no_cache: bool = False
    label: str | None = None
    root: Path = Path("out")
    output: Path = Path("out/x")
    tags: dict[str, str] = {}
    model: Model = Model()


def load(folder: Path, text: str = "", *overrides: str) -> Settings:
    path = folder / "a config.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, overrides, Settings)


def test_command_line_of_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ["--steps", "5", "--config=my conf.yaml", "a.b=1", "--flag", "-x"]
    assert parse_config_and_overrides(argv, default_config="d.yaml") == (
        "my conf.yaml",
        ["--steps", "5", "a.b=1", "--flag", "-x"],
    )
    monkeypatch.setattr("sys.argv", ["train.py", "x=1"])
    assert parse_config_and_overrides(default_config=Path("d.yaml")) == ("d.yaml", ["x=1"])
    assert parse_config_and_overrides(argv=[], default_config="d.yaml") == ("d.yaml", [])


def test_a_config_option_without_value_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_config_and_overrides(["--config"], default_config="d.yaml")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: argument --config: expected one argument\n"


def test_every_form_of_an_override(tmp_path: Path) -> None:
    made = load(
        tmp_path,
        "steps: 3\nmodel: {width: 1, layers: [1, 2]}\n",
        "steps=5",
        "--model.width",
        "64",
        "--lr=1e-4",
        "--enabled",
        "model.layers[1]=7",
        "tags={a: b, c: 'd e'}",
        "--no-cache",
    )
    assert made == Settings(
        steps=5,
        lr=1e-4,
        enabled=True,
        no_cache=True,
        tags={"a": "b", "c": "d e"},
        model=Model(width=64, layers=[1, 7]),
    )


@pytest.mark.parametrize(
    ("overrides", "enabled", "name"),
    [
        (["--enabled", "false", "--name", "custom"], False, "custom"),
        (["--enabled", "--name", "custom"], True, "custom"),
        (["--no-enabled", "name=x"], False, "x"),
        (["--enabled", "name=x"], True, "x"),
        (["--name", "-1"], True, "-1"),
    ],
)
def test_flags(tmp_path: Path, overrides: list[str], enabled: bool, name: str) -> None:
    made = load(tmp_path, "enabled: true\n", *overrides)
    assert (made.enabled, made.name) == (enabled, name)


@pytest.mark.parametrize("text", ["007", "1e5", "true", "null", "[a", "12:30:00", "a b 'c' \"ü"])
def test_a_text_is_taken_as_it_was_typed(tmp_path: Path, text: str) -> None:
    if text == "[a":
        with pytest.raises(ConfigError, match="broken YAML"):
            load(tmp_path, "", f"name={text}")
        return
    assert load(tmp_path, "", f"name={text}").name == text


def test_null_is_none_where_that_is_allowed(tmp_path: Path) -> None:
    assert load(tmp_path, "label: x\n", "label=null").label is None


def test_defaults_and_interpolations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET_HERE", raising=False)
    (tmp_path / "base.yaml").write_text(
        "root: ${oc.env:NOT_SET_HERE,/base}\noutput: ${root}/x\nsteps: 7\n", encoding="utf-8"
    )
    assert load(tmp_path, "defaults: base\n").output == Path("/base/x")
    made = load(tmp_path, "defaults: base\n", "root=/a b")
    assert (made.output, made.steps) == (Path("/a b/x"), 7)
    with pytest.raises(ValueError, match="NOT_SET_HERE"):
        load(tmp_path, "root: ${oc.env:NOT_SET_HERE}\n")


def test_what_belongs_to_the_job_is_left_out(tmp_path: Path) -> None:
    text = "run: {data: 'x:latest'}\nartifacts: {wandb: true}\nsteps: 2\n"
    assert load(tmp_path, text).steps == 2


def test_the_environment_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPS", "99")
    assert load(tmp_path).steps == 10


@pytest.mark.parametrize(
    ("text", "overrides", "words"),
    [
        ("", ["stepz=1"], ("override 'stepz=1'", "did you mean 'steps'?")),
        ("", ["model.widht=1"], ("model has no key 'widht'; did you mean 'width'?",)),
        ("", ["--stepz", "1"], ("did you mean 'steps'?",)),
        ("", ["words"], ("is not of the form",)),
        ("model: {layers: [1]}\n", ["model.layers[3]=1"], ("has no item '3'",)),
        ("", ["steps=many", "lr=low"], ("steps: Input should be", "lr: Input", "it is 'low'")),
        ("steps: 0\n", [], ("a config.yaml: steps: Input should be greater than 0 (it is 0)",)),
        ("stepz: 1\n", [], ("stepz: unknown key; did you mean 'steps'?",)),
        ("model: {widht: 1}\n", [], ("model.widht: unknown key; did you mean 'width'?",)),
        ("steps: ???\n", [], ("steps",)),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, text: str, overrides: list[str], words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, *overrides)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no config"):
        load_config(tmp_path / "gone.yaml", [], Settings)
