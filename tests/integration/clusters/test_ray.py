"""The Ray executor on a real Ray cluster of a head and a worker node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.execution.protocol import Executor, Handle
from nemo_runspec.execution.ray.executor import RayExecutor
from tests.integration.clusters.forwarder import Forwarder
from tests.integration.clusters.ray_cluster import (
    WORKER_RESOURCE,
    RayCluster,
    missing_ray,
    ray_cluster,
)
from tests.nemo_runspec.executor_contract import ClusterContract

pytestmark = pytest.mark.skipif(missing_ray() is not None, reason=str(missing_ray()))


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(workers=1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def door(cluster: RayCluster) -> Iterator[Forwarder]:
    forwarder = Forwarder(cluster.port)
    yield forwarder
    forwarder.close()


class TestRay(ClusterContract):
    codes_of_killed = frozenset({128 + 9})

    @pytest.fixture(autouse=True)
    def on_cluster(self, cluster: RayCluster, door: Forwarder, tmp_path: Path) -> None:
        self.cluster, self.door, self.folder_of_jobs = cluster, door, tmp_path

    def make_executor(self) -> Executor:
        return RayExecutor(answer=5)

    def profile(self) -> Mapping[str, Any]:
        return {"host": self.door.address, "remote_job_dir": str(self.folder_of_jobs)}

    def places(self, folder: Path) -> Sequence[Path]:
        return [folder, self.cluster.folder]

    def waiting_profile(self) -> Mapping[str, Any]:
        return {"entrypoint_num_cpus": 1000}

    def lose_worker(self, handle: Handle) -> None:
        self.cluster.kill_worker()
        self.cluster.start_worker()

    def interrupt(self, handle: Handle) -> None:
        self.lose_worker(handle)

    def unreachable(self) -> AbstractContextManager[None]:
        return self.door.shut()

    def goes_on(self, *arguments: Any) -> None:
        # Jobs run on the head unless they ask for something that only a worker has.
        self.profile = lambda: {  # type: ignore[method-assign]
            **TestRay.profile(self),
            "entrypoint_resources": {WORKER_RESOURCE: 1},
        }
        super().goes_on(*arguments)
