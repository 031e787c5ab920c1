from __future__ import annotations

import pytest

from nemo_runspec.exceptions import ConfigError
from nemo_runspec.store import ArtifactReference, check_name, parse_artifact_reference


@pytest.mark.parametrize(
    ("text", "name", "version", "number", "alias"),
    [
        ("a", "a", "latest", None, None),
        ("a:latest", "a", "latest", None, None),
        ("a:v3", "a", "v3", 3, None),
        ("a:3", "a", "v3", 3, None),
        ("a:v007", "a", "v7", 7, None),
        ("super3/rl/data:prod", "super3/rl/data", "prod", None, "prod"),
        ("a.b-c_d:v1.2", "a.b-c_d", "v1.2", None, "v1.2"),
    ],
)
def test_references(
    text: str, name: str, version: str, number: int | None, alias: str | None
) -> None:
    reference = parse_artifact_reference(text)
    assert reference == ArtifactReference(name, version)
    assert (reference.number, reference.alias) == (number, alias)
    assert parse_artifact_reference(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    ["", ":v1", "a:", "a:b:c", "a b", "../a", "/a", "a/", "a:v1\n", "a:-x", "latest:v1", "a/v3:v1"],
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(ConfigError, match="no artifact reference"):
        parse_artifact_reference(text)


def test_names() -> None:
    for name in ("a", "A.b-c_d/0", "keysx/latest1/v", "a" * 200, "x/lr-1e-4"):
        assert check_name(name) == name
