"""A recorded lineage as events, and what data is called in them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from nemo_runspec.lineage.model import Kind, Lineage, LineageEdge, LineageNode, State
from nemo_runspec.openlineage.events import lineage_events
from nemo_runspec.openlineage.naming import DatasetName, artifact_name, uri_name
from tests.nemo_runspec.openlineage.receiver import check

RUN = "0fdb43afd7344b73aa3f44196921628f"
SECRET = "-".join(["hush", "0d0d"])


def node(name: str, version: int, **document: Any) -> LineageNode:
    said = {
        "schema": "1",
        "name": name,
        "version": version,
        "path": f"/data/{name}",
        "type": "DataArtifact",
        "created_at": "2026-01-31T23:59:59+00:00",
        **document,
    }
    return LineageNode(
        f"{name}:v{version}", Kind.VERSION, name, State.RECORDED, version, document=said
    )


def test_the_runs_of_a_lineage() -> None:
    run = {
        "id": RUN,
        "user": "ada",
        "commit": "c0ffee",
        "recipe": "src/demo:train",
        "address": "src/demo:model.artifact",
        "started_at": "2026-02-01T00:00:00+00:00",
        "ended_at": "2026-02-01T01:00:00+00:00",
    }
    url = f"https://me:{SECRET}@example.invalid/raw/x.txt"
    nodes = (
        node("data", 3, inputs=[url, "s3://raw/a/b"]),
        node("model", 1, type="ModelArtifact", used_artifacts=["data:v3"], run=run),
        node("metrics", 1, used_artifacts=["data:v3"], run=run),
        LineageNode("target:src/demo:eval", Kind.TARGET, "eval", State.MISSING),
        LineageNode("external:s3://raw/a/b", Kind.EXTERNAL, "s3://raw/a/b", State.EXTERNAL),
        LineageNode("gone:v9", Kind.VERSION, "gone", State.MISSING, 9),
    )
    edges = (LineageEdge("data:v3", "model:v1", "data"),)
    events = check(lineage_events(Lineage(("model:v1",), nodes, edges, "s3://bucket/a store")))
    assert [(each["job"]["name"], each["eventType"]) for each in events] == [
        ("data", "START"),
        ("data", "COMPLETE"),
        ("src/demo:model.artifact", "START"),
        ("src/demo:model.artifact", "COMPLETE"),
    ]
    assert SECRET not in str(events)
    data, model = events[1], events[3]
    assert [(each["namespace"], each["name"]) for each in data["inputs"]] == [
        ("https://me:******@example.invalid", "raw/x.txt"),
        ("s3://raw", "a/b"),
    ]
    assert model["run"]["runId"] == str(uuid.UUID(RUN))
    assert model["eventTime"] == "2026-02-01T01:00:00+00:00"
    assert model["run"]["facets"]["nominalTime"]["nominalStartTime"] == run["started_at"]
    (read,) = model["inputs"]
    assert (read["namespace"], read["name"]) == ("s3://bucket", "a store/data")
    assert read["facets"]["version"]["datasetVersion"] == "v3"
    assert read["facets"]["datasetType"]["subType"] == "DataArtifact"
    assert [each["name"] for each in model["outputs"]] == ["a store/model", "a store/metrics"]
    assert model["outputs"][0]["facets"]["datasetType"]["datasetType"] == "MODEL"
    # Without a run's id it is always the same one.
    again = lineage_events(Lineage(("data:v3",), nodes[:1], (), "s3://bucket/a store"))
    assert again[0]["run"]["runId"] == data["run"]["runId"]


@pytest.mark.parametrize(
    ("uri", "namespace", "name"),
    [
        ("/data/ü x", "file", "/data/ü x"),
        ("file:///data/x", "file", "/data/x"),
        ("s3://bucket/a/b/", "s3://bucket", "a/b"),
        ("gs://bucket", "gs://bucket", "/"),
        ("hf://datasets/team/name/x", "hf://datasets", "team/name/x"),
        ("https://example.invalid/a/b?c", "https://example.invalid", "a/b"),
        (f"https://me:{SECRET}@example.invalid/a", "https://me:******@example.invalid", "a"),
    ],
)
def test_what_data_is_called(uri: str, namespace: str, name: str) -> None:
    assert uri_name(uri) == DatasetName(namespace, name)


def test_what_artifacts_are_called() -> None:
    assert artifact_name("/stores/team/", "a/b") == DatasetName("file", "/stores/team/a/b")
    assert artifact_name("s3://bucket", "a/b") == DatasetName("s3://bucket", "a/b")
