"""Where a config names artifacts, and what an artifact may be called."""

from __future__ import annotations

import pytest

from runspec.references import find_artifact_references, is_artifact_name, is_artifact_reference


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        ("data:latest", True),
        ("team/data:v3", True),
        ("DataArtifact", True),
        ("data", False),
        ("data:3", False),
        ("redis:alpine", False),
        ("host:8080", False),
        ("nvcr.io/nvidia/nemo:latest", False),
        ("12:30:00", False),
        ("https://a/b", False),
        ("", False),
        (3, False),
        (None, False),
    ],
)
def test_what_is_a_reference_by_itself(value: object, counts: bool) -> None:
    assert is_artifact_reference(value) is counts


@pytest.mark.parametrize("text", ["data", "data:7", "data:prod", "${oc.env:DATA}"])
@pytest.mark.parametrize("use", ["${art:d}", "a ${art:d,path}/b", "${art: 'd' ,path}"])
def test_what_is_one_because_it_is_used(text: str, use: str) -> None:
    config = {"run": {"d": text}, "train": [{"data": use}]}
    assert find_artifact_references(config) == {"d": text}
    assert find_artifact_references({"run": {"d": text}}) == {}


@pytest.mark.parametrize("config", [{}, {"run": None}, {"run": "data:latest"}, [], None])
def test_no_run_section(config: object) -> None:
    assert find_artifact_references(config) == {}


def test_the_launchers_own_keys_are_none() -> None:
    config = {"run": {"env": "a:latest", "wandb": "b:latest", "data": "c:latest", "n": 1}}
    assert find_artifact_references(config) == {"data": "c:latest"}
    assert find_artifact_references({"x": {"y": {"d": "a:v1"}}}, "x.y") == {"d": "a:v1"}


@pytest.mark.parametrize(
    ("name", "may_be"),
    [
        ("data", True),
        ("team/nano3-data.v2_x", True),
        ("", False),
        ("a//b", False),
        ("../a", False),
        ("/a", False),
        (".a", False),
        ("_a", False),
        ("a/_b", False),
        ("a/latest", False),
        ("keys", False),
        ("v3", False),
        ("v3x", True),
        ("a b", False),
        ("a" * 201, False),
    ],
)
def test_names(name: str, may_be: bool) -> None:
    assert is_artifact_name(name) is may_be
