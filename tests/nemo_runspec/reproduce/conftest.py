"""A repository for those tests that run nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.nemo_runspec.reproduce.recorded import LOCK, SOURCES, Repo


@pytest.fixture
def repo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Repo:
    folder = tmp_path / "repo 'x'"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("NEMOTRON_ENV_FILE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RUNSPEC_PYTHON", sys.executable)
    repo = Repo(folder, capsys)
    repo.git("init", "--quiet")
    for path, text in SOURCES.items():
        repo.write(path, text)
    repo.write("3rdparty/python/other.lock", "no lockfile of ours\n")
    repo.write("3rdparty/python/python.lock", LOCK)
    repo.write(".gitignore", ".runspec/\n")
    repo.commit()
    return repo
