"""What a job is told of where it runs and what it is made from, and its versions tell others."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.job_context import ContentMode, JobInput
from nemo_runspec.artifacts.settings import ArtifactsSettings, user_name
from nemo_runspec.artifacts.view import StoreView
from nemo_runspec.config.loader import RUN_SECTION
from nemo_runspec.execution.environment import GIT_VARIABLE
from nemo_runspec.execution.node_python import count_gpus
from nemo_runspec.jobs import JobPaths
from nemo_runspec.masking import is_secret_name
from nemo_runspec.pipeline.submit import ComposedJob
from nemo_runspec.store import Manifest
from nemo_runspec.utils import find_repository_root


@dataclass(frozen=True)
class GitFacts:
    """Which commit the working tree is at, and whether it differs; None outside of a repository."""

    commit: str | None = None
    dirty: bool | None = None


def git_facts(start: Path | None = None) -> GitFacts:
    """What git says of the repository around a folder (default: the working directory).

    Where another machine sent the command, it also sent what git says there.
    """
    told = os.environ.get(GIT_VARIABLE)
    if told:
        return GitFacts(**json.loads(told))
    root = find_repository_root(start)
    if root is None or not (root / ".git").exists():
        return GitFacts()
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "status", "--porcelain")
    except OSError:
        return GitFacts()  # there is no git here
    if commit is None or changes is None:
        return GitFacts()
    return GitFacts(commit, bool(changes))


def run_facts(
    composed: ComposedJob, paths: JobPaths, git: GitFacts, *, address: str | None, started_at: str
) -> dict[str, Any]:
    """What the manifests of a job's versions say about it, as far as it is known at its start."""
    resources = composed.bundle.spec.resources
    profile = composed.profile
    nodes = 1 if composed.is_local else int(profile.get("nodes") or resources.nodes)
    gpus: Any = profile.get("gpus_per_node")
    gpus = resources.gpus_per_node if gpus is None else gpus
    if composed.is_local:
        here = count_gpus()
        gpus = here if isinstance(gpus, str) else min(int(gpus), here)
    return {
        "user": user_name(),
        "host": socket.gethostname(),
        "commit": git.commit,
        "dirty": git.dirty,
        "profile": composed.job_config[RUN_SECTION].get("profile"),
        "bundle": composed.bundle.document.digest,
        "recipe": composed.bundle.document.recipe,
        "address": address,
        "nodes": nodes,
        "gpus": gpus,
        "job": str(paths.folder),
        "log": str(paths.log),
        "started_at": started_at,
    }


def pipeline_id(folder: Path) -> str:
    """What a pipeline is called in a store, where those of other users and clones are, too."""
    told = f"{user_name()} {folder.absolute()}"
    return f"{folder.name}-{hashlib.sha256(told.encode('utf-8', 'replace')).hexdigest()[:8]}"


def store_of(view: StoreView, settings: ArtifactsSettings) -> dict[str, Any]:
    """What opens the store in a job: the first fields of its context. Secrets stay out of it."""
    options = dict(settings.storage_options or {})
    told = {key: value for key, value in options.items() if not is_secret_name(str(key))}
    return {"root": view.store.root, "shared": settings.shared, "storage_options": told}


def job_input(view: StoreView, manifest: Manifest, identity: str | None = None) -> JobInput:
    """A version of the store as a job's pinned input."""
    metadata = dict(view.store.metadata(manifest.name, manifest.version))
    iteration = manifest.extra.get("iteration")
    if iteration is not None:
        metadata.setdefault("iteration", iteration)
    return JobInput(
        name=manifest.name,
        version=manifest.version,
        path=manifest.path,
        type=manifest.type,
        metadata=metadata,
        identity=identity or manifest.identity,
    )


def content_mode(text: str) -> ContentMode:
    """A target's `content` as the mode that it is."""
    modes: dict[str, ContentMode] = {"hash": "hash", "stat": "stat", "none": "none"}
    return modes[text]


def time_text(at: float | None = None) -> str:
    """A moment, in seconds since the epoch, or this one: ISO 8601 with zone."""
    moment = datetime.now(timezone.utc) if at is None else datetime.fromtimestamp(at, timezone.utc)
    return moment.astimezone().isoformat()


def _git(root: Path, *arguments: str) -> str | None:
    done = subprocess.run(
        ["git", "--no-optional-locks", "-C", str(root), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return None if done.returncode else done.stdout.strip()
