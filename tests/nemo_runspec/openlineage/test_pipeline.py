"""What a pipeline and its jobs tell, from the real command line through the real client."""

from __future__ import annotations

import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

from tests.nemo_runspec.openlineage.receiver import Receiver, check
from tests.nemo_runspec.pipeline.workshop import Workshop

SECRET = "-".join(["hush", "77b0"])

FAILS_ONCE = """
tried = Path(os.environ["RAN"] + ".tried")
if not tried.exists():
    tried.touch()
    sys.exit(1)
"""


def states(events: list[dict[str, Any]]) -> list[str]:
    return [each["eventType"] for each in events]


def versions(datasets: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [
        (
            each["name"].rpartition("/")[2],
            each["facets"].get("version", {}).get("datasetVersion"),
        )
        for each in datasets
    ]


def repository_of(shop: Workshop) -> None:
    """Make the workshop a real repository, whose remote holds a password."""
    (shop.repository / ".git").rmdir()
    url = f"https://me:{SECRET}@example.invalid/team/recipes.git"
    for command in (
        ["init", "-q"],
        ["remote", "add", "origin", url],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *command], cwd=shop.repository, check=True)


def test_a_pipeline_over_http(tmp_path: Path, server: Receiver) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data")
    shop.plain("model", inputs={"data": "data"}, config="x: ${art:data}\n")
    repository_of(shop)
    env = {"OPENLINEAGE_URL": server.url, "OPENLINEAGE_API_KEY": "k", "OPENLINEAGE_NAMESPACE": "t"}
    code, out, err = shop.materialize(env=env)
    assert (code, err) == (0, ""), out
    events = check(server.events)
    assert set(server.paths) == {"/api/v1/lineage"}
    assert {each["Authorization"] for each in server.headers} == {"Bearer k"}
    assert SECRET not in json.dumps(events)

    pipeline, data, model = "materialize src/demo:data.artifact and 1 more", "data", "model"
    assert [(each["job"]["name"], each["eventType"]) for each in events] == [
        (pipeline, "START"),
        ("src/demo:data.artifact", "START"),
        ("src/demo:data.artifact", "COMPLETE"),
        ("src/demo:model.artifact", "START"),
        ("src/demo:model.artifact", "COMPLETE"),
        (pipeline, "COMPLETE"),
    ]
    assert {each["job"]["namespace"] for each in events} == {"t"}
    times = [each["eventTime"] for each in events if each["job"]["name"] != pipeline]
    assert times == sorted(times)

    manifest = shop.manifest(model)
    start, complete = server.of("src/demo:model.artifact")
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert start["run"]["runId"] == str(uuid.UUID(manifest.run["id"]))
    assert versions(start["inputs"]) == versions(complete["inputs"]) == [(data, "v1")]
    assert versions(start["outputs"]) == [(model, None)]
    assert versions(complete["outputs"]) == [(model, "v1")]
    (made,) = complete["outputs"]
    root = shop.repository / ".runspec" / "artifacts"
    assert (made["namespace"], made["name"]) == ("file", f"{root}/model")
    assert made["facets"]["dataSource"]["uri"] == manifest.path
    assert made["facets"]["ownership"]["owners"][0]["name"] == "user:ada"
    assert made["facets"]["lifecycleStateChange"]["lifecycleStateChange"] == "CREATE"
    # What one job made the other read: the same dataset, the same version.
    read, written = complete["inputs"][0], server.of("src/demo:data.artifact")[1]["outputs"][0]
    assert [read[key] for key in ("namespace", "name")] == [
        written[key] for key in ("namespace", "name")
    ]

    parent = complete["run"]["facets"]["parent"]
    whole = server.of(pipeline)
    assert {each["run"]["runId"] for each in whole} == {parent["run"]["runId"]}
    assert parent["job"] == {"namespace": "t", "name": pipeline, "facets": {}}
    assert parent["root"]["run"]["runId"] == parent["run"]["runId"]
    location = complete["job"]["facets"]["sourceCodeLocation"]
    assert location["url"] == "https://example.invalid/team/recipes.git"
    assert (location["path"], location["version"]) == ("src/demo", manifest.run["commit"])
    said = {
        each["key"]: each["value"]
        for each in complete["run"]["facets"]["executionParameters"]["parameters"]
    }
    assert said["key"] == manifest.key and said["nodes"] == "1"
    assert complete["job"]["facets"]["jobType"]["jobType"] == "RECIPE"
    assert whole[0]["job"]["facets"]["jobType"]["jobType"] == "PIPELINE"
    assert complete["run"]["facets"]["processing_engine"]["name"] == "nemo-runspec"

    # What is fresh runs nothing, and tells nothing.
    assert shop.materialize(env=env)[0] == 0
    assert len(server.events) == len(events)


def test_a_job_that_fails(tmp_path: Path, server: Receiver) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data")
    shop.plain("model", more="sys.exit(3)\n", inputs={"data": "data"}, config="x: 1\n")
    shop.plain("eval", inputs={"model": "model"}, config="x: 1\n")
    code, _, err = shop.materialize(env={"OPENLINEAGE_URL": server.url})
    assert code == 1 and "exit code 3" in err
    events = check(server.events)
    assert states(server.of("src/demo:data.artifact")) == ["START", "COMPLETE"]
    start, fail = server.of("src/demo:model.artifact")
    assert states([start, fail]) == ["START", "FAIL"]
    assert start["run"]["runId"] == fail["run"]["runId"]
    assert fail["run"]["facets"]["errorMessage"]["message"].startswith("exit code 3")
    assert server.of("src/demo:eval.artifact") == []
    assert states(events)[-1] == "FAIL"
    assert events[-1]["run"]["facets"]["errorMessage"]["message"] == "1 failed, 1 skipped"


def test_each_try_is_a_run_of_its_own(tmp_path: Path, server: Receiver) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data", more=FAILS_ONCE)
    (shop.repository / "env.toml").write_text("[again]\nretries = 1\n")
    assert shop.materialize("--run", "again", env={"OPENLINEAGE_URL": server.url})[0] == 0
    told = check(server.of("src/demo:data.artifact"))
    runs = [each["run"]["runId"] for each in told]
    assert states(told) == ["START", "FAIL", "START", "COMPLETE"]
    assert runs[0] == runs[1] != runs[2] == runs[3]


def test_events_in_a_file(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data")
    file = tmp_path / "events.jsonl"
    (shop.repository / "openlineage.yml").write_text(
        f"transport:\n  type: file\n  log_file_path: {file}\n  append: true\n"
    )
    assert shop.materialize()[0] == 0
    events = check([json.loads(line) for line in file.read_text().splitlines()])
    assert states(events) == ["START", "START", "COMPLETE", "COMPLETE"]


def test_an_endpoint_that_is_not_there_costs_a_line(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data")
    url = f"http://me:{SECRET}@127.0.0.1:1"
    config = tmp_path / "ol.yml"
    config.write_text(f"transport: {{type: http, url: '{url}', retry: {{total: 0}}}}\n")
    code, out, err = shop.materialize(env={"OPENLINEAGE_CONFIG": str(config)})
    assert (code, err) == (0, "")
    (warning,) = [line for line in out.splitlines() if "OpenLineage" in line]
    assert "not delivered (OPENLINEAGE_CONFIG)" in warning and SECRET not in out
    assert shop.manifest("data").version == 1
