"""One clone for all tests: its Pants takes 15 s to start and a second or two for each command
after."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.integration.repository import Repository, cloned


@pytest.fixture(scope="session")
def shared_clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """A clone whose Pants stays warm."""
    if "RUNSPEC_PANTS_HOME" not in os.environ:
        pytest.skip("needs the real Pants: run it through `./pants test tests/integration::`")
    with cloned(tmp_path_factory.mktemp("clone") / "repository") as repository:
        yield repository


@pytest.fixture(scope="module")
def repository(shared_clone: Repository) -> Iterator[Repository]:
    """The shared clone as it was made; what the tests of a module leave in it is undone."""
    yield shared_clone
    shared_clone.reset()
