"""A tracker that takes nothing from the job it watches: neither its exit code nor its time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from torchx.tracker.api import Lineage, TrackerArtifact, TrackerBase, TrackerSource

from nemo_runspec.masking import mask_secrets

PATIENCE_SECONDS = 10.0
"""How long calls that fail or hang may hold a job up, all of a tracker's together."""

T = TypeVar("T")


class GuardedTracker(TrackerBase):
    """Passes on what another tracker is told, as long as that one does not hold the job up.

    What it fails at is said once, on standard error. Once :data:`PATIENCE_SECONDS` were lost, or if
    it cannot be made, it is told no more, and knows nothing.

    Args:
        name: what it is called, for the warning.
        make: makes the tracker, when it is first needed.
        patience: seconds that may be lost.
    """

    def __init__(
        self, name: str, make: Callable[[], TrackerBase], patience: float = PATIENCE_SECONDS
    ) -> None:
        self._name = name
        self._make = make
        self._left = patience
        self._tracker: TrackerBase | None = None
        self._has_warned = False
        self._lock = threading.Lock()

    def add_artifact(
        self, run_id: str, name: str, path: str, metadata: Mapping[str, object] | None = None
    ) -> None:
        self._try(lambda to: to.add_artifact(run_id, name, path, metadata), None)

    def artifacts(self, run_id: str) -> Mapping[str, TrackerArtifact]:
        return self._try(lambda to: to.artifacts(run_id), {})

    def add_metadata(self, run_id: str, **kwargs: object) -> None:
        self._try(lambda to: to.add_metadata(run_id, **kwargs), None)

    def metadata(self, run_id: str) -> Mapping[str, object]:
        return self._try(lambda to: to.metadata(run_id), {})

    def add_source(self, run_id: str, source_id: str, artifact_name: str | None = None) -> None:
        self._try(lambda to: to.add_source(run_id, source_id, artifact_name), None)

    def sources(self, run_id: str, artifact_name: str | None = None) -> Iterable[TrackerSource]:
        return self._try(lambda to: list(to.sources(run_id, artifact_name)), [])

    def lineage(self, run_id: str) -> Lineage:
        return self._try(lambda to: to.lineage(run_id), Lineage())

    def run_ids(self, **kwargs: str) -> Iterable[str]:
        return self._try(lambda to: list(to.run_ids(**kwargs)), [])

    def __repr__(self) -> str:
        return f"GuardedTracker({self._name!r})"

    def _try(self, call: Callable[[TrackerBase], T], otherwise: T) -> T:
        with self._lock:
            if self._left <= 0:
                return otherwise
            if self._tracker is None and not self._run(self._make_it):
                self._left = 0.0  # what cannot be made now cannot be made later
                return otherwise
            answer: list[T] = []
            tracker = self._tracker
            if tracker is not None and self._run(lambda: answer.append(call(tracker))):
                return answer[0]
            return otherwise

    def _make_it(self) -> None:
        self._tracker = self._make()

    def _run(self, action: Callable[[], Any]) -> bool:
        """Whether it was done in time."""
        failed: list[BaseException] = []

        def run() -> None:
            try:
                action()
            except BaseException as error:
                failed.append(error)

        began = time.monotonic()
        # A thread, for a call that hangs cannot be ended: it is left behind.
        thread = threading.Thread(target=run, name=f"tracker {self._name}", daemon=True)
        thread.start()
        thread.join(self._left)
        if not thread.is_alive() and not failed:
            return True
        if thread.is_alive():
            self._left = 0.0
            self._warn("it does not answer; it is told no more")
            return False
        self._left -= time.monotonic() - began
        error = failed[0]
        self._warn(f"{type(error).__name__}: {error}")
        return False

    def _warn(self, why: str) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        text = mask_secrets(" ".join(why.split()))
        print(
            f"warning: the TorchX tracker {self._name} cannot record this job: {text}; "
            "the job goes on without it",
            file=sys.stderr,
            flush=True,
        )
