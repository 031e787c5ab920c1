"""A pipeline's own events as OpenLineage's: what its supervisor listens with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nemo_runspec.artifacts.settings import user_name
from nemo_runspec.artifacts.view import StoreView
from nemo_runspec.jobs import JobPaths
from nemo_runspec.openlineage.emitter import Emitter
from nemo_runspec.openlineage.events import State, run_event
from nemo_runspec.openlineage.jobs import JobEvents
from nemo_runspec.openlineage.runs import PIPELINE, JobName, LineageRun, run_uuid
from nemo_runspec.openlineage.settings import configured_by, namespace
from nemo_runspec.pipeline.events import Event
from nemo_runspec.pipeline.facts import pipeline_id, time_text
from nemo_runspec.pipeline.run import Events


@contextmanager
def told_to_openlineage(
    events: Events, view: StoreView, folder: Path, roots: Sequence[str]
) -> Iterator[None]:
    """What a pipeline tells is told to OpenLineage too, where that is configured.

    What it tells of its end has to be told while this lasts.

    Args:
        events: the pipeline's.
        view: the store.
        folder: the pipeline's.
        roots: addresses of the artifacts that were asked for.
    """
    by = configured_by()
    if by is None:
        yield
        return
    run_id = run_uuid(None, f"{view.root}/_runs/{pipeline_id(folder)}")
    job = JobName(run_id, namespace(), _name(roots))
    listener = PipelineLineage(
        Emitter(by, lambda text: events.tell("note", text=text)),
        JobEvents(namespace(), parent=job),
        view,
        LineageRun(job, PIPELINE, time_text(), owner=user_name()),
    )
    events.listener = listener.hear
    try:
        yield
    except BaseException as error:
        listener.end(State.FAIL, f"{type(error).__name__}: {error}")
        raise
    finally:
        events.listener = None
        listener.close()


@dataclass
class _Current:
    """The job that runs for an artifact.

    Args:
        paths: its folder.
        is_remote: whether it goes on without the supervisor.
        is_started: whether its START was told.
    """

    paths: JobPaths
    is_remote: bool
    is_started: bool = False


class PipelineLineage:
    """Hears a pipeline's events, and has those of OpenLineage sent.

    Args:
        emitter: sends them.
        jobs: makes those of the jobs.
        view: the store.
        run: the pipeline's own run.
    """

    def __init__(self, emitter: Emitter, jobs: JobEvents, view: StoreView, run: LineageRun) -> None:
        self._emitter = emitter
        self._jobs = jobs
        self._view = view
        self._current: dict[str, _Current] = {}
        self._run = run
        self._is_over = False
        emitter.emit(lambda: [run_event(run, State.START, at=run.started_at)])

    def hear(self, event: Event) -> None:
        """Take an event of the pipeline; never waits, but for its end."""
        kind, name = event["event"], str(event.get("name", ""))
        if kind in ("queued", "running"):
            self._runs(name, event)
        elif kind == "built":
            self._built(name, int(event["version"]), event)
        elif kind == "failed":
            self._ended(name, State.FAIL, str(event.get("why")), event)
        elif kind == "stopped":
            current = self._current.get(name)
            if current is not None and current.is_remote:
                return  # it goes on, and the next supervisor hears of its end
            self._ended(name, State.ABORT, str(event.get("why")), event)
        elif kind == "end":
            self._over(event)

    def end(self, state: State, why: str | None = None) -> None:
        """Say how the pipeline ended, unless that was said."""
        if self._is_over:
            return
        self._is_over = True
        at = time_text()
        self._emitter.emit(lambda: [run_event(self._run, state, at=at, error=why)])

    def close(self) -> None:
        """Let it all go out."""
        self._emitter.close()

    def _runs(self, name: str, event: Event) -> None:
        folder = str(event.get("job") or "")
        if not folder:
            return
        current = self._current.get(name)
        if current is None or str(current.paths.folder) != folder:
            self._ended(name, State.FAIL, "it ended, and was started again", event)
            current = _Current(JobPaths(Path(folder)), is_remote=bool(event.get("executor")))
            self._current[name] = current
        if event["event"] == "running":
            self._start(current)

    def _start(self, current: _Current) -> None:
        if not current.is_started:
            current.is_started = True
            self._emitter.emit(lambda: self._jobs.start(current.paths))

    def _built(self, name: str, version: int, event: Event) -> None:
        current = self._current.pop(name, None)
        store = self._view.store
        own = self._view.own_name(name)
        if current is None:
            self._emitter.emit(
                lambda: self._jobs.recorded(store.manifest(own, version), store.root)
            )
            return
        self._start(current)
        paths, at = current.paths, time_text(event["at"])
        self._emitter.emit(
            lambda: self._jobs.complete(paths, lambda: [store.manifest(own, version)], at)
        )

    def _ended(self, name: str, state: State, why: str, event: Event) -> None:
        current = self._current.pop(name, None)
        if current is not None:
            self._start(current)
            paths, at = current.paths, time_text(event["at"])
            self._emitter.emit(lambda: self._jobs.end(paths, state, why, at))

    def _over(self, event: Event) -> None:
        if not event.get("exit_code"):
            self.end(State.COMPLETE)
        elif event.get("failed") or not event.get("stopped"):
            failed, skipped = event.get("failed", 0), event.get("skipped", 0)
            self.end(State.FAIL, f"{failed} failed, {skipped} skipped")
        else:
            self.end(State.ABORT, f"{event.get('stopped')} stopped")
        self.close()


def _name(roots: Sequence[str]) -> str:
    """A pipeline is called after what it was asked for."""
    more = f" and {len(roots) - 1} more" if len(roots) > 1 else ""
    return f"materialize {''.join(roots[:1])}{more}".rstrip()
