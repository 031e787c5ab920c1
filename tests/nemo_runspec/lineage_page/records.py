"""Versions as jobs record them, made by hand."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from nemo_runspec.lineage.model import Kind, LineageNode, Spent, State

OLD_COMMIT = "9a4f6c0ff1b25739cf52baa723edbad1b84a4dec"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def manifest(
    name: str,
    version: int,
    *,
    type_: str = "ModelArtifact",
    config: Mapping[str, Any] | None = None,
    inputs: Sequence[tuple[str | None, str]] = (),
    files: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    commit: str = OLD_COMMIT,
    dirty: bool = False,
    user: str = "mira",
) -> dict[str, Any]:
    """A manifest as a job's record is: ``files`` maps paths to the text of each."""
    files = {"src/recipes/nano3/training.py": "train", **(files or {})}
    return {
        "schema": "1",
        "name": name,
        "version": version,
        "type": type_,
        "path": f"/lustre/team/outputs/{name}/{version}",
        "created_at": f"2026-11-{10 + version:02d}T14:08:29.111409+00:00",
        "producer": f"20261121-140828-{name.replace('/', '-')}",
        "metadata": dict(metadata or {}),
        "key": digest(f"{name} {version}"),
        "parts": {
            "code": digest(repr(files)),
            "command": {"launch": "direct", "cmd": None, "workdir": None, "passthrough": []},
            "env": {"OMP_NUM_THREADS": "1"},
            "environment": {
                "constraints": ["CPython>=3.11"],
                "image": None,
                "requirements": digest("requirements"),
            },
            "external": [],
            "inputs": [[key, other, f"sha256:{digest(other)}"] for key, other in inputs],
            "recipe": "src/recipes/nano3:train-sft",
            "config": dict(config or {}),
        },
        "explain": {
            "files": {path: digest(text) for path, text in files.items()},
            "requirements": {"numpy": "2.5.5", "omegaconf": "2.4.0", "pyyaml": "6.0.3"},
            "env": {},
            "inputs": {other if key is None else f"{key}={other}": "v1" for key, other in inputs},
        },
        "content": f"sha256:{digest(f'content {name} {version}')}",
        "run": {
            "user": user,
            "host": "node-17",
            "commit": commit,
            "dirty": dirty,
            "profile": "prod",
            "recipe": "src/recipes/nano3:train-sft",
            "address": f"src/recipes/nano3:{name.split('-', 1)[-1]}",
            "nodes": 2,
            "gpus": 8,
            "job": f"/lustre/team/jobs/20261121-140828-{name.replace('/', '-')}",
            "started_at": "2026-11-21T13:20:28.356763+00:00",
            "ended_at": "2026-11-21T14:08:29.110824+00:00",
        },
    }


def version(
    name: str, number: int = 1, state: State = State.RECORDED, **fields: Any
) -> LineageNode:
    """A node of a version; ``document`` is made of what :func:`manifest` takes."""
    of_manifest = {
        key: fields.pop(key)
        for key in ("type_", "config", "inputs", "files", "metadata", "commit", "dirty", "user")
        if key in fields
    }
    fields.setdefault("document", manifest(name, number, **of_manifest))
    fields.setdefault("spent", Spent(seconds=2881.0, gpu_hours=12.8, nodes=2, gpus=8))
    return LineageNode(
        id=f"{name}:v{number}", kind=Kind.VERSION, name=name, state=state, version=number, **fields
    )


def loss(steps: int, start: float) -> tuple[tuple[int | None, float, str], ...]:
    rng = random.Random(steps)
    return tuple(
        (step, start * math.exp(-3 * step / steps) + rng.random() * 0.08, "2026-11-21T14:00:00Z")
        for step in range(0, steps * 10, 10)
    )
