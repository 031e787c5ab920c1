"""A tracker that fails, hangs or does not exist costs a job one line and a bounded time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from torchx.tracker.api import AppRun, Lineage, TrackerArtifact, TrackerBase, TrackerSource

from nemo_runspec.store import open_store
from nemo_runspec.torchx_tracker.guard import GuardedTracker
from nemo_runspec.torchx_tracker.store_tracker import StoreTracker

SECRET = "-".join(["hush", "11aa"])


class Failing(TrackerBase):
    """Does nothing but fail."""

    def __init__(self) -> None:
        self.calls = 0

    def _fail(self) -> Any:
        self.calls += 1
        raise ConnectionError(f"cannot reach\nhttps://me:{SECRET}@example.invalid")

    def add_artifact(self, run_id: str, name: str, path: str, metadata: Any = None) -> None:
        self._fail()

    def artifacts(self, run_id: str) -> Mapping[str, TrackerArtifact]:
        return self._fail()

    def add_metadata(self, run_id: str, **kwargs: object) -> None:
        self._fail()

    def metadata(self, run_id: str) -> Mapping[str, object]:
        return self._fail()

    def add_source(self, run_id: str, source_id: str, artifact_name: str | None = None) -> None:
        self._fail()

    def sources(self, run_id: str, artifact_name: str | None = None) -> Iterable[TrackerSource]:
        return self._fail()

    def lineage(self, run_id: str) -> Lineage:
        return self._fail()

    def run_ids(self, **kwargs: str) -> Iterable[str]:
        return self._fail()


def use(run: AppRun) -> None:
    run.add_metadata(lr=1)
    run.add_artifact("m", "/m")
    run.add_source("above")


def test_all_goes_through_where_nothing_is_wrong() -> None:
    store = open_store("memory://guarded")
    guarded = GuardedTracker("nemo_runspec", lambda: StoreTracker(store))
    use(AppRun("r", [guarded]))
    assert guarded.metadata("r") == {"lr": 1}
    assert guarded.artifacts("r")["m"].path == "/m"
    assert [each.source_run_id for each in guarded.sources("r")] == ["above"]
    assert list(guarded.run_ids(parent_run_id="above")) == ["r"]
    assert guarded.lineage("r").sources[0].source_id == "above"


def test_what_fails_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    failing = Failing()
    guarded = GuardedTracker("mlflow", lambda: failing)
    run = AppRun("r", [guarded])
    use(run)
    assert list(run.sources()) == []
    assert (guarded.metadata("r"), guarded.artifacts("r"), guarded.run_ids()) == ({}, {}, [])
    assert isinstance(guarded.lineage("r"), Lineage)
    assert failing.calls == 8  # it may come back
    out, err = capsys.readouterr()
    assert out == "" and SECRET not in err
    assert err.splitlines() == [
        "warning: the TorchX tracker mlflow cannot record this job: ConnectionError: cannot reach "
        "https://me:******@example.invalid; the job goes on without it"
    ]


def test_what_cannot_be_made_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    def make() -> TrackerBase:
        raise LookupError("there is none")

    use(AppRun("r", [GuardedTracker("x", make)]))
    assert capsys.readouterr().err.count("\n") == 1


def test_what_hangs_is_left_behind(capsys: pytest.CaptureFixture[str]) -> None:
    release = threading.Event()

    class Hanging(Failing):
        def _fail(self) -> Any:
            self.calls += 1
            release.wait(600)

    hanging = Hanging()
    began = time.monotonic()
    try:
        use(AppRun("r", [GuardedTracker("slow", lambda: hanging, patience=0.2)]))
        assert time.monotonic() - began < 60
    finally:
        release.set()
    assert hanging.calls == 1
    assert "slow cannot record this job: it does not answer" in capsys.readouterr().err


def test_failures_that_take_long_are_not_tried_without_end() -> None:
    class Slow(Failing):
        def _fail(self) -> Any:
            time.sleep(0.06)
            return super()._fail()

    slow = Slow()
    guarded = GuardedTracker("slow", lambda: slow, patience=0.15)
    for _ in range(50):
        guarded.add_metadata("r", lr=1)
    assert slow.calls <= 3
