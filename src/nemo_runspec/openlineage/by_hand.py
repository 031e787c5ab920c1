"""The events of a recipe that is run by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from nemo_runspec.artifacts.job_context import read_records
from nemo_runspec.artifacts.view import StoreView
from nemo_runspec.execution.protocol import State as JobState
from nemo_runspec.execution.protocol import Status
from nemo_runspec.jobs import JobPaths
from nemo_runspec.openlineage.emitter import Emitter
from nemo_runspec.openlineage.events import State
from nemo_runspec.openlineage.jobs import JobEvents
from nemo_runspec.openlineage.settings import configured_by, namespace
from nemo_runspec.pipeline.facts import time_text
from nemo_runspec.store import Manifest

_ENDED = {
    JobState.CANCELLED: State.ABORT,
    JobState.FAILED: State.FAIL,
    JobState.LOST: State.FAIL,
    JobState.UNFINISHED: State.ABORT,
}


@dataclass(frozen=True)
class RecipeLineage:
    """Tells OpenLineage of a recipe's jobs.

    Args:
        view: the store; None where versions are not recorded.
        emitter: sends the events; None where nobody wants them.
    """

    view: StoreView | None = None
    emitter: Emitter | None = None

    def started(self, paths: JobPaths) -> None:
        """A job was started.

        Args:
            paths: its folder.
        """
        if self.emitter is not None:
            self.emitter.emit(lambda: JobEvents(namespace()).start(paths))

    def ended(self, paths: JobPaths, status: Status) -> None:
        """A job may have ended; of one that has not nothing is told.

        Args:
            paths: its folder.
            status: how it stands.
        """
        if self.emitter is None:
            return
        jobs, state = JobEvents(namespace()), _ENDED.get(status.state)
        at = time_text(status.ended_at)
        if status.state is JobState.SUCCEEDED:
            self.emitter.emit(lambda: jobs.complete(paths, lambda: self._made(paths), at))
        elif state is not None:
            code = "" if status.exit_code is None else f"exit code {status.exit_code}"
            why = status.why or code or status.state.value
            self.emitter.emit(lambda: jobs.end(paths, state, f"{why}; log: {paths.log}", at))

    def _made(self, paths: JobPaths) -> Sequence[Manifest]:
        if self.view is None:
            return []
        records = [each for each in read_records(paths.records) if not each.checkpoint]
        return [self.view.store.manifest(each.name, each.version) for each in records]


@contextmanager
def told_to_openlineage(view: StoreView | None) -> Iterator[RecipeLineage]:
    """Where OpenLineage is configured: tells it of the jobs of a recipe, all of it by the end.

    Args:
        view: the store that their versions are recorded in.
    """
    by = configured_by()
    if by is None or view is None:
        yield RecipeLineage(view)
        return
    emitter = Emitter(by, lambda text: print(f"warning: {text}", file=sys.stderr, flush=True))
    try:
        yield RecipeLineage(view, emitter)
    finally:
        emitter.close()
