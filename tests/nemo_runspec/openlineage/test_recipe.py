"""What a recipe that is run by hand tells."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.nemo_runspec.executor_contract import wait_for
from tests.nemo_runspec.openlineage.receiver import Receiver, check
from tests.nemo_runspec.pipeline.workshop import Workshop, finish

NAME = "src/demo:model"
LOGS = "log_artifact(Artifact(path=out), tracking, name='made')\n"


def run(shop: Workshop, *options: str, env: dict[str, str]) -> tuple[int, str, str]:
    return finish(shop.command("recipe", str(shop.bundles / "model"), *options, env=env))


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [each["eventType"] for each in events]


def made(event: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (each["name"].rpartition("/")[2], each["facets"]["version"]["datasetVersion"])
        for each in event["outputs"]
    ]


@pytest.mark.parametrize("options", [(), ("--batch", "here")], ids=["attached", "detached"])
def test_a_recipe_that_ends_well(
    tmp_path: Path, server: Receiver, options: tuple[str, ...]
) -> None:
    shop = Workshop(tmp_path)
    shop.library("model", LOGS, config="x: 1\n")
    (shop.repository / "env.toml").write_text('[here]\nexecutor = "local"\n')
    code, out, err = run(shop, *options, env={"OPENLINEAGE_URL": server.url})
    assert code == 0, err
    wait_for(lambda: len(server.events) == 2, "both events")
    start, complete = check(server.of(NAME))
    assert kinds([start, complete]) == ["START", "COMPLETE"]
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert made(complete) == [("made", "v1")] and start["outputs"] == []
    assert "parent" not in complete["run"]["facets"]


def test_a_recipe_that_fails(tmp_path: Path, server: Receiver) -> None:
    shop = Workshop(tmp_path)
    shop.library("model", "sys.exit(7)\n", config="x: 1\n")
    code, _, _ = run(shop, env={"OPENLINEAGE_URL": server.url})
    assert code == 7
    start, fail = check(server.of(NAME))
    assert kinds([start, fail]) == ["START", "FAIL"]
    message = fail["run"]["facets"]["errorMessage"]["message"]
    assert message.startswith("exit code 7; log: ")


def test_the_client_that_is_missing_costs_a_line(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.library("model", LOGS, config="x: 1\n")
    hidden = tmp_path / "hidden" / "openlineage"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError('hidden')\n")
    path = ":".join([str(hidden.parent), *sys.path])
    code, out, err = run(shop, env={"OPENLINEAGE_URL": "http://127.0.0.1:1", "PYTHONPATH": path})
    assert code == 0
    (warning,) = [line for line in err.splitlines() if "OpenLineage" in line]
    assert warning.startswith("warning: OpenLineage events are not delivered (OPENLINEAGE_URL)")
    assert "needs openlineage-python" in warning
