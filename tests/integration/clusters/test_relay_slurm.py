"""A laptop that sees of a Slurm only its login host, behind a real sshd."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nemo_runspec.relay.env_file import toml_text
from nemo_runspec.store import Store, open_store
from tests.integration.clusters.slurm_cluster import SlurmCluster
from tests.integration.clusters.ssh_host import SshHost, missing_packages, ssh_host
from tests.nemo_runspec.pipeline.workshop import Workshop, finish

pytest.importorskip("nemo_run", reason="needs NeMo-Run: pip install nemo_run leptonai==0.27.3")

_WHY_NOT = missing_packages()
pytestmark = pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or "")

PATIENCE_SECONDS = 120
WAITS = """
    import time
    while not Path(GO).exists():
        time.sleep(0.05)
"""


@dataclass
class Cluster:
    """A pipeline here, and the login host of a Slurm."""

    shop: Workshop
    host: SshHost
    slurm: SlurmCluster

    @property
    def store(self) -> Store:
        return open_store(str(self.host.home / "store"))

    def profile(self, **more: object) -> None:
        """Writes env.toml with the profile `prod`."""
        env_vars = {"RAN": str(self.shop.ran_file)}
        profile = self.host.profile(executor="slurm", time="10:00", env_vars=env_vars, **more)
        artifacts = {
            "manifest": {"root": str(self.host.home / "store")},
            "output_root": str(self.host.home / "outputs"),
        }
        text = toml_text({"prod": profile, "artifacts": artifacts})
        (self.shop.repository / "env.toml").write_text(text)

    def command(self, *options: str) -> list[str]:
        return [*self.shop.write(), "--profile=prod", *options]


@pytest.fixture
def cluster(tmp_path: Path, slurm: SlurmCluster) -> Iterator[Cluster]:
    shop = Workshop(tmp_path)
    there = {**slurm.env, "RUNSPEC_PYTHON": sys.executable}
    with ssh_host(there) as host:
        cluster = Cluster(shop, host, slurm)
        cluster.profile()
        yield cluster
        slurm.clear()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_pipeline_while_the_tunnel_is_cut(cluster: Cluster, tmp_path: Path) -> None:
    shop, host = cluster.shop, cluster.host
    go = tmp_path / "go"
    shop.plain("data", more=WAITS.replace("GO", repr(str(go))))
    shop.plain("model", inputs=["data"])
    process = shop.command(*cluster.command(), env=host.environment)
    wait_for(lambda: process.poll() is not None or shop.ran_file.read_text() == "data\n")
    host.cut()
    go.touch()
    wait_for(lambda: process.poll() is not None or cluster.store.latest("data") == 1)
    host.start()
    code, out, err = finish(process)
    assert code == 0, out + err
    assert "lost; the job goes on there; trying again" in err
    assert shop.ran() == ["data", "model"]
    assert [cluster.store.latest(name) for name in ("data", "model")] == [1, 1]
    run = cluster.store.manifest("model", 1).run
    assert run["job"].startswith(str(host.home / "jobs"))

    code, out, err = finish(shop.command(*cluster.command(), env=host.environment))
    assert (code, out) == (0, "nothing to do: all 2 artifacts are fresh\n"), err


def test_detached_with_a_supervisor_that_is_a_job(cluster: Cluster) -> None:
    shop = cluster.shop
    cluster.profile(supervisor="slurm")
    shop.plain("data")
    shop.plain("model", inputs=["data"])
    command = cluster.command("--detach")
    code, out, err = finish(shop.command(*command, env=cluster.host.environment))
    assert code == 0, out + err
    cluster.host.cut()
    wait_for(lambda: cluster.store.latest("model") == 1)
    assert shop.ran() == ["data", "model"]
