from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.store import Store, open_store
from tests.nemo_runspec.store.gcs_server import gcs_server
from tests.nemo_runspec.store.hub_server import hub_server
from tests.nemo_runspec.store.s3_server import make_bucket, s3_server


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, Any]]:
    """What to give to ``open_store`` for a server that is there for the whole run."""
    with s3_server() as options:
        yield options


@pytest.fixture(scope="session")
def gcs() -> Iterator[dict[str, Any]]:
    """The same for ``gs://``."""
    with gcs_server() as options:
        yield options


@pytest.fixture(scope="session")
def hub() -> Iterator[dict[str, Any]]:
    """The same for ``hf://``."""
    with hub_server() as options:
        yield options


@pytest.fixture(params=["local", "memory", "s3", "gcs", "hub"])
def store(request: Any, tmp_path: Path) -> Store:
    """A new store, on each kind of root."""
    new = uuid.uuid4().hex
    if request.param == "local":
        return open_store(f"{tmp_path}/a store; echo foo/ünï")
    if request.param == "memory":
        return open_store(f"memory://{new}/store")
    options = request.getfixturevalue(request.param)
    if request.param == "s3":
        root = f"{make_bucket(options, f'test-{new}')}/a store/ünï"
    else:
        root = {"gcs": f"gs://bucket/{new}/a store", "hub": f"hf://datasets/team/{new}/a store"}[
            request.param
        ]
    return open_store(root, storage_options=options)
