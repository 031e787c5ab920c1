"""What every root does, whatever kind of file system it is on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nemo_runspec.exceptions import ArtifactNotFoundError, ArtifactVersionNotFoundError
from nemo_runspec.store import (
    ArtifactRevokedError,
    HeldLease,
    KeyRecord,
    Lease,
    Manifest,
    Store,
    StoreError,
    StoreFormatError,
    StoreNameError,
    VersionDraft,
    open_store,
    parse_artifact_reference,
)

KEY = "0123456789abcdef" * 4


def resolve(store: Store, text: str) -> Manifest:
    return store.resolve(parse_artifact_reference(text))


def record_of(manifest: Manifest) -> KeyRecord:
    return KeyRecord(
        manifest.version, manifest.identity, manifest.path, manifest.content, manifest.created_at
    )


def again(store: Store) -> Store:
    """The same root, opened by somebody else."""
    return Store(store._backend)


def test_an_empty_store_holds_nothing(store: Store) -> None:
    assert store.names() == []
    assert store.versions("a") == []
    assert store.latest("a") is None
    assert store.find_key("a", KEY) is None
    assert store.latest_manifests(["a", "b"]) == {}
    assert store.aliases("a") == {}
    assert store.runs() == []
    assert store.read_run("r") is None
    assert store.lease_holder("a/b") is None
    with pytest.raises(ArtifactNotFoundError, match="there are none"):
        resolve(store, "a")


def test_a_version_comes_back_whole(store: Store) -> None:
    draft = VersionDraft(
        path="/data/ünï; echo 'foo' \"bar\"\nnew line",
        type="ModelArtifact",
        metadata={"step": 3, "loss": 0.1, "text": "ünï\n"},
        document={"path": "/data", "metadata": {"step": 3}},
        producer="run 7",
        inputs=("hf://datasets/x",),
        used_artifacts=("data:v1", "other/data:v2"),
        key=KEY,
        parts={"code": "abc"},
        explain={"files": {"a.py": "1"}},
        content="sha256:" + "0" * 64,
        run={"user": "ada", "gpus": 8},
        extra={"iteration": 3},
    )
    added = store.add_version("team/model.x_y-1", draft)
    found = resolve(again(store), "team/model.x_y-1")
    assert found == added
    assert (found.version, found.reference) == (1, "team/model.x_y-1:v1")
    for field in ("path", "type", "producer", "inputs", "used_artifacts", "key", "content"):
        assert getattr(found, field) == getattr(draft, field)
    assert dict(found.metadata) == draft.metadata
    assert (found.parts, found.explain, found.run) == (draft.parts, draft.explain, draft.run)
    assert found.extra == {"iteration": 3}
    assert found.identity == draft.content
    assert store.metadata("team/model.x_y-1", 1) == draft.document
    raw = store._backend.read("team/model.x_y-1/v1/manifest.json")
    assert raw is not None
    written = json.loads(raw)
    assert written["created_at"] == found.created_at
    assert store._backend.read("team/model.x_y-1/latest") == b"v1"


def test_versions_and_names(store: Store) -> None:
    for name in ("b", "a", "a/b", "a/b", "a/b/c", "ab"):
        store.add_version(name, VersionDraft(path="/x"))
    assert store.names() == ["a", "a/b", "a/b/c", "ab", "b"]
    assert store.names("a/") == ["a/b", "a/b/c"]
    assert store.versions("a/b") == [1, 2]
    assert store.versions("a") == [1]
    assert set(store.latest_manifests(["a/b", "ab", "none"])) == {"a/b", "ab"}
    assert store.latest_manifests(["a/b"])["a/b"].version == 2
    assert set(store.manifests([("a/b", 1), ("a/b", 2), ("a/b", 3)])) == {("a/b", 1), ("a/b", 2)}


def test_what_is_not_there_is_said_with_what_there_is(store: Store) -> None:
    store.add_version("sft-model", VersionDraft(path="/x"))
    with pytest.raises(ArtifactNotFoundError, match="did you mean 'sft-model'") as not_found:
        resolve(store, "sft-mode")
    assert store.root in str(not_found.value)
    for text in ("sft-model:v7", "sft-model:prod", "sft-model:0"):
        with pytest.raises(ArtifactVersionNotFoundError, match="there are: v1"):
            resolve(store, text)


def test_a_reader_looks_ahead_of_latest(store: Store) -> None:
    """A writer that was killed before it moved `latest`, and one before its manifest."""
    for number in range(1, 6):
        store.add_version("a", VersionDraft(path=f"/{number}"))
    store._backend.write("a/latest", b"v2")
    store._backend.create("a/v6/_claim", b"somebody's")
    assert store.latest("a") == 5
    assert resolve(store, "a").path == "/5"
    assert store.latest_manifests(["a"])["a"].version == 5
    store._backend.delete("a/v4/manifest.json")
    store._backend.delete("a/v5/manifest.json")
    assert store.latest("a") == 3
    assert store.versions("a") == [1, 2, 3]
    assert store.add_version("a", VersionDraft(path="/7")).version == 7
    assert store.latest("a") == 7
    assert store._backend.read("a/latest") == b"v7"


@pytest.mark.parametrize("said", [b"", b"rubbish", b"v9", None])
def test_a_broken_latest_hides_nothing(store: Store, said: bytes | None) -> None:
    store.add_version("a", VersionDraft(path="/1"))
    store.add_version("a", VersionDraft(path="/2"))
    if said is None:
        store._backend.delete("a/latest")
    elif said or store.is_local:
        store._backend.write("a/latest", said)
    assert store.latest("a") == 2
    assert store.latest_manifests(["a"])["a"].version == 2
    following = store.add_version("a", VersionDraft(path="/3")).version
    assert following >= 3
    assert store.latest("a") == following


def test_many_threads_write_one_name(store: Store) -> None:
    def write(who: int) -> list[tuple[int, str]]:
        mine = again(store)
        written = []
        for index in range(4):
            mark = f"/{who}/{index}"
            version = mine.add_version("a", VersionDraft(path=mark)).version
            assert (mine.latest("a") or 0) >= version
            written.append((version, mark))
        return written

    with ThreadPoolExecutor(max_workers=6) as pool:
        acknowledged = dict(one for results in pool.map(write, range(6)) for one in results)
    assert len(acknowledged) == 24
    assert store.versions("a") == sorted(acknowledged)
    assert store.latest("a") == max(acknowledged)
    found = store.manifests([("a", number) for number in acknowledged])
    assert {number: found["a", number].path for number in acknowledged} == acknowledged


def test_latest_never_goes_back(store: Store) -> None:
    for number in range(1, 4):
        store.add_version("a", VersionDraft(path=f"/{number}"))
    store._numbering._advance_latest("a", 2)
    assert store._backend.read("a/latest") == b"v3"


def test_a_store_of_today_is_read_and_continued(store: Store) -> None:
    """No `_store.json`, no claims, no schema; a hole, and one that is being written."""
    for number in (1, 2, 4):
        document = {
            "name": "nano3-sft-data",
            "version": number,
            "type": "SFTDataArtifact",
            "path": f"/lustre/{number}",
            "created_at": "2026-03-11T10:30:00-07:00",
            "producer": "nemo_abc123",
            "metadata": {"pack_size": 4096},
            "inputs": ["hf://nvidia/dataset-a"],
            "used_artifacts": ["nano3-pretrain-data:v2"],
            "later": {"key": 1},
        }
        folder = f"nano3-sft-data/v{number}"
        store._backend.write(f"{folder}/manifest.json", json.dumps(document).encode())
        store._backend.write(f"{folder}/metadata.json", b'{"pack_size": 4096}')
    store._backend.write("nano3-sft-data/latest", b"v4")
    store._backend.write("nano3-sft-data/v5/metadata.json", b"{}")
    assert store.names() == ["nano3-sft-data"]
    found = resolve(store, "nano3-sft-data")
    assert (found.version, found.path, found.key) == (4, "/lustre/4", None)
    assert found.extra == {"later": {"key": 1}}
    assert store.metadata("nano3-sft-data", 4) == {"pack_size": 4096}
    added = store.add_version("nano3-sft-data", VersionDraft(path="/lustre/6"))
    assert added.version == 6  # v5 is somebody's
    assert store._backend.read("nano3-sft-data/v5/metadata.json") == b"{}"
    assert store.versions("nano3-sft-data") == [1, 2, 4, 6]
    assert store.latest("nano3-sft-data") == 6


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("manifest.json", b"{", "is no JSON"),
        ("manifest.json", b"[1]", "no JSON object"),
        ("manifest.json", b"\xff\xfe", "is no JSON"),
        ("manifest.json", b"[" * 100_000, "is no JSON"),
        ("manifest.json", b'{"version": 1}', "names no path"),
        ("manifest.json", b'{"path": "/x", "metadata": 3}', "metadata is no JSON object"),
        ("manifest.json", b'{"path": "/x", "schema": "2"}', "schema '2'"),
        ("metadata.json", b"nonsense", "is no JSON"),
    ],
    ids=["torn", "list", "no text", "deep", "no path", "no object", "schema", "metadata"],
)
def test_a_broken_file_is_one_line_that_names_it(
    store: Store, file: str, text: bytes, says: str
) -> None:
    store.add_version("a", VersionDraft(path="/1"))
    store._backend.write(f"a/v1/{file}", text)
    with pytest.raises(StoreFormatError, match=says) as caught:
        resolve(store, "a")
        store.metadata("a", 1)
    assert f"{store.root}/a/v1/{file}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert store.add_version("a", VersionDraft(path="/2")).version == 2


def test_a_later_minor_schema_is_read(store: Store) -> None:
    store._backend.write("a/v1/manifest.json", b'{"path": "/x", "schema": "1.7", "new": 1}')
    assert resolve(store, "a:v1").extra == {"new": 1}


def test_keys(store: Store) -> None:
    version = store.add_version("a", VersionDraft(path="/1", key=KEY))
    assert version.identity == f"key:{KEY}"
    store.set_key("a", KEY, record_of(version))
    other = "f" * 64
    assert store.find_key("a", KEY) == record_of(version)
    wanted = [("a", KEY), ("a", other), ("b", KEY)]
    assert store.find_keys(wanted) == {("a", KEY): record_of(version)}
    assert store.keys("a") == {KEY: record_of(version)}
    with pytest.raises(ArtifactVersionNotFoundError):
        store.set_key("a", other, KeyRecord(2, "i", "/2", None, "now"))
    accepted = KeyRecord(1, "i", "/1", None, "now", {"by": "ada", "at": "now", "reason": "same"})
    store.set_key("a", other, accepted)
    assert store.find_key("a", other) == accepted
    store.remove_key("a", other)
    assert store.find_key("a", other) is None
    store._backend.write(f"a/keys/{KEY}", b"{}")
    with pytest.raises(StoreFormatError, match=f"keys/{KEY} is broken"):
        store.find_key("a", KEY)


def test_aliases(store: Store) -> None:
    store.add_version("a", VersionDraft(path="/1"))
    store.add_version("a", VersionDraft(path="/2"))
    store.set_alias("a", "prod", 2, by="ada")
    store.set_alias("a", "prod", 1, by="bob", reason="v2 is worse")
    assert store.aliases("a") == {"prod": 1}
    assert resolve(store, "a:prod").path == "/1"
    record = store.alias_record("a", "prod")
    assert record is not None
    assert (record["by"], record["reason"]) == ("bob", "v2 is worse")
    assert [(entry["version"], entry["by"]) for entry in record["history"]] == [
        (2, "ada"),
        (1, "bob"),
    ]
    with pytest.raises(ArtifactVersionNotFoundError, match=r"v1, v2, prod \(v1\)"):
        store.set_alias("a", "test", 3, by="ada")
    for alias in ("latest", "v3", "3", "", "../x", "a b", "a\n", "_x"):
        with pytest.raises(StoreNameError):
            store.set_alias("a", alias, 1, by="ada")


def test_what_was_revoked_is_refused_with_all_below_it(store: Store) -> None:
    store.add_version("data", VersionDraft(path="/1"))
    store.add_version("data", VersionDraft(path="/2"))
    store.add_version("model", VersionDraft(path="/m", used_artifacts=("data:v1", "gone:v3")))
    store.add_version("report", VersionDraft(path="/r", used_artifacts=("model:v1", "wandb:///x")))
    first = store.revoke("data", 1, by="ada", reason="leaks the test set")
    assert store.revoke("data", 1, by="bob", reason="another") == first
    assert store.is_revoked("data", 1) == first
    assert store.is_revoked("data", 2) is None
    assert store.revoked_versions() == {("data", 1)}
    for text in ("data:v1", "model", "report:v1"):
        with pytest.raises(ArtifactRevokedError, match="leaks the test set") as caught:
            resolve(store, text)
        assert caught.value.revoked == "data:v1"
    assert resolve(store, "data").version == 2
    with pytest.raises(ArtifactRevokedError):
        store.set_alias("report", "prod", 1, by="ada")
    with pytest.raises(ArtifactVersionNotFoundError):
        store.revoke("data", 9, by="ada", reason="x")


def test_what_is_gone_is_marked(store: Store) -> None:
    store.add_version("a", VersionDraft(path="/1"))
    assert store.gone("a", 1) is None
    store.mark_gone("a", 1, "overwritten by v2")
    store.mark_gone("a", 1, "deleted")
    assert store.gone("a", 1) == "overwritten by v2"


def test_runs(store: Store) -> None:
    store.write_run("2026-run", {"state": "running"})
    store.write_run("2026-run", {"state": "ended"})
    assert store.runs() == ["2026-run"]
    assert store.read_run("2026-run") == {"state": "ended"}


def test_who_holds_what_below_a_prefix(store: Store) -> None:
    assert store.lease_holders("pipelines") == []
    ids = [f"pipelines/{name}" for name in ("b", "a", "c", "a/deeper")]
    held = {each: store.acquire(each, {"of": each}) for each in [*ids, "other/a"]}
    first = held["pipelines/a"]
    assert isinstance(first, Lease)
    first.release()
    again(store).acquire("pipelines/a", {"of": "again"})
    last = held["pipelines/c"]
    assert isinstance(last, Lease)
    last.release()
    found = [
        (each.lease_id, each.holder["of"], each.generation)
        for each in store.lease_holders("pipelines")
    ]
    assert found == [
        ("pipelines/a", "again", 2),
        ("pipelines/a/deeper", "pipelines/a/deeper", 1),
        ("pipelines/b", "pipelines/b", 1),
    ]


def test_two_contend_for_a_lease(store: Store) -> None:
    lease = store.acquire(f"a/{KEY}", {"user": "ada"})
    assert isinstance(lease, Lease)
    held = store.acquire(f"a/{KEY}", {"user": "bob"})
    assert isinstance(held, HeldLease)
    assert held.holder == {"user": "ada"}
    assert store.lease_holder(f"a/{KEY}") == held
    lease.beat()
    assert lease.is_mine()
    lease.release()
    lease.release()
    assert not lease.is_mine()
    assert store.lease_holder(f"a/{KEY}") is None
    with pytest.raises(RuntimeError), _taken(store, f"a/{KEY}"):
        assert store.lease_holder(f"a/{KEY}") is not None
        raise RuntimeError
    assert store.lease_holder(f"a/{KEY}") is None


def _taken(store: Store, lease_id: str) -> Lease:
    lease = store.acquire(lease_id, {"user": "ada"})
    assert isinstance(lease, Lease)
    return lease


def test_a_holder_elsewhere_lives_as_long_as_it_beats(store: Store) -> None:
    beating = _taken(store, "a/beating")
    silent = _taken(store, "a/silent")
    for lease in (beating, silent):
        elsewhere = {**lease._document, "machine": "another", "ttl": 3}
        lease._document = elsewhere
        lease._backend.write(lease._path, json.dumps(elsewhere).encode())
    assert isinstance(store.acquire("a/silent", {}), HeldLease)
    with beating:
        while isinstance(taken := store.acquire("a/silent", {}), HeldLease):
            assert isinstance(store.acquire("a/beating", {}), HeldLease)
        assert isinstance(store.acquire("a/beating", {}), HeldLease)
        assert beating.is_mine()
    assert taken.is_mine()
    assert not silent.is_mine()
    silent.beat()  # it does not know yet; nobody is misled
    silent.release()
    assert taken.is_mine()
    assert isinstance(store.acquire("a/silent", {}), HeldLease)


NASTY = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "../x",
    "a/../b",
    "a/..",
    "a//b",
    "a/",
    "./a",
    ".a",
    "a/.b",
    "a\0b",
    "a\nb",
    "a\n",
    "a b",
    "a;echo",
    "ünï",
    "a\\b",
    "a:b",
    "latest",
    "keys/a",
    "a/aliases",
    "a/v3",
    "v3/a",
    "_leases",
    "a/_b",
    "x" * 300,
    "-rf",
]


def test_nasty_names_are_refused(store: Store) -> None:
    for name in NASTY:
        calls: list[Callable[[str], object]] = [
            lambda name: store.add_version(name, VersionDraft(path="/x")),
            store.latest,
            store.versions,
            lambda name: store.manifest(name, 1),
            lambda name: store.find_key(name, KEY),
            lambda name: store.set_alias(name, "prod", 1, by="x"),
            lambda name: store.revoke(name, 1, by="x", reason="y"),
            lambda name: store.latest_manifests([name]),
        ]
        for call in calls:
            with pytest.raises(StoreNameError):
                call(name)
    assert store._backend.files("") == []


def test_nasty_keys_runs_and_leases_are_refused(store: Store) -> None:
    for text in ("", "..", "../x", "/x", "a\n", ".x", "_x", "x" * 300):
        with pytest.raises(StoreNameError):
            store.find_key("a", text)
        with pytest.raises(StoreNameError):
            store.write_run(text, {})
        with pytest.raises(StoreNameError):
            store.acquire(text, {})
    with pytest.raises(StoreNameError):
        store.find_key("a", "a/b")
    assert store._backend.files("") == []


def test_what_json_cannot_say_is_refused_before_anything_is_written(store: Store) -> None:
    for draft in (
        VersionDraft(path="/x", metadata={"x": object()}),
        VersionDraft(path="/x", document={"x": object()}),
        VersionDraft(path="/x", extra={"key": "taken"}),
    ):
        with pytest.raises(StoreError):
            store.add_version("a", draft)
    assert store._backend.files("") == []


def test_a_plan_over_many_artifacts_takes_few_requests(store: Store) -> None:
    names = [f"n/{index}" for index in range(12)]
    for name in names:
        for _ in range(3):
            version = store.add_version(name, VersionDraft(path="/x", key=KEY))
            store.set_key(name, KEY, record_of(version))
    store._backend.write("n/3/latest", b"v1")
    reader = again(store)
    before = reader.request_count
    reader.prefetch([*names, "new"])
    # A listing and two batches; on the Hub each of these asks for the head first.
    assert reader.request_count - before <= 2 * len(names) + 5
    before = reader.request_count
    assert {m.version for m in reader.latest_manifests([*names, "new"]).values()} == {3}
    assert len(reader.find_keys([(name, KEY) for name in [*names, "new"]])) == len(names)
    assert reader.find_key("n/1", "f" * 64) is None
    if not store.is_local:
        assert reader.request_count == before
        # What this very store writes is seen at once.
        reader.set_key("n/1", "f" * 64, record_of(reader.manifest("n/1", 1)))
    else:
        store.set_key("n/1", "f" * 64, record_of(store.manifest("n/1", 1)))
    assert reader.find_key("n/1", "f" * 64) is not None


def test_a_version_costs_three_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path))
    store.add_version("a", VersionDraft(path="/x"))
    synced: list[str] = []
    sync = os.fsync

    def counted(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    store.add_version("a", VersionDraft(path="/x"))
    folder = str(tmp_path / "a" / "v2")
    # The bytes of both files, then the names of both.
    assert [path == folder for path in synced] == [False, False, True]


def test_a_label_that_cannot_be_is_named_for_what_it_is(store: Store) -> None:
    store.add_version("a", VersionDraft(path="/x"))
    with pytest.raises(StoreNameError, match="'v3' cannot be an alias; write letters"):
        store.set_alias("a", "v3", 1, by="ada")
    with pytest.raises(StoreNameError, match="'a/b' cannot be a key; write letters"):
        store.find_key("a", "a/b")
