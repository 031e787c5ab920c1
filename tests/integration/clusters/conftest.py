"""One cluster of each kind for all tests that run in one process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.clusters.slurm_cluster import (
    SlurmCluster,
    missing_packages,
    slurm_cluster,
)


@pytest.fixture(scope="session")
def slurm() -> Iterator[SlurmCluster]:
    """A Slurm without accounting."""
    reason = missing_packages()
    if reason is not None:
        pytest.skip(reason)
    with slurm_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def slurm_with_accounting() -> Iterator[SlurmCluster]:
    """A Slurm with slurmdbd and a database."""
    reason = missing_packages(accounting=True)
    if reason is not None:
        pytest.skip(reason)
    with slurm_cluster(accounting=True) as cluster:
        yield cluster
