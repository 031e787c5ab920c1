"""Provenance as others read it.

The schema below was written from the specifications, for there is no JSON Schema of theirs: in-toto
Statement v1.1, ResourceDescriptor and DigestSet v1.1 (the repository in-toto/attestation, spec/v1),
and SLSA v1.0's provenance.proto, whose messages are all fields that there are.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from nemo_runspec.exceptions import ArtifactNotFoundError, UsageError
from nemo_runspec.provenance.command import run_provenance
from nemo_runspec.provenance.digests import digest_of
from nemo_runspec.provenance.statement import statement
from nemo_runspec.store import Manifest, Store, VersionDraft, open_store

TEXT = {"type": "string", "minLength": 1}
URI = {"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$"}
URI_REFERENCE = {"type": "string", "pattern": r"^[!-~]+$"}
HEX = {"type": "string", "pattern": "^[0-9a-f]+$"}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$"}
DIGESTS = {
    "type": "object",
    "minProperties": 1,
    "properties": {
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "gitCommit": {"type": "string", "pattern": "^([0-9a-f]{40}|[0-9a-f]{64})$"},
    },
    "additionalProperties": HEX,
}
RESOURCE = {
    "type": "object",
    "properties": {
        "name": TEXT,
        "uri": URI_REFERENCE,
        "digest": DIGESTS,
        "content": {"type": "string"},
        "downloadLocation": URI,
        "mediaType": TEXT,
        "annotations": {"type": "object"},
    },
    "additionalProperties": False,
    "anyOf": [{"required": ["uri"]}, {"required": ["digest"]}, {"required": ["content"]}],
}
RESOURCES = {"type": "array", "items": RESOURCE}
SCHEMA = {
    "type": "object",
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {
            "type": "array",
            "minItems": 1,
            "items": {**RESOURCE, "required": ["digest"]},
        },
        "predicateType": {"const": "https://slsa.dev/provenance/v1"},
        "predicate": {
            "type": "object",
            "properties": {
                "buildDefinition": {
                    "type": "object",
                    "properties": {
                        "buildType": URI,
                        "externalParameters": {"type": "object"},
                        "internalParameters": {"type": "object"},
                        "resolvedDependencies": RESOURCES,
                    },
                    "required": ["buildType", "externalParameters"],
                    "additionalProperties": False,
                },
                "runDetails": {
                    "type": "object",
                    "properties": {
                        "builder": {
                            "type": "object",
                            "properties": {
                                "id": URI,
                                "version": {"type": "object", "additionalProperties": TEXT},
                                "builderDependencies": RESOURCES,
                            },
                            "required": ["id"],
                            "additionalProperties": False,
                        },
                        "metadata": {
                            "type": "object",
                            "properties": {
                                "invocationId": TEXT,
                                "startedOn": TIME,
                                "finishedOn": TIME,
                            },
                            "additionalProperties": False,
                        },
                        "byproducts": RESOURCES,
                    },
                    "required": ["builder"],
                    "additionalProperties": False,
                },
            },
            "required": ["buildDefinition", "runDetails"],
            "additionalProperties": False,
        },
    },
    "required": ["_type", "subject", "predicateType", "predicate"],
    "additionalProperties": False,
}

SHA = "sha256:" + "a" * 64
COMMIT = "9a4f6c0ff1b25739cf52baa723edbad1b84a4dec"
PARTS = {
    "recipe": "src/recipes:train",
    "code": "c" * 64,
    "command": {
        "launch": "torchrun",
        "cmd": None,
        "workdir": None,
        "passthrough": ["--fast", "a b"],
    },
    "env": {"OMP_NUM_THREADS": "1"},
    "environment": {"image": "nvcr.io/x/y:1@sha256:" + "d" * 64, "constraints": ["CPython>=3.11"]},
    "external": [["hf://datasets/a b/ünï", "etag:123"], ["data/raw.txt", "sha256:" + "e" * 64]],
    "inputs": [["data", "team/data", "sha256:" + "f" * 64], [None, "tokens", None]],
    "config": {"lr": 0.1, "password": "hunter22", "data": "${art:data,path}"},
}
RUN = {
    "id": "0123",
    "user": "ada",
    "host": "node 1",
    "commit": COMMIT,
    "dirty": True,
    "recipe": "src/recipes:train",
    "address": "src/recipes:model",
    "profile": "prod",
    "bundle": "b" * 64,
    "log": "/jobs/a b/logs/job.log",
    "started_at": "2026-11-21T14:09:24.461775+01:00",
    "ended_at": "2026-11-21T14:10:11+01:00",
    "nodes": 2,
    "gpus": 8,
}
EXPLAIN = {
    "files": {"src/recipes/train.py": "1" * 64},
    "requirements": {"Ruamel_Yaml.clib": "0.2.8+local", "numpy": "2.5.5"},
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def made(store: Store, **more: Any) -> Manifest:
    store.add_version("team/data", VersionDraft(path="/data", content="sha256:" + "f" * 64))
    store.add_version("tokens", VersionDraft(path="/tokens", content=None, key="2" * 64))
    draft: dict[str, Any] = {
        "path": "/model",
        "type": "ModelArtifact",
        "content": SHA,
        "key": "0" * 64,
        "parts": PARTS,
        "explain": EXPLAIN,
        "run": RUN,
        "used_artifacts": ("team/data:v1", "tokens:v1", "elsewhere:v7"),
        "inputs": ("hf://nvidia/books",),
    }
    return store.add_version("model", VersionDraft(**{**draft, **more}))


def printed(
    store: Store, capsys: pytest.CaptureFixture[str], reference: str = "model"
) -> dict[str, Any]:
    assert run_provenance([reference, "--store", store.root]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    document: dict[str, Any] = json.loads(out)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return document


def test_the_schema_refuses_what_is_none() -> None:
    for wrong in (
        {},
        {"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "x"}]},
    ):
        assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(wrong)


def test_a_whole_one(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    made(store)
    store.attach("model", 1, "metrics.jsonl", b"{}\n")
    store.attach("model", 1, "card-1.html", b"<p>")
    document = printed(store, capsys)
    (subject,) = document["subject"]
    assert (subject["name"], subject["uri"]) == ("model:v1", "art://model:v1")
    assert subject["digest"] == {"sha256": "a" * 64}
    definition = document["predicate"]["buildDefinition"]
    assert definition["buildType"] == "pkg:pypi/nemo-runspec#build/v1"
    assert definition["externalParameters"] == {
        "recipe": "src/recipes:train",
        "artifact": "src/recipes:model",
        "profile": "prod",
        "config": {"lr": 0.1, "password": "******", "data": "${art:data,path}"},
        "arguments": ["--fast", "a b"],
        "env": {"OMP_NUM_THREADS": "1"},
    }
    internal = definition["internalParameters"]
    assert (internal["key"], internal["launch"], internal["host"]) == (
        "0" * 64,
        "torchrun",
        "node 1",
    )
    dependencies = {each["name"]: each for each in definition["resolvedDependencies"]}
    assert dependencies["source"]["digest"] == {"gitCommit": COMMIT}
    assert dependencies["source"]["annotations"] == {"dirty": True}
    assert dependencies["src/recipes/train.py"]["digest"] == {"runspecSource1": "1" * 64}
    assert dependencies["team/data:v1"] == {
        "name": "team/data:v1",
        "uri": "art://team/data:v1",
        "digest": {"sha256": "f" * 64},
    }
    assert dependencies["tokens:v1"]["digest"] == {"runspecKey1": "2" * 64}
    assert "digest" not in dependencies["elsewhere:v7"]
    assert dependencies["numpy"]["uri"] == "pkg:pypi/numpy@2.5.5"
    assert dependencies["Ruamel_Yaml.clib"]["uri"] == "pkg:pypi/ruamel-yaml-clib@0.2.8%2Blocal"
    assert dependencies["image"]["digest"] == {"sha256": "d" * 64}
    external = dependencies["hf://datasets/a b/ünï"]
    assert external["uri"] == "hf://datasets/a%20b/%C3%BCn%C3%AF"
    assert external["digest"] == {"runspecFingerprint1": hashlib.sha256(b"etag:123").hexdigest()}
    assert dependencies["hf://nvidia/books"] == {
        "name": "hf://nvidia/books",
        "uri": "hf://nvidia/books",
    }
    details = document["predicate"]["runDetails"]
    assert details["metadata"] == {
        "invocationId": "0123",
        "startedOn": "2026-11-21T13:09:24.461775Z",
        "finishedOn": "2026-11-21T13:10:11Z",
    }
    byproducts = {each["name"]: each for each in details["byproducts"]}
    assert byproducts["log"]["uri"] == "file://node%201/jobs/a%20b/logs/job.log"
    assert byproducts["card-1.html"]["digest"] == {"sha256": hashlib.sha256(b"<p>").hexdigest()}
    assert set(byproducts) == {"log", "card-1.html", "metrics.jsonl"}


@pytest.mark.parametrize(
    ("draft", "algorithm", "meaning"),
    [
        ({"content": SHA}, "sha256", "canonical list"),
        ({"content": "stat:" + "9" * 64}, "runspecStat1", "not what is in them"),
        ({"content": None}, "runspecKey1", "no digest of the content"),
        ({"content": None, "key": None}, "runspecIdentity1", "no digest of the content"),
        ({"content": "stat:/checkpoints@5@17"}, "runspecIdentity1", "no digest of the content"),
    ],
)
def test_what_the_digest_is_one_of_is_said(
    draft: dict[str, Any],
    algorithm: str,
    meaning: str,
    store: Store,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made(store, **draft)
    (subject,) = printed(store, capsys)["subject"]
    assert list(subject["digest"]) == [algorithm]
    assert meaning in subject["annotations"]["digestOf"]


def test_equal_content_is_an_equal_subject() -> None:
    assert digest_of(SHA) == digest_of(SHA) != digest_of("sha256:" + "b" * 64)
    assert digest_of("version:a:v1@now") != digest_of("version:a:v2@now")


def test_one_that_was_added_by_hand(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.add_version("books", VersionDraft(path="/books"))
    document = printed(store, capsys, "books:v1")
    definition = document["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {}
    assert definition["resolvedDependencies"] == []
    assert set(document["predicate"]["runDetails"]["metadata"]) == {"finishedOn"}


@pytest.mark.parametrize(
    "odd",
    [
        {"parts": {"inputs": [1, ["a"]], "external": [None, ["x"]], "environment": None}},
        {"run": {"commit": "unknown", "started_at": "yesterday", "log": "C:\\x"}},
        {"explain": {"files": None, "requirements": None}},
        {"run": {"commit": None, "host": "ünï; echo foo"}, "parts": {"config": "\ud800"}},
        {"inputs": ("https://user:hunter22@host/x?y=%20z", "a\nb", "\ud800")},
    ],
)
def test_manifests_of_others(
    odd: dict[str, Any], store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    made(store, **odd)
    assert "hunter22" not in json.dumps(printed(store, capsys))


def test_to_a_file(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = made(store)
    path = tmp_path / "model.intoto.json"
    assert run_provenance(["model:v1", f"--output={path}", f"--store={store.root}"]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    data = store.manifests([("team/data", 1), ("tokens", 1)])
    assert json.loads(path.read_text()) == json.loads(json.dumps(statement(manifest, data, {})))


def test_what_cannot_be_told(store: Store, tmp_path: Path) -> None:
    made(store)
    with pytest.raises(ArtifactNotFoundError, match="did you mean 'model'"):
        run_provenance(["modle", f"--store={store.root}"])
    with pytest.raises(UsageError, match="cannot be written: "):
        run_provenance(["model", f"--store={store.root}", f"--output={tmp_path}/no/folder"])
    with pytest.raises(UsageError):
        run_provenance([])
