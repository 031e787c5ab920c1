"""`materialize`: what is told of each artifact, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.nemo_runspec.pipeline.workshop import Workshop, finish


def as_json(shop: Workshop) -> tuple[dict[str, Any], str]:
    """The document, and what was said beside it."""
    code, out, err = finish(shop.start("--json"))
    found: dict[str, Any] = json.loads(out)
    assert found["exit_code"] == code
    return found, err


def test_the_manifest_of_each_artifact(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data")
    code, out, err = finish(shop.start())
    assert code == 0, err
    lines = out.splitlines()
    built = next(number for number, line in enumerate(lines) if line.startswith("data: built v1"))
    manifest = shop.repository / ".runspec" / "artifacts" / "data" / "v1"
    assert lines[built + 1] == f"  Manifest: {manifest}"
    assert (manifest / "manifest.json").is_file()
    assert lines[-1].startswith("built 1, ")


def test_as_json(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data")
    shop.plain("model", inputs=["data"])
    told, progress = as_json(shop)
    assert (told["exit_code"], told["built"], told["failed"]) == (0, 2, 0)
    assert [(each["name"], each["state"]) for each in told["artifacts"]] == [
        ("data", "built"),
        ("model", "built"),
    ]
    assert told["artifacts"][0]["details"]["manifest"].endswith("/data/v1")
    assert "data: built v1" in progress
    assert as_json(shop)[0] == {
        "exit_code": 0,
        "built": 0,
        "fresh": 2,
        "artifacts": [],
    }


def test_a_failure_as_json(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data", more="sys.exit(3)")
    shop.plain("model", inputs=["data"])
    told, _ = as_json(shop)
    assert (told["exit_code"], told["failed"], told["skipped"]) == (1, 1, 1)
    assert {each["name"]: each["state"] for each in told["artifacts"]} == {
        "data": "failed",
        "model": "skipped",
    }
