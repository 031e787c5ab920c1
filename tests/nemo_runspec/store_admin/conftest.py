from __future__ import annotations

from pathlib import Path

import pytest

from tests.nemo_runspec.store_admin.commands import Shell


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """A repository without any artifact."""
    folder = tmp_path / "repo 'x'"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("NEMOTRON_ENV_FILE", raising=False)
    monkeypatch.setenv("LOGNAME", "ada")
    return Shell(folder, capsys)
