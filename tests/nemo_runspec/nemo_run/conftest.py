"""NeMo-Run with a home of its own, away from the user's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The folders above become packages by it; else pytest puts empty modules in their place.
import tests.nemo_runspec.nemo_run.fake_docker  # noqa: F401


@pytest.fixture(autouse=True)
def nemo_run_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    home = tmp_path / "nemo-run-home"
    for name in ("HF_TOKEN", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NEMORUN_HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    # NeMo-Run hands it on to what it starts.
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield from _home(home, monkeypatch)


def _home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    import nemo_run.config

    monkeypatch.setattr(nemo_run.config, "_NEMORUN_HOME", str(home))
    yield home
