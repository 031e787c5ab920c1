"""The record of a pipeline in its store: what was asked for, and the version of each artifact.

``_runs/{id}.json`` has ``kind`` (``pipeline``), ``id``, ``folder``, ``user``, ``host``, ``commit``,
``dirty``, ``profile``, ``roots`` (addresses), ``started_at``, ``ended_at`` and ``exit_code`` (both
null while it runs) and ``steps``: ``address``, ``name``, ``recipe``, ``version`` (``name:vN``) and
``built`` (false: it was fresh) of each artifact that there is a version of. The records of its
jobs have its id as ``pipeline``.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.settings import user_name
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.pipeline.decide import Made
from nemo_runspec.pipeline.facts import GitFacts, pipeline_id, time_text
from nemo_runspec.pipeline.setting import Pipeline
from nemo_runspec.store import Store
from runspec.plan import PlanArtifact

KIND = "pipeline"


@dataclass(frozen=True)
class RunRecord:
    """A pipeline's record: a store that cannot take it takes nothing from the pipeline.

    Args:
        store: where it is kept.
        facts: what was known when it began.
    """

    store: Store
    facts: Mapping[str, Any]

    @classmethod
    def begin(cls, pipeline: Pipeline, folder: Path, git: GitFacts) -> RunRecord:
        """Note that a pipeline runs: anew, or again where its supervisor was lost.

        Args:
            pipeline: the plan and its store.
            folder: the pipeline's.
            git: the working tree's commit.
        """
        store, own_id = pipeline.view.store, pipeline_id(folder)
        before: Mapping[str, Any] = {}
        with contextlib.suppress(NemoRunspecError):
            before = store.read_run(own_id) or {}
        record = cls(
            store,
            {
                "kind": KIND,
                "id": own_id,
                "folder": str(folder),
                "user": user_name(),
                "host": socket.gethostname(),
                "commit": git.commit,
                "dirty": git.dirty,
                "profile": pipeline.profile_name,
                "roots": sorted(pipeline.graph.roots),
                "started_at": before.get("started_at") or time_text(),
            },
        )
        record._write(ended_at=None, exit_code=None, steps=[])
        return record

    def end(self, steps: Iterable[tuple[PlanArtifact, Made, bool]], exit_code: int) -> None:
        """Note how it ended, and what there is by now.

        Args:
            steps: artifacts, the version of each, and whether this run made it.
            exit_code: the pipeline's.
        """
        told = [
            {
                "address": artifact.address,
                "name": made.name,
                "recipe": artifact.recipe,
                "version": made.reference,
                "built": is_built,
            }
            for artifact, made, is_built in steps
        ]
        self._write(ended_at=time_text(), exit_code=exit_code, steps=told)

    def _write(self, **more: Any) -> None:
        with contextlib.suppress(NemoRunspecError):
            self.store.write_run(str(self.facts["id"]), {**self.facts, **more})
