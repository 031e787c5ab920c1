from __future__ import annotations

from pathlib import Path

import pytest

from tests.nemo_runspec.store_admin.commands import Shell, shell_in_repository


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """A repository without any artifact."""
    return shell_in_repository(tmp_path / "repo 'x'", monkeypatch, capsys)
