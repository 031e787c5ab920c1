from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.store import Store, open_store
from tests.nemo_runspec.store.s3_server import make_bucket, s3_server


@pytest.fixture(autouse=True)
def no_torchx_around_us(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests has no say in what they find."""
    for name in ("TORCHX_JOB_ID", "TORCHX_TRACKERS", "TORCHX_PARENT_RUN_ID", "TORCHXCONFIG"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOGNAME", "ada")


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, Any]]:
    with s3_server() as options:
        yield options


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A new store, on each kind of root that differs."""
    new = uuid.uuid4().hex
    if request.param == "local":
        return open_store(f"{tmp_path}/a store; echo foo/ünï")
    if request.param == "memory":
        return open_store(f"memory://{new}/store")
    options = request.getfixturevalue("s3")
    root = f"{make_bucket(options, f'test-{new}')}/a store/ünï"
    return open_store(root, storage_options=options)
