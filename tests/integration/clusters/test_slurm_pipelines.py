"""Pipelines on a real Slurm: what happens to supervisors, nodes and the controller meanwhile."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.execution.protocol import Handle
from tests.integration.clusters.slurm_cluster import SlurmCluster
from tests.nemo_runspec.executor_contract import wait_for as wait_for_condition
from tests.nemo_runspec.pipeline import workshop
from tests.nemo_runspec.pipeline.cluster_workshop import GATE, Cluster, two_stages

pytest.importorskip("nemo_run", reason="needs NeMo-Run: pip install nemo_run leptonai==0.27.3")

# Jobs wait here for what real clusters are busy with, and this machine has all of their work.
PATIENCE_SECONDS = 300

# Its first attempt never ends, its second does at once.
GOES_ON = """
with open(out / "attempts", "a") as attempts:
    attempts.write(os.environ["RUNSPEC_ATTEMPT"] + " ")
print("waits", flush=True)
import time
if os.environ["RUNSPEC_ATTEMPT"] == "1":
    time.sleep(600)
"""


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    return workshop.finish(process, PATIENCE_SECONDS)


wait_for = partial(wait_for_condition, patience=PATIENCE_SECONDS)


class SlurmShop(Cluster):
    """A workshop whose profile `far` is for the Slurm of this session."""

    executor = "slurm"

    def profile(self, **values: Any) -> None:
        super().profile(**{"gpus_per_node": 0, "time": "10:00", **values})

    def run_far(self, *options: str, **env: str) -> tuple[int, str, str]:
        return finish(self.far(*options, **env))

    def job_id(self) -> str:
        """Of the newest job that was seen."""
        return str([each["id"] for each in self.far_events() if "id" in each][-1])


@pytest.fixture
def cluster(slurm: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """The cluster of this session, with all of its nodes, in this process's environment."""
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    yield slurm
    slurm.clear()


@pytest.fixture
def shop(tmp_path: Path, cluster: SlurmCluster) -> Iterator[SlurmShop]:
    shop = SlurmShop(tmp_path)
    shop.shared.mkdir()
    shop.profile()
    yield shop
    shop.gate.touch()


def jobs_of(shop: SlurmShop, name: str) -> int:
    return sum(path.name.endswith(f"-{name}") for path in shop.far_jobs())


def test_a_pipeline(shop: SlurmShop) -> None:
    two_stages(shop)
    shop.gate.touch()
    code, out, err = shop.run_far()
    assert (code, err) == (0, "")
    assert "model: built v1 in " in out
    assert shop.ran() == ["data", "model"]
    assert shop.run_far()[1].startswith("nothing to do")
    assert len(shop.far_jobs()) == 2
    # The same keys as here.
    assert shop.materialize()[1].startswith("nothing to do")


def test_foreach(shop: SlurmShop) -> None:
    shop.library(
        "data",
        """
        (out / "x").write_text("1")
        log_artifact(Artifact(path=out, metadata={"parts": [1, 2, 3]}), tracking, name="data")
        """,
    )
    config = "value: ${run.element.value}\n"
    shop.plain("each", config=config, inputs={"data": "data"}, foreach="data:parts")
    code, out, err = shop.run_far()
    assert (code, err) == (0, ""), out
    assert sorted(shop.ran()) == ["data", "each", "each", "each"]
    assert len(shop.manifest("each").metadata["elements"]) == 3
    handles = [job / "handle.json" for job in shop.far_jobs() if "-each" in job.name]
    ids = sorted(Handle.from_json(path.read_text()).id for path in handles)
    assert [id.partition("_")[2] for id in ids] == ["0", "1", "2"]
    assert shop.run_far()[1].startswith("nothing to do")


def test_a_killed_supervisor_submits_nothing_twice(shop: SlurmShop) -> None:
    two_stages(shop)
    process = shop.far()
    shop.wait_until_runs()
    shop.kill_supervisor(process)
    plan = finish(shop.command("plan", str(shop.plan_folder), "--profile", "far"))[1]
    assert "held by job " in plan and " of slurm" in plan
    process = shop.far()
    wait_for(lambda: len(shop.far_pipelines()) == 2 and shop.saw("running"), "it finds the job")
    shop.gate.touch()
    code, _, err = finish(process)
    assert (code, err) == (0, "")
    assert shop.ran() == ["data", "model"]
    assert len(shop.far_jobs()) == 2
    assert shop.store.versions("model") == [1]


