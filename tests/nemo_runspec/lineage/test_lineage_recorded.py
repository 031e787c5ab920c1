"""Lineage from manifests alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from nemo_runspec.exceptions import ArtifactNotFoundError, ArtifactVersionNotFoundError
from nemo_runspec.lineage.graph import only_types
from nemo_runspec.lineage.model import Kind, Lineage, State, to_document
from nemo_runspec.lineage.recorded import recorded_lineage
from nemo_runspec.store import KeyRecord, VersionDraft, open_store
from tests.nemo_runspec.lineage.family import Family, grow


def ids(lineage: Lineage) -> list[str]:
    return [node.id for node in lineage.nodes]


def edges(lineage: Lineage) -> list[str]:
    return [f"{each.above} > {each.below}" for each in lineage.edges]


def test_upstream_is_all_that_it_was_made_from(family: Family) -> None:
    lineage = recorded_lineage(family.store, [("scores", 1)])
    assert lineage.roots == ("scores:v1",)
    order = ids(lineage)
    assert sorted(order) == [
        *("books:v1", "external:s3://open/rules.json", "model:v2", "scores:v1", "tokens:v1")
    ]
    for each in lineage.edges:
        assert order.index(each.above) < order.index(each.below)
    # In the order in which they are its inputs.
    assert edges(lineage) == [
        "tokens:v1 > model:v2",
        "model:v2 > scores:v1",
        "tokens:v1 > scores:v1",
        "books:v1 > tokens:v1",
        "external:s3://open/rules.json > tokens:v1",
    ]
    keys = {(each.above, each.below): each.key for each in lineage.edges}
    assert keys["model:v2", "scores:v1"] == "model"
    assert keys["tokens:v1", "model:v2"] == "data"


def test_downstream_is_all_that_was_made_from_it(family: Family) -> None:
    lineage = recorded_lineage(family.store, [("tokens", 1)], "downstream")
    assert sorted(ids(lineage)) == ["model:v1", "model:v2", "rival:v1", "scores:v1", "tokens:v1"]
    both = recorded_lineage(family.store, [("model", 2)], "both")
    assert sorted(ids(both)) == [
        *("books:v1", "external:s3://open/rules.json", "model:v2", "scores:v1", "tokens:v1")
    ]
    assert "tokens:v1 > scores:v1" in edges(both)


def test_several_roots_are_one_graph(family: Family) -> None:
    lineage = recorded_lineage(family.store, [("model", 1), ("rival", 1), ("model", 1)])
    assert lineage.roots == ("model:v1", "rival:v1")
    assert ids(lineage).count("tokens:v1") == 1


def test_a_node_says_who_made_it_of_what_and_what_it_took(family: Family) -> None:
    node = recorded_lineage(family.store, [("model", 2)]).node("model:v2")
    assert (node.kind, node.state, node.type) == (Kind.VERSION, State.RECORDED, "ModelArtifact")
    assert node.run["user"] == "ada" and node.run["profile"] == "prod"
    assert node.spent.gpu_hours == 2.0 and node.spent.gpus == 8 and node.spent.seconds == 60.0
    assert node.metrics == {"loss": 0.2, "n.tokens": 7.0}
    assert node.document["parts"]["config"] == {"lr": 0.2, "steps": 10}
    assert node.log == "/jobs/model/logs/job.log"


def test_the_log_is_where_the_job_said(family: Family) -> None:
    family.add("model", ["tokens:v1"], run={"log": "/elsewhere/log"})
    assert recorded_lineage(family.store, [("model", 3)]).node("model:v3").log == "/elsewhere/log"


def test_what_was_said_since_stands_with_it(family: Family) -> None:
    store = family.store
    store.set_alias("model", "prod", 2, by="ada")
    store.mark_gone("tokens", 1, "freed by gc")
    model = store.manifest("model", 2)
    accepted = {"by": "eve", "at": "2026-02-03T00:00:00+00:00", "reason": "renamed"}
    record = KeyRecord(2, model.identity, model.path, model.content, "now", accepted)
    store.set_key("model", "f" * 64, record)
    store.attach("model", 2, "metrics.jsonl", b'{"name":"loss","value":3,"step":1,"at":"t"}\n')
    lineage = recorded_lineage(store, [("model", 2)])
    node = lineage.node("model:v2")
    assert node.aliases == ("prod",)
    assert node.accepted is not None
    assert (node.accepted.by, node.accepted.reason) == ("eve", "renamed")
    assert node.series == {"loss": ((1, 3.0, "t"),)}
    # What was logged is newer than what the metadata says.
    assert node.metrics["loss"] == 3.0
    tokens = lineage.node("tokens:v1")
    assert (tokens.state, tokens.gone) == (State.GONE, "freed by gc")
    assert tokens.accepted is None and tokens.aliases == ()


def test_a_revocation_reaches_all_that_was_made_from_it(family: Family) -> None:
    family.store.revoke("books", 1, by="eve", reason="the test set is in it")
    family.store.revoke("model", 2, by="eve", reason="diverged")
    lineage = recorded_lineage(family.store, [("scores", 1), ("model", 1)])
    marks = {node.id: node.revoked for node in lineage.nodes}
    found = {one: None if mark is None else mark.reference for one, mark in marks.items()}
    assert found == {
        "books:v1": "books:v1",
        "tokens:v1": "books:v1",
        "model:v1": "books:v1",
        # The nearest is what it is refused for.
        "model:v2": "model:v2",
        "scores:v1": "model:v2",
        "external:s3://open/rules.json": None,
    }
    # Downstream, where what it was made from is no part of the graph, too.
    below = recorded_lineage(family.store, [("rival", 1)], "downstream")
    mark = below.node("rival:v1").revoked
    assert mark is not None and mark.reason == "the test set is in it"


def test_what_another_store_has_is_named(family: Family) -> None:
    family.add("model", ["elsewhere:v3", "team/proj/w-and-b:latest"], keys=["a", "b"])
    lineage = recorded_lineage(family.store, [("model", 3)])
    other = lineage.node("elsewhere:v3")
    assert (other.kind, other.state, other.version) == (Kind.EXTERNAL, State.MISSING, 3)
    unknown = lineage.node("external:team/proj/w-and-b:latest")
    assert (unknown.kind, unknown.state) == (Kind.EXTERNAL, State.EXTERNAL)


def test_names_are_no_keys_of_secrets(family: Family) -> None:
    family.add("secret-data")
    family.add(
        "model",
        ["secret-data:v1"],
        files={"api_key.py": "1"},
        metadata={"api_key": "hunter2hunter2"},
    )
    document = recorded_lineage(family.store, [("model", 3)]).node("model:v3").document
    assert document["metadata"] == {"api_key": "******"}
    assert document["used_artifacts"] == ["secret-data:v1"]
    assert document["explain"]["inputs"] == {"secret-data=secret-data": "v1"}
    assert len(document["explain"]["files"]["api_key.py"]) == 64


def test_a_circle_by_hand_is_shown_and_ends(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    for name, used in (("a", "c:v1"), ("b", "a:v1"), ("c", "b:v1"), ("d", "d:v1")):
        store.add_version(name, VersionDraft(path="/x", used_artifacts=(used,)))
    for direction in ("upstream", "downstream", "both"):
        lineage = recorded_lineage(store, [("a", 1), ("d", 1)], direction)
        assert sorted(ids(lineage)) == ["a:v1", "b:v1", "c:v1", "d:v1"]
        assert len(lineage.edges) == 4
    store.revoke("b", 1, by="x", reason="y")
    lineage = recorded_lineage(store, [("a", 1)])
    assert all(node.revoked is not None for node in lineage.nodes)
    assert ids(only_types(lineage, ["Artifact"]))


def test_only_some_types_with_what_was_between_left_out(family: Family) -> None:
    family.add("tune", ["scores:v1"], type="ModelArtifact", keys=["s"])
    whole = recorded_lineage(family.store, [("books", 1)], "downstream")
    models = only_types(whole, ["ModelArtifact"])
    assert sorted(ids(models)) == ["books:v1", "model:v1", "model:v2", "rival:v1", "tune:v1"]
    assert sorted(edges(models)) == [
        "books:v1 > model:v1",
        "books:v1 > model:v2",
        "books:v1 > rival:v1",
        "books:v1 > tune:v1",
        "model:v2 > tune:v1",
    ]


def test_what_there_is_not(family: Family) -> None:
    with pytest.raises(ArtifactVersionNotFoundError, match="no version 'v9'"):
        recorded_lineage(family.store, [("model", 9)])
    with pytest.raises(ArtifactNotFoundError, match="'modle' not found"):
        recorded_lineage(family.store, [("modle", 1)], "downstream")


def test_numbers_that_json_lacks(family: Family) -> None:
    family.add("model", metadata={"loss": float("nan"), "best": True, "big": 10**400})
    lineage = recorded_lineage(family.store, [("model", 3)])
    assert list(lineage.node("model:v3").metrics) == ["loss"]
    text = json.dumps(to_document(lineage), allow_nan=False)
    assert json.loads(text)["nodes"][0]["metrics"] == {"loss": None}


@pytest.fixture
def remote() -> Iterator[Family]:
    """A store that counts requests, as an object store does."""
    family = grow(open_store("memory://lineage-test/artifacts"))
    yield family
    filesystem = fsspec.filesystem("memory")
    filesystem.rm("/lineage-test", recursive=True)


def test_an_object_store_is_asked_for_what_there_is_alone(remote: Family) -> None:
    store = remote.store
    for number in range(3, 60):
        remote.add("model", ["tokens:v1"], config={"lr": number}, keys=["data"])
    store.set_alias("model", "prod", 2, by="ada")
    before = store.request_count
    lineage = recorded_lineage(store, [("rival", 1)])
    # Three manifests, a listing of each of their artifacts, one of revocations.
    assert store.request_count - before <= 7
    before = store.request_count
    lineage = recorded_lineage(store, [("tokens", 1)], "downstream")
    assert len(lineage.nodes) == 62
    assert lineage.node("model:v2").aliases == ("prod",)
    # A manifest each, and a handful more: nothing else is asked of each version.
    assert store.request_count - before < len(lineage.nodes) + 8
