"""A real Ray on this machine's loopback: a head, and worker nodes when asked for.

The interpreter that has Ray is named by `RUNSPEC_RAY_PYTHON`. A head takes five seconds to start.
Every process that it started, jobs included, ends with it, also when the tests' process is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.clusters.process_tree import ProcessTree

PYTHON_VARIABLE = "RUNSPEC_RAY_PYTHON"
CPUS = 2
# Of each worker node; the head has none, so that a job that asks for it runs on a worker.
WORKER_RESOURCE = "worker"

_LOCK = "3rdparty/python/ray.lock"
_PATIENCE_SECONDS = 180  # for a machine that has much else to do
# Above those of Ray's own workers, below those of outgoing connections (ip(7)).
_PORTS = (20000, 32000)
_OBJECT_STORE_BYTES = 80_000_000  # a little above the least that Ray accepts

# `ray start` adds a node only where it listens on all interfaces; its own Node does not mind.
_WORKER_NODE = """
import json, sys, time
from ray._private.node import Node
from ray._private.parameter import RayParams

options = json.loads(sys.argv[1])
node = Node(RayParams(node_ip_address="127.0.0.1", **options), head=False, shutdown_at_exit=False)
while True:
    time.sleep(3600)
"""


def ray_python() -> str | None:
    """The interpreter that has Ray; None where none is named."""
    return os.environ.get(PYTHON_VARIABLE) or None


def missing_ray() -> str | None:
    """Why no Ray can be started here, with the commands that change it; None if one can."""
    python = ray_python()
    if python is not None and shutil.which(python):
        return None
    return (
        f"needs a Ray: python3.11 -m venv ray && ray/bin/python -m pip install -r {_LOCK} && "
        f"export {PYTHON_VARIABLE}=$PWD/ray/bin/python"
    )


@contextmanager
def ray_cluster(*, token: str | None = None, workers: int = 0) -> Iterator[RayCluster]:
    """A cluster that runs for as long as the context.

    Args:
        token: what every request must carry; None for a cluster that asks for none.
        workers: how many worker nodes it has besides its head, which runs jobs too.
    """
    # Not pytest's temporary folder: the path of a socket in it may take 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    cluster = RayCluster(folder, token=token)
    try:
        cluster.start_head()
        for _ in range(workers):
            cluster.start_worker()
        yield cluster
    finally:
        cluster.kill()
        shutil.rmtree(folder, ignore_errors=True)


class RayCluster:
    """A head, its worker nodes and how to lose them.

    Args:
        folder: for sessions and logs; short, and nobody else's.
        token: what every request must carry.
    """

    def __init__(self, folder: Path, *, token: str | None = None) -> None:
        self.folder = folder
        self.token = token
        self.port, self._gcs_port, *self._ports = _free_ports(5)
        self._head: ProcessTree | None = None
        self._workers: list[ProcessTree] = []

    @property
    def address(self) -> str:
        """Of the dashboard, which serves the Jobs API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def sessions(self) -> Path:
        """Where Ray keeps what it keeps: logs, packages, sockets."""
        return self.folder / "sessions"

    def start_head(self) -> None:
        """Starts a head that knows nothing of one before it, at the same address."""
        client_port, agent_port, metrics_port = self._ports
        argv = [
            *(ray_python() or "", "-m", "ray.scripts.scripts", "start", "--head", "--block"),
            "--node-ip-address=127.0.0.1",
            f"--port={self._gcs_port}",
            f"--num-cpus={CPUS}",
            f"--object-store-memory={_OBJECT_STORE_BYTES}",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={self.port}",
            f"--dashboard-agent-listen-port={agent_port}",
            f"--ray-client-server-port={client_port}",
            f"--metrics-export-port={metrics_port}",
            f"--temp-dir={self.sessions}",
            "--disable-usage-stats",
            "--include-log-monitor=false",
        ]
        self._head = ProcessTree(argv, env=self.environment(), log=self.folder / "head.log")
        self._wait_for_another_node(set())

    def start_worker(self) -> None:
        """Adds a worker node, which has one `WORKER_RESOURCE`."""
        options = {
            "gcs_address": f"127.0.0.1:{self._gcs_port}",
            "num_cpus": 1,
            "resources": {WORKER_RESOURCE: 1},
            "object_store_memory": _OBJECT_STORE_BYTES,
            "dashboard_agent_listen_port": _free_ports(1)[0],
        }
        argv = [ray_python() or "", "-c", _WORKER_NODE, json.dumps(options)]
        log = self.folder / "worker.log"
        before = set(self.alive_nodes())
        self._workers.append(ProcessTree(argv, env=self.environment(), log=log))
        self._wait_for_another_node(before)

    def kill(self) -> None:
        """All of it at once, as when the machines lose their power."""
        for tree in [*self._workers, *([self._head] if self._head else [])]:
            tree.kill()
        self._workers, self._head = [], None

    def kill_worker(self) -> None:
        """The worker node that was started first, and all that runs on it."""
        self._workers.pop(0).kill()

    def environment(self) -> Mapping[str, str]:
        """That of its processes: loopback only, and none of the settings of this test's caller."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        auth = {"RAY_AUTH_MODE": "disabled"}
        if self.token is not None:
            auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}
        return {
            **kept,
            **auth,
            # Ray takes this for a machine whose firewall asks questions: it listens nowhere else.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": "60",
            # A lost node is noticed in 4 s, not in 17.
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_timeout_ms": "2000",
            "RAY_health_check_failure_threshold": "4",
        }

    def alive_nodes(self) -> list[str]:
        """The ids of the nodes that the head takes for alive."""
        answer = self._get("/nodes?view=summary")
        nodes = [] if answer is None else answer["data"]["summary"]
        return [
            node["raylet"]["nodeId"] for node in nodes if node["raylet"].get("state") == "ALIVE"
        ]

    def jobs(self) -> list[dict[str, Any]]:
        """What the Jobs API lists."""
        answer: list[dict[str, Any]] | None = self._get("/api/jobs/")
        assert answer is not None
        return answer

    def _get(self, path: str) -> Any:
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(self.address + path, headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def _wait_for_another_node(self, before: set[str]) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if set(self.alive_nodes()) - before and self._get("/api/jobs/") is not None:
                return
            if self._head is None or not self._head.is_alive:
                break
            time.sleep(0.1)
        logs = sorted([*self.folder.glob("*.log"), *self.sessions.glob("*/logs/gcs_server.err")])
        told = "\n".join(log.read_text(errors="replace")[-2000:] for log in logs)
        raise RuntimeError(f"Ray did not start within {_PATIENCE_SECONDS} s:\n{told}")

    def listening(self) -> list[str]:
        """The addresses that its processes listen on, those of jobs among them."""
        gcs = f"127.0.0.1:{self._gcs_port}"
        return listening(processes_with(str(self.folder)) | processes_with(gcs))


def listening(pids: set[int]) -> list[str]:
    """The addresses that processes listen on."""
    lines = subprocess.run(
        ["ss", "-H", "-ltnp"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.splitlines()
    return [line.split()[3] for line in lines if any(f"pid={pid}," in line for pid in pids)]


def new_token() -> str:
    """A token as Ray likes them."""
    return secrets.token_hex(16)


def processes_with(text: str) -> set[int]:
    """The processes whose command line or environment holds `text`."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            told = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            if text.encode() in told:
                found.add(int(folder.name))
    return found


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, each another.

    None of those that a machine gives to whoever asks for any: Ray binds them seconds later.
    """
    found: set[int] = set()
    while len(found) < count:
        port = random.randrange(*_PORTS)
        with socket.socket() as candidate, contextlib.suppress(OSError):
            candidate.bind(("127.0.0.1", port))
            found.add(port)
    return list(found)
