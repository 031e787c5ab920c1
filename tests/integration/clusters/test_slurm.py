"""The executor `slurm` on a real Slurm."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.execution.protocol import Executor, Handle
from nemo_runspec.execution.slurm.batch_script import Grace
from nemo_runspec.execution.slurm.client import SlurmClient
from nemo_runspec.execution.slurm.executor import SlurmExecutor
from tests.integration.clusters.slurm_cluster import SlurmCluster
from tests.nemo_runspec.executor_contract import ClusterContract

pytest.importorskip("nemo_run", reason="needs NeMo-Run: pip install nemo_run leptonai==0.27.3")

# As soon as the controller may say something new; how long a job may take to end.
PERIOD_SECONDS = 0.3
GRACE = Grace(interrupt=2, terminate=1)


def executor_of_tests(patience: float = 5) -> SlurmExecutor:
    return SlurmExecutor(SlurmClient(period=PERIOD_SECONDS, patience=patience), GRACE)


@pytest.fixture
def cluster(slurm: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """The cluster of this session, with all of its nodes, in this process's environment."""
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    yield slurm
    slurm.clear()


class TestSlurm(ClusterContract):
    # A process that left for a session of its own is not this Slurm's business: it knows processes
    # by their parents.
    ends_other_sessions = False

    @pytest.fixture(autouse=True)
    def _cluster(self, cluster: SlurmCluster) -> None:
        self.cluster = cluster

    def make_executor(self) -> Executor:
        return executor_of_tests()

    def profile(self) -> Mapping[str, Any]:
        return {"gpus_per_node": 0, "time": "10:00"}

    def places(self, folder: Path) -> Sequence[Path]:
        return [folder, self.cluster.folder]

    def other_executor(self) -> str:
        module = "nemo_runspec.execution.slurm"
        client = f"__import__('{module}.client', fromlist=['_']).SlurmClient(period=0.3)"
        return f"__import__('{module}.executor', fromlist=['_']).SlurmExecutor({client})"

    def waiting_profile(self) -> Mapping[str, Any]:
        return {"sbatch": {"begin": "now+1day"}}

    def lose_worker(self, handle: Handle) -> None:
        node = self.cluster.run("squeue", "--noheader", "--jobs", handle.id, "--format=%N").strip()
        self.cluster.kill_node(node)
        self.cluster.start_node(node)

    def interrupt(self, handle: Handle) -> None:
        self.cluster.end_time(handle.id)

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        time.sleep(5)  # a job of the last five seconds may be lost
        self.cluster.stop_controller(at_once=True)
        try:
            yield
        finally:
            self.cluster.start_controller()
