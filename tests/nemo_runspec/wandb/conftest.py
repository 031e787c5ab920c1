from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.nemo_runspec.wandb.wandb_server import WandbServer


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the W&B settings of whoever runs the tests."""
    for name in os.environ:
        if name.startswith("WANDB"):
            monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[WandbServer]:
    """A server that knows all that it is asked."""
    with WandbServer() as running:
        yield running
        assert running.unknown == []
