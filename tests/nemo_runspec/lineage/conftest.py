from __future__ import annotations

from pathlib import Path

import pytest

from tests.nemo_runspec.lineage.family import Family, grow
from tests.nemo_runspec.store_admin.commands import Shell, shell_in_repository


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """A repository without any artifact."""
    monkeypatch.setenv("TZ", "UTC")
    return shell_in_repository(tmp_path / "repo 'x'", monkeypatch, capsys)


@pytest.fixture
def family(shell: Shell) -> Family:
    """The repository's own store with a small pipeline that was built twice."""
    return grow(shell.store)
