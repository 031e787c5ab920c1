from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.nemo_runspec.store.gcs_server import gcs_server
from tests.nemo_runspec.store.hub_server import hub_server
from tests.nemo_runspec.store.s3_server import s3_server


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
