from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.nemo_runspec.cli.command import Shell


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Shell:
    folder = tmp_path / "a repository"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RUNSPEC_PYTHON", sys.executable)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("NEMOTRON_ENV_FILE", "RUNSPEC_COMMAND", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return Shell(folder, capfd)
