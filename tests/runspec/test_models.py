from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from runspec import FrozenMapping, Runspec, RunspecConfig, RunspecResources, RunspecRun
from runspec.fields import FieldProblem

FULL = Runspec(
    docs="https://example.org/spec.md",
    name="nano3/pretrain",
    image="/home/${oc.env:USER}/x.sqsh",
    setup="two\nlines",
    run=RunspecRun(launch="python", cmd="bash 'a b.sh' {script}\n{config}", workdir="/opt/nemo-rl"),
    config=RunspecConfig(dir="../größe", default="tiny", format="yaml"),
    resources=RunspecResources(nodes=384, gpus_per_node="gpu"),
    env={"Z": "1", "A": "x=\"y\" 'z'"},
    dependencies=("numpy>=1.26", "rich"),
    requires_python=">=3.11",
    script_path=Path("src/a b/train.py"),
)


def test_defaults() -> None:
    spec = Runspec()
    assert spec.run == RunspecRun(launch="torchrun", cmd=None, workdir=None)
    assert spec.config == RunspecConfig(dir="./config", default="default", format="omegaconf")
    assert spec.resources == RunspecResources(nodes=1, gpus_per_node=8)
    assert (spec.schema, spec.docs, spec.name, spec.image, spec.setup) == ("1", "", "", None, "")
    assert (dict(spec.env), spec.dependencies, spec.requires_python) == ({}, (), "")


@pytest.mark.parametrize("spec", [FULL, Runspec(script_path=Path("x.py"))])
def test_json_round_trip(spec: Runspec) -> None:
    assert Runspec.from_dict(json.loads(json.dumps(spec.to_dict())), spec.script_path) == spec


def test_json_of_a_later_version_is_read() -> None:
    table = {**FULL.to_dict(), "new": 1, "run": {**FULL.to_dict()["run"], "new": 1}}
    assert Runspec.from_dict(table, FULL.script_path) == FULL


def test_json_with_a_wrong_value_is_refused() -> None:
    with pytest.raises(FieldProblem, match="is null") as caught:
        Runspec.from_dict({"resources": {"nodes": None}}, Path("x.py"))
    assert caught.value.keys == ("resources", "nodes")


def test_values_are_frozen_hashable_and_picklable() -> None:
    same = replace(FULL, env={"A": "x=\"y\" 'z'", "Z": "1"})
    assert hash(same) == hash(FULL) and same == FULL
    assert replace(FULL, env={}) != FULL
    assert pickle.loads(pickle.dumps(FULL)) == FULL
    with pytest.raises(FrozenInstanceError):
        FULL.name = "x"  # type: ignore[misc]


def test_config_dir_is_beside_the_script() -> None:
    assert FULL.config_dir == Path("src/a b/../größe")
    assert Runspec(script_path=Path("/a/train.py")).config_dir == Path("/a/config")


@pytest.mark.parametrize(
    ("launch", "kind"),
    [("torchrun", "torchrun"), ("ray", "ray"), ("direct", "direct"), ("python", "direct")],
)
def test_python_means_direct(launch: str, kind: str) -> None:
    assert RunspecRun(launch=launch).kind == kind


def test_frozen_mapping() -> None:
    mapping = FrozenMapping({"b": "1", "a": "2"})
    assert list(mapping) == ["a", "b"]
    assert mapping == {"a": "2", "b": "1"}
    assert len(mapping) == 2 and mapping["a"] == "2" and "c" not in mapping
    assert repr(mapping) == "FrozenMapping({'a': '2', 'b': '1'})"
    assert len({mapping, FrozenMapping(dict(mapping)), FrozenMapping()}) == 2
