from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nemo_runspec.config import load_omegaconf_yaml, omegaconf_to_dataclass
from nemo_runspec.exceptions import ConfigError, ConfigNotFoundError


@dataclass
class Split:
    folder: Path
    weight: float = 1.0


@dataclass
class Prep:
    output_dir: Path
    splits: list[Split] = field(default_factory=list)
    by_name: dict[str, Split] = field(default_factory=dict)
    cache: Path | None = None
    best: Split | None = None
    label: str | Path = "x"
    sample: int = 10


def test_the_example_of_the_seeds(tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(
        "run: {data: 'x:latest'}\n"
        "artifacts: {wandb: true}\n"
        "base: /data\n"
        "output_dir: ${base}/out\n"
        "splits: [{folder: a, weight: 2.0}, {folder: b}]\n"
        "by_name: {c: {folder: c}}\n"
        "cache: /cache\n"
        "best: {folder: d}\n",
        "utf-8",
    )
    config = load_omegaconf_yaml(file)
    assert "${base}/out" in OmegaConf.to_yaml(config)
    cfg = omegaconf_to_dataclass(config, Prep)
    assert cfg == Prep(
        output_dir=Path("/data/out"),
        splits=[Split(Path("a"), 2.0), Split(Path("b"))],
        by_name={"c": Split(Path("c"))},
        cache=Path("/cache"),
        best=Split(Path("d")),
    )
    assert omegaconf_to_dataclass({"output_dir": "o", "label": "y"}, Prep).label == "y"


def test_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"outputdir is no field of Prep; did you mean 'output_"):
        omegaconf_to_dataclass({"outputdir": "x"}, Prep)
    with pytest.raises(ConfigError, match=r"best\.weigth is no field of Split"):
        omegaconf_to_dataclass({"output_dir": "x", "best": {"folder": "a", "weigth": 1}}, Prep)
    with pytest.raises(ConfigError, match="Prep needs output_dir, which the config lacks"):
        omegaconf_to_dataclass({}, Prep)
    with pytest.raises(ConfigError, match="nope"):
        omegaconf_to_dataclass({"output_dir": "${nope}"}, Prep)
    with pytest.raises(TypeError, match="no dataclass"):
        omegaconf_to_dataclass({}, Path)
    with pytest.raises(ConfigNotFoundError, match="there is no such config file"):
        load_omegaconf_yaml(tmp_path / "nope.yaml")
    for text, problem in (("a: [", "is no YAML"), ("- a\n", "must be a mapping")):
        (tmp_path / "bad.yaml").write_text(text, "utf-8")
        with pytest.raises(ConfigError, match=problem):
            load_omegaconf_yaml(tmp_path / "bad.yaml")
