"""A host that is this machine, reached without a network."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nemo_runspec.relay.host import Connection, Host
from tests.nemo_runspec.relay.near_ssh import near_ssh

VERSIONS = (f"{sys.version_info[0]}.{sys.version_info[1]}",)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder on the host that all is kept below."""
    return tmp_path / "there" / "jobs"


@pytest.fixture
def connect(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Connection]]:
    """Makes connections, their root told."""
    ssh = near_ssh(tmp_path / "my ssh")
    monkeypatch.setenv("RUNSPEC_SSH", shlex.quote(str(ssh)))
    monkeypatch.setenv("RUNSPEC_LAUNCHER_PYTHON", sys.executable)
    connections = []

    def open_one() -> Connection:
        connection = Connection(Host("there", str(root)), VERSIONS)
        connections.append(connection)
        assert connection.ask("open", root=str(root))["root"] == str(root)
        return connection

    yield open_one
    for connection in connections:
        connection.close()
