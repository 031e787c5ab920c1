from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nemo_runspec.artifact_registry import set_artifact_registry
from nemo_runspec.artifacts import notes
from nemo_runspec.artifacts.resolver import clear_artifact_cache
from nemo_runspec.manifest_tracker import set_tracker
from nemo_runspec.wandb_tracking.own_session import forget_session
from tests.nemo_runspec.artifacts.processes import enter_repository
from tests.nemo_runspec.store.conftest import s3

__all__ = ["s3"]


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository of its own for each test, and nothing left of other jobs."""
    root = enter_repository(tmp_path, monkeypatch)
    _forget()
    yield root
    _forget()


def _forget() -> None:
    clear_artifact_cache()
    set_artifact_registry(None)
    set_tracker(None)
    forget_session()
    notes.forget_notes()
