"""The events of jobs: each from what its folder and the versions that it made say of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from nemo_runspec.artifacts.job_context import JobContext, read_job_context
from nemo_runspec.jobs import JobPaths
from nemo_runspec.masking import mask_secrets
from nemo_runspec.openlineage.events import State, run_event
from nemo_runspec.openlineage.runs import (
    JobName,
    LineageRun,
    run_of_context,
    run_of_manifests,
)
from nemo_runspec.store.model import Manifest

Manifests = Callable[[], Sequence[Manifest]]


@dataclass(frozen=True)
class JobEvents:
    """Makes the events of the jobs of one store; for the thread that sends them.

    Args:
        namespace: the jobs' namespace.
        parent: the pipeline that they are part of.
        folder: a folder of the repository.
    """

    namespace: str
    parent: JobName | None = None
    folder: Path = field(default_factory=Path.cwd)

    def start(self, paths: JobPaths) -> Iterator[Any]:
        """That a job runs; nothing of one that is told of no store.

        Args:
            paths: its folder.
        """
        found = self._context(paths)
        if found is not None:
            _, run = found
            yield run_event(run, State.START, at=run.started_at)

    def complete(self, paths: JobPaths, made: Manifests, at: str) -> Iterator[Any]:
        """That a job ended well.

        Args:
            paths: its folder.
            made: gives the manifests of the versions that it made.
            at: when, ISO 8601 with zone.
        """
        found = self._context(paths)
        if found is not None:
            context, run = found
            yield run_event(self._with_outputs(context, run, made()), State.COMPLETE, at=at)

    def end(self, paths: JobPaths, state: State, why: str, at: str) -> Iterator[Any]:
        """That a job failed or was ended.

        Args:
            paths: its folder.
            state: FAIL or ABORT.
            why: one line.
            at: when, ISO 8601 with zone.
        """
        found = self._context(paths)
        if found is not None:
            yield run_event(found[1], state, at=at, error=str(mask_secrets(why)))

    def recorded(self, manifest: Manifest, root: str) -> Iterator[Any]:
        """The whole run of a version that no job of ours was seen making.

        Args:
            manifest: the version's.
            root: the store's root.
        """
        run = run_of_manifests(
            [manifest], root, self.namespace, parent=self.parent, repository=self.repository
        )
        yield run_event(replace(run, outputs=(), ended_at=None), State.START, at=run.started_at)
        yield run_event(run, State.COMPLETE, at=run.ended_at or run.started_at)

    @cached_property
    def repository(self) -> str | None:
        """The URL of the repository, without who may read it; None where there is none."""
        try:
            done = subprocess.run(
                ["git", "-C", str(self.folder), "remote", "get-url", "origin"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                check=False,
            )
        except OSError:
            return None  # there is no git here
        return _without_user(done.stdout.strip()) or None

    def _context(self, paths: JobPaths) -> tuple[JobContext, LineageRun] | None:
        if not os.path.exists(paths.context):
            return None
        context = read_job_context(paths.context)
        run = run_of_context(
            context, self.namespace, parent=self.parent, repository=self.repository
        )
        return context, run

    def _with_outputs(
        self, context: JobContext, run: LineageRun, made: Sequence[Manifest]
    ) -> LineageRun:
        if not made:
            return run
        kinds = {item.reference: item.type for item in context.input_list}
        kinds.update((item.reference, item.type) for item in context.inputs.values())
        ended = run_of_manifests(
            made, context.root or "", self.namespace, kinds=kinds, repository=self.repository
        )
        known = {each.name for each in run.inputs}
        more = tuple(each for each in ended.inputs if each.name not in known)
        return replace(
            run, inputs=(*run.inputs, *more), outputs=ended.outputs, ended_at=ended.ended_at
        )


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    if not parts.scheme or "@" not in parts.netloc:
        return str(mask_secrets(url))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
