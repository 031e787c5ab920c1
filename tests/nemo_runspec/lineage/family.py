"""Stores with versions that were made from each other, as builds leave them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nemo_runspec.store import KeyRecord, Manifest, Store, VersionDraft

COMMIT = "c0ffee" + 34 * "0"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Family:
    """Versions of a store, by what they are called.

    Attributes:
        store: the store.
        made: by ``name:vN``.
    """

    store: Store
    made: dict[str, Manifest] = field(default_factory=dict)

    def add(
        self,
        name: str,
        used: Sequence[str] = (),
        *,
        config: Mapping[str, Any] | None = None,
        files: Mapping[str, str] | None = None,
        keys: Sequence[str | None] | None = None,
        type: str = "Artifact",
        metadata: Mapping[str, Any] | None = None,
        inputs: Sequence[str] = (),
        run: Mapping[str, Any] | None = None,
        content: str | None = None,
    ) -> Manifest:
        """A build of a version, with the key that answers to it.

        Args:
            name: the artifact.
            used: ``name:vN`` of each that it was made from.
            config: its config.
            files: what its source files hold.
            keys: the keys of the ``run`` section that name its inputs; default: the names.
            type: its class.
            metadata: its fields.
            inputs: URLs of what it was made from, too.
            run: more facts of its job.
            content: what its data is; default: its key.
        """
        sources = {path: digest(text) for path, text in (files or {"train.py": "1"}).items()}
        named = [None if keys is None else keys[n] for n in range(len(used))]
        named = [each.partition(":")[0] for each in used] if keys is None else named
        parts = {
            "recipe": f"src:{name}",
            "code": digest(str(sorted(sources.items()))),
            "config": dict(config or {}),
            "environment": {"requirements": digest("numpy"), "image": None},
            "inputs": [
                [key, one.partition(":")[0], self.made[one].identity]
                for key, one in zip(named, used, strict=True)
                if one in self.made
            ],
        }
        key = digest(f"{name} {parts}")
        draft = VersionDraft(
            path=f"/data/{name}",
            type=type,
            metadata=dict(metadata or {}),
            used_artifacts=tuple(used),
            inputs=tuple(inputs),
            key=key,
            parts=parts,
            explain={
                "files": sources,
                "requirements": {"numpy": "1"},
                "inputs": {
                    f"{key}={one.partition(':')[0]}": one.partition(":")[2]
                    for key, one in zip(named, used, strict=True)
                },
            },
            content=f"sha256:{digest(content if content is not None else key)}",
            run={
                "user": "ada",
                "host": "node1",
                "commit": COMMIT,
                "dirty": False,
                "profile": "prod",
                "recipe": f"src:{name}",
                "seconds": 60.0,
                "gpu_hours": 2.0,
                "nodes": 1,
                "gpus": 8,
                "job": f"/jobs/{name}",
                **(run or {}),
            },
        )
        manifest = self.store.add_version(name, draft)
        record = KeyRecord(
            manifest.version, manifest.identity, manifest.path, manifest.content, "2026-01-01"
        )
        self.store.set_key(name, key, record)
        self.made[manifest.reference] = manifest
        return manifest


def grow(store: Store) -> Family:
    """books (by hand) and rules -> tokens -> model -> scores, the model once more, and a rival."""
    family = Family(store)
    family.made["books:v1"] = store.add_version(
        "books", VersionDraft(path="/data/books", type="DataArtifact", run={"user": "bob"})
    )
    family.add("tokens", ["books:v1"], type="DataArtifact", inputs=["s3://open/rules.json"])
    for rate in (0.1, 0.2):
        family.add(
            "model",
            ["tokens:v1"],
            keys=["data"],
            config={"lr": rate, "steps": 10},
            type="ModelArtifact",
            metadata={"loss": rate, "n": {"tokens": 7}},
        )
    family.add("rival", ["tokens:v1"], type="ModelArtifact", keys=["data"])
    family.add("scores", ["model:v2", "tokens:v1"], keys=["model", "data"], type="EvalArtifact")
    return family
