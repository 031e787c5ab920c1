"""What holds under many writers, and when one is killed at any of its steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.store import Store, VersionDraft, open_store
from tests.nemo_runspec.store.s3_server import make_bucket
from tests.nemo_runspec.store.store_processes import NAME, start

PROCESSES = 16
EACH = 50


def _check_written(store: Store, results: list[Any], each: int) -> None:
    writers = [result for result in results if "written" in result]
    readers = [result for result in results if "reads" in result]
    assert len(writers) == PROCESSES
    assert [problem for result in results for problem in result["problems"]] == []
    assert all(reader["reads"] > 0 for reader in readers)
    acknowledged = {number: mark for result in writers for number, mark in result["written"]}
    assert len(acknowledged) == PROCESSES * each  # no number twice
    assert store.versions(NAME) == sorted(acknowledged)
    assert store.latest(NAME) == max(acknowledged)
    manifests = store.manifests([(NAME, number) for number in acknowledged])
    for number, mark in acknowledged.items():
        assert manifests[NAME, number].metadata == {"mark": mark}
        assert manifests[NAME, number].path == f"/data/{mark}"


def test_many_processes_write_one_name_locally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH", str(tmp_path))
    root = tmp_path / "a store"
    results = start("write", root, "{}", PROCESSES, EACH)
    _check_written(open_store(str(root)), results, EACH)
    assert (root / NAME / "latest").read_bytes() == f"v{PROCESSES * EACH}".encode()


def test_many_processes_write_one_name_on_s3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: dict[str, Any]
) -> None:
    monkeypatch.setenv("SCRATCH", str(tmp_path))
    root = make_bucket(s3, "written-by-many") + "/a store"
    results = start("write", root, json.dumps(s3), PROCESSES, EACH)
    _check_written(open_store(root, storage_options=s3), results, EACH)


def _check_killed(store: Store) -> None:
    """A writer of the second version was killed somewhere."""
    versions = store.versions(NAME)
    assert versions in ([1], [1, 2])
    assert store.latest(NAME) == versions[-1]
    assert store.manifest(NAME, 1).metadata == {"mark": "first"}
    for number in versions[1:]:
        assert store.manifest(NAME, number).metadata == {"mark": "killed"}
        assert store.metadata(NAME, number) == {"mark": "killed"}
    following = store.add_version(NAME, VersionDraft(path="/y", metadata={"mark": "next"}))
    assert following.version in (2, 3)
    assert following.version not in versions
    assert store.versions(NAME) == [*versions, following.version]
    assert store.latest(NAME) == following.version
    assert store.metadata(NAME, following.version) == {"mark": "next"}
    assert store._backend.read(f"{NAME}/latest") == f"v{following.version}".encode()


def test_kill_at_every_step_locally(tmp_path: Path) -> None:
    killed = start("kill", tmp_path, "{}")
    assert len(killed) > 40
    states = set()
    for one in killed:
        store = open_store(one["place"])
        states.add(len(store.versions(NAME)))
        _check_killed(store)
    assert states == {1, 2}  # some before the version was there, some after


def test_kill_at_every_step_on_s3(s3: dict[str, Any]) -> None:
    killed = start("kill", make_bucket(s3, "killed"), json.dumps(s3))
    assert len(killed) >= 12
    states = set()
    for one in killed:
        store = open_store(one["place"], storage_options=s3)
        states.add(len(store.versions(NAME)))
        _check_killed(store)
    assert states == {1, 2}


def _check_contended(rounds: list[Any]) -> None:
    for contenders in rounds:
        taken = [one for one in contenders if "taken" in one]
        assert [(one["taken"], one["mine"]) for one in taken] == [(2, True)]
        assert {one["held_by"] for one in contenders if "held_by" in one} == {taken[0]["pid"]}


def test_a_dead_holder_is_taken_over_once_locally(tmp_path: Path) -> None:
    _check_contended(start("contend", tmp_path / "store", "{}", 8, 5))


def test_a_dead_holder_is_taken_over_once_on_s3(s3: dict[str, Any]) -> None:
    _check_contended(start("contend", make_bucket(s3, "contended"), json.dumps(s3), 8, 1))
