"""How a job starts a Ray on its own nodes, with a small stand-in for Ray.

tests/integration/clusters has the real one.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.execution.job_script import job_script
from nemo_runspec.execution.local import LocalExecutor
from nemo_runspec.execution.nodes import Nodes
from nemo_runspec.execution.protocol import Job
from nemo_runspec.jobs import JobPaths
from runspec import RunspecRun
from tests.nemo_runspec.executor_contract import PATIENCE_SECONDS, make_job, run_job, wait_for

# A head listens on its port; every node leaves a file while it is there.
RAY = """
import json, os, pathlib, signal, socket, sys, time

def start(arguments):
    said = dict(word.lstrip("-").partition("=")[::2] for word in arguments)
    print("started", json.dumps(said), os.environ.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"))
    if os.environ.get("BROKEN") == os.environ["RANK"]:
        sys.exit("this Ray is broken")
    mine = pathlib.Path(os.environ["NODES"], os.environ["RANK"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with socket.socket() as listening:
        if "head" in said:
            listening.bind(("127.0.0.1", int(said["port"])))
            listening.listen(100)
            listening.settimeout(0.1)
            pathlib.Path(said["temp-dir"]).mkdir()
        mine.touch()
        try:
            while True:
                if "head" not in said:
                    time.sleep(0.1)
                    continue
                try:
                    listening.accept()[0].close()
                except TimeoutError:
                    pass
        finally:
            mine.unlink()

if __name__ == "__main__":
    assert sys.argv[1] == "start"
    start(sys.argv[2:])
"""
INIT = """
import os
_asked = []

def is_initialized():
    return bool(_asked)

def init(address, **_):
    _asked.append(address)

def nodes():
    return [{"Alive": True} for _ in os.listdir(os.environ["NODES"])]
"""
SCRIPT = """
    import os, signal, sys, time
    print(os.environ["RAY_ADDRESS"], sorted(os.listdir(os.environ["NODES"])), flush=True)
    if "SLEEP" in os.environ:
        time.sleep(600)
    sys.exit(int(os.environ.get("CODE", "0")))
"""


class Allocation:
    """The nodes of one job, each a process of this machine."""

    def __init__(self, folder: Path, count: int, **changes: Any) -> None:
        job = make_job(folder, SCRIPT, **changes)
        package = job.code / "ray" / "scripts"
        package.mkdir(parents=True)
        (package.parent / "__init__.py").write_text(INIT)
        (package / "scripts.py").write_text(RAY)
        self.job: Job = replace(job, spec=replace(job.spec, run=RunspecRun(launch="ray")))
        self.count = count
        self.nodes = folder / "nodes"
        self.nodes.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        nodes = Nodes(count=count, rank="$RANK", port="$PORT", has_ray=False)
        job_script(self.job, nodes).stage(self.paths)

    @property
    def paths(self) -> JobPaths:
        return JobPaths(self.job.folder)

    @property
    def temporary(self) -> Path:
        return Path(f"/tmp/ray-{os.getuid()}-{self.port}")

    def start(self, rank: int, **env: str) -> subprocess.Popen[str]:
        told = {
            "PATH": os.path.dirname(sys.executable) + ":/usr/bin:/bin",
            "RANK": str(rank),
            "PORT": str(self.port),
            "NODES": str(self.nodes),
            "RUNSPEC_PEX_ROOT": str(self.nodes.parent / "node"),
        }
        return subprocess.Popen(
            ["bash", str(self.paths.script)],
            env={**told, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, **env: str) -> list[tuple[int, str, str]]:
        started = [self.start(rank, **env) for rank in range(self.count)]
        ends = [process.communicate(timeout=PATIENCE_SECONDS) for process in started]
        return [(p.returncode, *end) for p, end in zip(started, ends, strict=True)]

    def log(self, rank: int) -> str:
        return (self.paths.log.parent / f"ray-{rank}.log").read_text()


def test_a_head_and_workers(tmp_path: Path) -> None:
    allocation = Allocation(tmp_path, 3, profile={"pre_ray_start_commands": ["echo before"]})
    head, *others = allocation.run(CODE="3", SLURM_CPUS_ON_NODE="5")
    address = f"127.0.0.1:{allocation.port}"
    assert head == (3, f"before\n{address} ['0', '1', '2']\n", "")
    assert others == [(0, "before\n", "")] * 2
    assert '"num-cpus": "5"' in allocation.log(0)
    assert f'"address": "{address}"' in allocation.log(1)
    assert list(allocation.nodes.iterdir()) == []
    assert not allocation.temporary.exists()


def test_one_node_keeps_to_itself(tmp_path: Path) -> None:
    allocation = Allocation(tmp_path, 1)
    assert allocation.run()[0][0] == 0
    started = allocation.log(0)
    assert '"node-ip-address": "127.0.0.1"' in started
    assert '"dashboard-host": "127.0.0.1"' in started
    assert started.splitlines()[0].endswith(" 0")


def test_a_head_that_does_not_start(tmp_path: Path) -> None:
    allocation = Allocation(tmp_path, 1)
    ((code, out, err),) = allocation.run(BROKEN="0")
    assert (code, out) == (1, "")
    log = allocation.paths.log.parent / "ray-0.log"
    assert err == f"error: Ray did not start on 1 node(s): this Ray is broken; log: {log}\n"


def test_a_worker_that_does_not_start(tmp_path: Path) -> None:
    allocation = Allocation(tmp_path, 2)
    head = allocation.start(0)
    worker = allocation.start(1, BROKEN="1")
    code, err = worker.wait(PATIENCE_SECONDS), worker.communicate()[1]
    assert code == 1
    log = allocation.paths.log.parent / "ray-1.log"
    assert err == f"error: Ray ended on node 1 before its head; log: {log}\n"
    # Whoever runs them ends the others then.
    os.killpg(head.pid, signal.SIGTERM)
    head.communicate(timeout=PATIENCE_SECONDS)
    wait_for(lambda: not list(allocation.nodes.iterdir()), "the head's end")


@pytest.mark.parametrize(
    ("env", "address"), [({}, "local"), ({"RAY_ADDRESS": "10.0.0.1:1"}, "10.0.0.1:1")]
)
def test_on_this_machine_ray_is_the_scripts_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: dict[str, str], address: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    script = "import os; print(os.environ['RAY_ADDRESS'], os.environ['PREPARED'])"
    profile = {"pre_ray_start_commands": ["export PREPARED=yes"]}
    job = make_job(tmp_path, script, env=env, profile=profile)
    job = replace(job, spec=replace(job.spec, run=RunspecRun(launch="ray")))
    assert run_job(LocalExecutor(), job)[1:] == (0, f"{address} yes\n")


def test_it_goes_when_the_job_is_ended(tmp_path: Path) -> None:
    allocation = Allocation(tmp_path, 1)
    process = allocation.start(0, SLEEP="1")
    assert process.stdout is not None
    assert process.stdout.readline()
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 128 + signal.SIGTERM
    assert list(allocation.nodes.iterdir()) == []
    assert not allocation.temporary.exists()