def test_a_controller_that_is_down_for_a_while(shop: SlurmShop, cluster: SlurmCluster) -> None:
    shop.plain("data", more=GATE)
    shop.plain("model", config="x: ${art:data}\n", inputs={"data": "data"})
    process = shop.far()
    shop.wait_until_runs()
    time.sleep(5)  # what was submitted in the last five seconds may be lost
    cluster.stop_controller(at_once=True)
    # The job ends, and the next cannot be submitted.
    shop.gate.touch()
    wait_for(lambda: jobs_of(shop, "model") == 1, "the next job")
    time.sleep(2)
    cluster.start_controller()
    code, out, err = finish(process)
    assert (code, err) == (0, ""), out
    assert shop.ran() == ["data", "model"]
    assert len(shop.far_jobs()) == 2


def test_a_controller_that_is_down_is_told_of(shop: SlurmShop, cluster: SlurmCluster) -> None:
    shop.plain("data", more=GATE)
    process = shop.far(RUNSPEC_PATIENCE="1")
    shop.wait_until_runs()
    shop.kill_supervisor(process)
    time.sleep(5)  # what was submitted in the last five seconds may be lost
    cluster.stop_controller(at_once=True)
    code, out, _ = shop.run_far(RUNSPEC_PATIENCE="1")
    assert code == 1
    assert "data: slurm: " in out and "; waits up to 1.0 s" in out
    assert "was left alone and may still run; the next call looks for it first" in out
    assert len(shop.far_jobs()) == 1
    cluster.start_controller()
    shop.gate.touch()
    assert shop.run_far()[0] == 0
    assert shop.ran() == ["data"]
    assert len(shop.far_jobs()) == 1


def test_a_lost_node(shop: SlurmShop, cluster: SlurmCluster) -> None:
    shop.plain("model", more=GOES_ON)
    process = shop.far()
    shop.wait_until_runs()
    wait_for(lambda: shop.saw("running"), "its supervisor sees it")
    node = cluster.run("squeue", "--noheader", "--jobs", shop.job_id(), "--format=%N").strip()
    cluster.kill_node(node)
    cluster.start_node(node)
    code, out, err = finish(process)
    assert (code, err) == (0, ""), out
    assert (Path(shop.manifest("model").path) / "attempts").read_text() == "1 2 "
    assert shop.store.versions("model") == [1]
    assert len(shop.far_jobs()) == 1


@pytest.mark.parametrize("requeue_on", [["time_limit"], []])
def test_the_time_limit(requeue_on: list[str], shop: SlurmShop, cluster: SlurmCluster) -> None:
    """It goes on in the same job where that may be queued again, else in the next."""
    shop.profile(segments=2, requeue_on=requeue_on)
    shop.plain("model", more=GOES_ON)
    process = shop.far()
    shop.wait_until_runs()
    wait_for(lambda: shop.saw("running"), "its supervisor sees it")
    cluster.end_time(shop.job_id())
    code, out, err = finish(process)
    assert (code, err) == (0, ""), out
    assert (Path(shop.manifest("model").path) / "attempts").read_text() == "1 2 "
    assert shop.store.versions("model") == [1]
    assert len(shop.far_jobs()) == (1 if requeue_on else 2)


def test_the_supervisor_as_a_job(shop: SlurmShop, cluster: SlurmCluster) -> None:
    shop.profile(supervisor="slurm", supervisor_time="10:00")
    two_stages(shop)
    code, out, err = shop.run_far("--detach")
    assert (code, err) == (0, "")
    assert out.startswith("runs as job ") and " of slurm in " in out.splitlines()[0]
    shop.wait_until_runs()
    wait_for(lambda: shop.saw("running"), "its supervisor sees it")
    # It is queued again, as after the loss of its node, and goes on with the job that did not stop.
    supervisor = out.split()[3]
    cluster.run("scontrol", "requeue", supervisor)
    wait_for(lambda: [e["event"] for e in shop.far_events()].count("begin") == 2, "it goes on")
    shop.gate.touch()
    code, _, err = finish(shop.command("jobs", "wait", shop.far_pipelines()[-1].name))
    assert (code, err) == (0, "")
    assert shop.ran() == ["data", "model"]
    assert len(shop.far_jobs()) == 2


def test_jobs_and_the_doctor(shop: SlurmShop) -> None:
    shop.plain("model", more=GATE)
    process = shop.far()
    shop.wait_until_runs()
    wait_for(lambda: shop.saw("running"), "its supervisor sees it")
    out = finish(shop.command("jobs", "ls"))[1]
    assert any(
        line.split()[:4] == ["model", "slurm", shop.job_id(), "running"]
        for line in out.splitlines()
    )
    code, _, err = finish(shop.command("jobs", "cancel", shop.job_id()))
    assert (code, err) == (0, "")
    code, _, err = finish(process)
    assert code == 1 and "error: model: cancelled" in err
    code, out, _ = finish(shop.command("doctor", "--profile", "far"))
    assert code == 0, out
    assert "profile far: all is well" in out and "a node: all is well" in out
