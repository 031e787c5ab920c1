from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from omegaconf import OmegaConf

from nemo_runspec.config import find_config_file, load_config
from nemo_runspec.exceptions import ConfigError, ConfigNotFoundError


def write_files(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")


def assert_refused(folder: Path, name: str, *words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(folder / name)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(folder), *words):
        assert word in message


def test_find_by_name_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = tmp_path / "a folder" / "config"
    write_files(configs, {"default.yaml": "", "other.yml": "", "v1.2.yaml": ""})
    write_files(tmp_path, {"mine.yaml": ""})
    monkeypatch.chdir(tmp_path)

    assert find_config_file("default", configs) == configs / "default.yaml"
    assert find_config_file("other", configs) == configs / "other.yml"
    assert find_config_file("v1.2", configs) == configs / "v1.2.yaml"
    assert find_config_file("mine.yaml", configs) == Path("mine.yaml")
    assert find_config_file("./mine.yaml", configs) == Path("mine.yaml")
    assert find_config_file("other.yml", configs) == configs / "other.yml"


def test_a_config_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    write_files(tmp_path, {"default.yaml": "", "tiny.yaml": "", "notes.md": ""})
    with pytest.raises(FileNotFoundError) as caught:
        find_config_file("tinny", tmp_path)
    assert str(caught.value) == (
        f"no config 'tinny' in {tmp_path}; did you mean 'tiny'? Configs: default, tiny"
    )
    with pytest.raises(ConfigNotFoundError, match="there is no folder .*nowhere"):
        find_config_file("default", tmp_path / "nowhere")
    assert_refused(tmp_path, "tinny.yaml", "did you mean 'tiny'?")


def test_defaults_merge_in_order_below_the_file_itself(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "base.yaml": "model: {width: 1, depth: 2, layers: [1, 2]}\nbase: true\n",
            "sub/wide.yml": "defaults: ../base.yaml\nmodel: {width: 100}\n",
            "data.v2.yaml": "data: {path: /a b/c, kind: text}\n",
            "tiny.yaml": """\
                defaults:
                  - sub/wide
                  - data.v2
                  - _self_
                model: {depth: 1, layers: [9]}
                data:
                  kind: null
                """,
        },
    )
    config = load_config(tmp_path / "tiny.yaml")
    assert OmegaConf.to_container(config) == {
        "model": {"width": 100, "depth": 1, "layers": [9]},
        "base": True,
        "data": {"path": "/a b/c", "kind": None},
    }


def test_two_files_may_share_a_default(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "base.yaml": "a: 1",
            "left.yaml": "defaults: base\nb: 1",
            "right.yaml": "defaults: base\nc: 1",
            "both.yaml": "defaults: [left, right]",
        },
    )
    assert load_config(tmp_path / "both.yaml") == {"a": 1, "b": 1, "c": 1}


def test_interpolations_stay_and_hydra_lists_are_left_alone(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "eval.yaml": """\
                defaults:
                  - execution: slurm/default
                  - _self_
                model: ${art:model,path}
                home: ${oc.env:NOT_SET_HERE}
                """
        },
    )
    config = OmegaConf.to_container(load_config(tmp_path / "eval.yaml"), resolve=False)
    assert config == {
        "defaults": [{"execution": "slurm/default"}, "_self_"],
        "model": "${art:model,path}",
        "home": "${oc.env:NOT_SET_HERE}",
    }


def test_numbers_are_what_people_mean(tmp_path: Path) -> None:
    write_files(tmp_path, {"c.yaml": "lr: 1e-4\nsteps: 10_000\nname: tiny\nnone: null\n"})
    assert load_config(tmp_path / "c.yaml") == {
        "lr": 1e-4,
        "steps": 10_000,
        "name": "tiny",
        "none": None,
    }


def test_an_empty_file_is_an_empty_config(tmp_path: Path) -> None:
    write_files(tmp_path, {"empty.yaml": "# nothing\n", "on.yaml": "defaults: empty\na: 1\n"})
    assert load_config(tmp_path / "empty.yaml") == {}
    assert load_config(tmp_path / "on.yaml") == {"a": 1}


def test_a_circle_of_defaults_is_shown(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {"a.yaml": "defaults: b", "b.yaml": "defaults: c", "c.yaml": "defaults: b"},
    )
    assert_refused(tmp_path, "a.yaml", "circle", f"{tmp_path / 'b.yaml'} -> {tmp_path / 'c.yaml'}")
    write_files(tmp_path, {"self.yaml": "defaults: self"})
    assert_refused(tmp_path, "self.yaml", "circle")


def test_a_missing_default_names_both_files(tmp_path: Path) -> None:
    write_files(tmp_path, {"default.yaml": "", "tiny.yaml": "defaults: defualt"})
    assert_refused(
        tmp_path, "tiny.yaml", "tiny.yaml: defaults: names 'defualt'", "did you mean 'default'?"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1,\nb: 2\n", (":", "broken YAML")),
        ("a: 1\nb: 2\na: 3\n", (":3: broken YAML: found duplicate key a",)),
        ("- 1\n- 2\n", ("must be a mapping",)),
        ("just words\n", ("must be a mapping",)),
        ("ok: 1\nbad: ${x\n", ("at 'bad'",)),
        ("defaults: 7\n", ("defaults: must be the name of a config", "7")),
        ("defaults: [1]\n", ("defaults: must be the name of a config",)),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "broken.yaml").write_text(text, encoding="utf-8")
    assert_refused(tmp_path, "broken.yaml", "broken.yaml", *words)


def test_a_file_that_is_not_utf8_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("name: é".encode("latin-1"))
    assert_refused(tmp_path, "latin.yaml", "not UTF-8 text (byte 6)")


def test_a_mapping_over_an_interpolation_goes_on_top_of_its_copy(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "base.yaml": "big: {width: 9, depth: 9}\nmodel: ${big}\nlater: ${art:x}\n",
            "own.yaml": "defaults: base\nmodel: {depth: 1}\nlater: {a: 1}\nbig: {width: '???'}\n",
        },
    )
    assert OmegaConf.to_container(load_config(tmp_path / "own.yaml"), resolve=False) == {
        "big": {"width": 9, "depth": 9},
        "model": {"width": 9, "depth": 1},
        "later": {"a": 1},
    }
