"""The eight methods on each kind of store, for any id that a run may have."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.store import Store, VersionDraft, open_store
from nemo_runspec.torchx_tracker.records import FOLDER, Link, decode, encode
from nemo_runspec.torchx_tracker.store_tracker import StoreTracker

IDS = [
    "plain",
    "slurm://torchx/my job; rm -rf ~",
    "runspec://20260131-235959-train/0123",
    "..",
    ".hidden",
    "_torchx",
    "a/../../b",
    "50% ünï ☃ = ~ -\n'\"$HOME",
    "~/-",
    "metadata",
    "x" * 700,
    "",
]


@pytest.mark.parametrize("text", [*IDS, "\udcff", "A", "é" * 200, "." * 400])
def test_any_text_is_a_path_and_back(text: str) -> None:
    path = encode(text)
    assert decode(path) == text
    assert all(part and part[0] not in "._" and len(part) <= 122 for part in path.split("/"))
    assert path.isascii()


def test_no_two_texts_share_a_path() -> None:
    assert len({encode(text) for text in IDS}) == len(IDS)


def test_what_is_said_of_any_run_is_found(store: Store) -> None:
    tracker = StoreTracker(store)
    for run in IDS:
        tracker.add_metadata(run, lr=0.1, **{"a/b: ☃": [1, {"x": None}]})
        tracker.add_artifact(run, "model/ünï", "s3://bucket/x y", {"epoch": 3})
        tracker.add_source(run, f"parent of {run}", "data/x")
    again = StoreTracker(store)
    assert list(again.run_ids()) == sorted(IDS)
    assert list(again.run_ids(parent_run_id=None)) == sorted(IDS)  # as torchx's own CLI asks
    for run in IDS:
        assert again.metadata(run) == {"lr": 0.1, "a/b: ☃": [1, {"x": None}]}
        artifact = again.artifacts(run)["model/ünï"]
        assert (artifact.name, artifact.path) == ("model/ünï", "s3://bucket/x y")
        assert artifact.metadata == {"epoch": 3}
        (source,) = again.sources(run)
        assert (source.source_run_id, source.artifact_name) == (f"parent of {run}", "data/x")
        assert list(again.run_ids(parent_run_id=f"parent of {run}")) == [run]
    assert store.names() == []  # none of it is an artifact


def test_a_run_that_nobody_spoke_of(store: Store) -> None:
    tracker = StoreTracker(store)
    assert (tracker.metadata("x"), tracker.artifacts("x")) == ({}, {})
    assert (list(tracker.sources("x")), list(tracker.run_ids())) == ([], [])
    lineage = tracker.lineage("x")
    assert (lineage.run_id, lineage.sources, lineage.descendants) == ("x", (), ())


def test_the_last_word_counts(store: Store) -> None:
    one, other = StoreTracker(store), StoreTracker(open_again(store))
    one.add_metadata("r", lr=1, epochs=2)
    other.add_metadata("r", lr=2)
    one.add_artifact("r", "model", "/old", {"step": 1})
    other.add_artifact("r", "model", "/new")
    assert one.metadata("r") == {"epochs": 2, "lr": 2}
    found = one.artifacts("r")["model"]
    assert (found.path, found.metadata) == ("/new", None)


def test_sources_by_the_name_of_the_artifact() -> None:
    tracker = StoreTracker(open_store("memory://sources"))
    for name in ("model", "data", None, "data"):
        tracker.add_source("r", "above", name)
    tracker.add_source("r", "elsewhere", "data")
    assert {(s.source_run_id, s.artifact_name) for s in tracker.sources("r")} == {
        ("above", "model"),
        ("above", "data"),
        ("above", None),
        ("elsewhere", "data"),
    }
    found = sorted(source.source_run_id for source in tracker.sources("r", "data"))
    assert found == ["above", "elsewhere"]


def test_lineage_goes_both_ways_and_round_in_circles() -> None:
    tracker = StoreTracker(open_store("memory://lineage"))
    for run, source, name in [
        ("b", "a", "x"),
        ("c", "b", "y"),
        ("d", "b", None),
        ("e", "d", None),
        ("a", "e", "back"),
        ("other", "else", None),
    ]:
        tracker.add_source(run, source, name)
    lineage = tracker.lineage("d")
    assert lineage.sources[:2] == (Link("d", "b", None), Link("b", "a", "x"))
    assert set(lineage.sources) == {
        Link("d", "b", None),
        Link("b", "a", "x"),
        Link("a", "e", "back"),
        Link("e", "d", None),
    }
    assert lineage.descendants[0] == Link("e", "d", None)
    assert Link("c", "b", "y") in lineage.descendants
    assert Link("other", "else", None) not in (*lineage.sources, *lineage.descendants)


def test_runs_are_found_by_their_parent_alone() -> None:
    tracker = StoreTracker(open_store("memory://parents"))
    with pytest.raises(TypeError, match="experiment.*parent_run_id"):
        tracker.run_ids(experiment="x")


def test_many_write_at_once(store: Store) -> None:
    count = 8
    failures: list[BaseException] = []
    barrier = threading.Barrier(count)

    def write(number: int) -> None:
        try:
            tracker = StoreTracker(open_again(store))
            barrier.wait(60)
            tracker.add_metadata("run", **{f"rank{number}": number, "last": number})
            tracker.add_artifact("run", f"shard{number}", f"/shards/{number}")
            tracker.add_source("run", f"source{number}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    tracker = StoreTracker(store)
    said = dict(tracker.metadata("run"))
    assert said.pop("last") in range(count)
    assert said == {f"rank{n}": n for n in range(count)}
    assert sorted(tracker.artifacts("run")) == [f"shard{n}" for n in range(count)]
    assert len(list(tracker.sources("run"))) == count


class Scalar:
    """What NumPy and torch have for a number."""

    def item(self) -> float:
        return 0.5


def test_values_that_json_has_no_word_for() -> None:
    tracker = StoreTracker(open_store("memory://values"))
    tracker.add_metadata("r", loss=Scalar(), where=Path("/x"), tags={"b", "a"})
    assert tracker.metadata("r") == {"loss": 0.5, "where": "/x", "tags": ["a", "b"]}


def test_no_secret_is_kept(tmp_path: Path) -> None:
    secret = "-".join(["hush", "9c1f"])
    tracker = StoreTracker(open_store(str(tmp_path)))
    tracker.add_metadata("r", api_key=secret, url=f"https://me:{secret}@example.invalid/x", n=1)
    tracker.add_artifact("r", "m", f"https://me:{secret}@example.invalid/m", {"token": secret})
    text = "".join(path.read_text() for path in (tmp_path / FOLDER).rglob("*.json"))
    assert "example.invalid" in text and secret not in text
    assert tracker.metadata("r")["n"] == 1


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    tracker = StoreTracker(open_store(str(tmp_path)))
    tracker.add_metadata("r", lr=1)
    (file,) = (tmp_path / FOLDER).rglob("lr.json")
    file.write_text("{")
    with pytest.raises(NemoRunspecError, match=f"{file}.* broken.*remove it"):
        tracker.metadata("r")


def test_our_own_runs_are_runs(store: Store) -> None:
    data = "runspec://20260131-235959-data/aaaa"
    model = "runspec://20260131-235959-model/bbbb"
    facts = {"user": "ada", "job": "/jobs/20260131-235959-data", "id": "aaaa", "profile": None}
    store.add_version("d/x", VersionDraft("/d", "DataArtifact", {"rows": 3}, run=facts))
    store.write_run("aaaa", {**facts, "versions": ["d/x:v1"]})
    facts = {"user": "bob", "job": "/jobs/20260131-235959-model", "id": "bbbb", "pipeline": "p1"}
    used = ("d/x:v1", "elsewhere:v7", "entity/project/of-wandb:v0")
    store.add_version("m", VersionDraft("/m", "ModelArtifact", used_artifacts=used, run=facts))
    store.write_run("bbbb", {**facts, "versions": ["m:v1"]})
    store.write_run("resolved-x", {"artifact": "x"})  # of another kind
    tracker = StoreTracker(store)

    assert list(tracker.run_ids()) == [data, model]
    assert tracker.metadata(data) == {
        "user": "ada",
        "job": "/jobs/20260131-235959-data",
        "id": "aaaa",
    }
    made = tracker.artifacts(data)["d/x:v1"]
    assert (made.path, made.metadata["type"], made.metadata["rows"]) == ("/d", "DataArtifact", 3)
    sources = [(s.source_run_id, s.artifact_name) for s in tracker.sources(model)]
    assert sources[:3] == [
        ("runspec://pipeline/p1", None),
        (data, "d/x:v1"),
        ("art://elsewhere:v7", "elsewhere:v7"),
    ]
    assert list(tracker.run_ids(parent_run_id=data)) == [model]
    assert list(tracker.run_ids(parent_run_id="runspec://pipeline/p1")) == [model]
    assert tracker.lineage(data).descendants == (Link(model, data, "d/x:v1"),)

    tracker.add_metadata(data, user="carol", lr=1)
    tracker.add_artifact(data, "d/x:v1", "/copy")
    assert (tracker.metadata(data)["user"], tracker.metadata(data)["lr"]) == ("carol", 1)
    assert tracker.artifacts(data)["d/x:v1"].path == "/copy"
    assert list(tracker.run_ids()) == [data, model]


def open_again(store: Store) -> Store:
    """The store as another process has it, where that is another object."""
    return open_store(store.root) if store.is_local else store
