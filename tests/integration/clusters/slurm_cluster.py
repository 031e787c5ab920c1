"""A real Slurm of four nodes on this machine's loopback, in a folder of its own.

It takes a second to start, or five with accounting. Every process that it started, jobs included,
ends with it, also when the tests' process is killed.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.integration.clusters.process_tree import ProcessTree

NODES = ("node1", "node2", "node3", "node4")
CPUS_PER_NODE = 16
GPUS_PER_NODE = 8

_PATIENCE_SECONDS = 60
# What lets the scheduler look at the queue as often as it can.
_AT_ONCE = (
    "batch_sched_delay=0",
    "sched_interval=1",
    "sched_min_interval=0",
    "bf_interval=1",
    "bf_min_age_reserve=0",
)
# Debian puts daemons where an ordinary user's PATH does not lead.
_SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
_COMMANDS = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
}
_ACCOUNTING_COMMANDS = {
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
}


def missing_packages(*, accounting: bool = False) -> str | None:
    """Why no Slurm can be started here, with the command that changes it; None if one can."""
    needed = {**_COMMANDS, **(_ACCOUNTING_COMMANDS if accounting else {})}
    missing = {package for name, package in needed.items() if _which(name) is None}
    if not missing:
        return None
    packages = " ".join(sorted(missing))
    return f"needs a Slurm: apt-get install -y --no-install-recommends {packages}"


@contextmanager
def slurm_cluster(
    *, accounting: bool = False, proctrack: str = "linuxproc"
) -> Iterator[SlurmCluster]:
    """A cluster that runs for as long as the context.

    Args:
        accounting: whether it has slurmdbd and a database, so that `sacct` works.
        proctrack: how it knows the processes of a job: `linuxproc` or `pgid`.
    """
    # Not pytest's temporary folder: the path of a socket in it may take 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    cluster = SlurmCluster(folder, accounting=accounting, proctrack=proctrack)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder)


class SlurmCluster:
    """A Slurm of nodes that are processes of this machine.

    Partitions: `main` (the default); `spot`, whose jobs `main` preempts by requeue; and `brief`,
    whose jobs may take one minute.

    Args:
        folder: an empty folder for all of its files.
        accounting: whether it has slurmdbd and a database.
        proctrack: how it knows the processes of a job.
    """

    def __init__(self, folder: Path, *, accounting: bool, proctrack: str) -> None:
        self.folder = folder
        self.has_accounting = accounting
        self._proctrack = proctrack
        self.env: Mapping[str, str] = {"SLURM_CONF": str(folder / "etc" / "slurm.conf")}
        self._environment = {**_clean_environment(), **self.env}
        self._daemons: dict[str, ProcessTree] = {}

    @property
    def spool(self) -> Path:
        """Where controller and nodes keep what they know of jobs."""
        return self.folder / "spool"

    def start(self) -> None:
        user = getpass.getuser()
        for name in ("etc", "munge", "log", "fakegpu", "spool/state"):
            (self.folder / name).mkdir(parents=True)
        for index in range(GPUS_PER_NODE):
            (self.folder / "fakegpu" / f"gpu{index}").symlink_to(os.devnull)
        ports = _free_ports(3 + len(NODES))
        self._write("etc/slurm.conf", self._slurm_conf(user, ports))
        self._write("etc/gres.conf", self._gres_conf())
        self._write("etc/plugstack.conf", "")
        self._start_munge()
        if self.has_accounting:
            self._start_accounting(user, database=ports[1], slurmdbd=ports[2])
        self.start_controller()
        for name in NODES:
            self.start_node(name)
        self._wait(self._is_idle, "the nodes")

    def stop(self) -> None:
        """Ends everything. The jobs' nodes go first, so that no job is started meanwhile."""
        for name in reversed(list(self._daemons)):
            self._daemons.pop(name).kill()

    def run(self, *argv: str, check: bool = True) -> str:
        """Runs a command of Slurm's; its output."""
        done = subprocess.run(
            argv, env=self._environment, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{argv}: exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def start_controller(self) -> None:
        self._start("slurmctld", "slurmctld", "-D")
        self._wait(self._answers, "slurmctld")

    def stop_controller(self, *, at_once: bool = False) -> None:
        """Stops the controller; `at_once` by SIGKILL, which lets it save nothing."""
        controller = self._daemons.pop("slurmctld")
        if at_once:
            controller.kill()
        else:
            controller.terminate()

    def start_node(self, name: str) -> None:
        self._start(name, "slurmd", "-D", "-N", name)

    def kill_node(self, name: str) -> None:
        """Takes a node down as a power cut would, with all that ran on it, and tells Slurm."""
        self._daemons.pop(name).kill()
        self.run("scontrol", "update", f"nodename={name}", "state=down", "reason=killed")

    def clear(self) -> None:
        """Ends what jobs there are, and brings back what a test took away."""
        if "slurmctld" not in self._daemons:
            self.start_controller()
        for name in NODES:
            if name not in self._daemons:
                self.start_node(name)
        if self.run("squeue", "--noheader"):
            self.run("scancel", f"--user={getpass.getuser()}")
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Waits until every node is up and no job is left on it."""
        self._wait(self._is_idle, "the nodes")

    def end_time(self, job: str) -> None:
        """Lets a job's time limit be reached in a few seconds."""
        self.run("scontrol", "update", f"jobid={job}", "EndTime=now+1")

    def _start(self, name: str, command: str, *args: str) -> None:
        path = _which(command)
        assert path is not None, command
        log = self.folder / "log" / f"{name}.out"
        self._daemons[name] = ProcessTree([path, *args], env=self._environment, log=log)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            for name, daemon in self._daemons.items():
                if not daemon.is_alive:
                    raise AssertionError(f"{name} ended: {self._last_lines(daemon.log)}")
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {_PATIENCE_SECONDS} s for {what}")
            time.sleep(0.02)

    def _last_lines(self, log: Path) -> str:
        own = log.with_suffix(".log")
        texts = [path.read_text(errors="replace") for path in (log, own) if path.exists()]
        return "\n".join("\n".join(texts).splitlines()[-5:])

    def _answers(self) -> bool:
        return "is UP" in self.run("scontrol", "ping", check=False)

    def _is_idle(self) -> bool:
        states = self.run("sinfo", "--noheader", "--Node", "--format=%N %T", "--partition=main")
        return states.split() == [word for name in NODES for word in (name, "idle")]

    def _start_munge(self) -> None:
        munge = self.folder / "munge"
        key = munge / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        names = {
            "socket": "munge.socket",
            "pid-file": "pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        files = [f"--{option}={munge / name}" for option, name in names.items()]
        # --force: the folder is closed to everybody else, which munged finds unusual.
        argv = ["--foreground", "--force", f"--key-file={key}", "--num-threads=2", *files]
        self._start("munged", "munged", *argv)
        self._wait(lambda: (munge / "munge.socket").exists(), "munged")

    def _start_accounting(self, user: str, *, database: int, slurmdbd: int) -> None:
        data = self.folder / "database"
        password = secrets.token_hex(16)
        init = self._write(
            "etc/init.sql",
            f"CREATE USER 'slurm'@'127.0.0.1' IDENTIFIED BY '{password}';\n"
            "GRANT ALL ON slurm_acct_db.* TO 'slurm'@'127.0.0.1';\n",
        )
        self._write(
            "etc/slurmdbd.conf",
            f"""
            AuthType=auth/munge
            AuthInfo=socket={self.folder}/munge/munge.socket
            DbdHost=localhost
            DbdAddr=127.0.0.1
            DbdPort={slurmdbd}
            SlurmUser={user}
            LogFile={self.folder}/log/slurmdbd.log
            PidFile={self.folder}/slurmdbd.pid
            StorageType=accounting_storage/mysql
            StorageHost=127.0.0.1
            StoragePort={database}
            StorageUser=slurm
            StoragePass={password}
            """,
        )
        install = _which("mariadb-install-db")
        assert install is not None
        self.run(
            install,
            "--no-defaults",
            f"--datadir={data}",
            f"--user={user}",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        )
        self._start(
            "mariadbd",
            "mariadbd",
            "--no-defaults",
            f"--user={user}",
            f"--datadir={data}",
            f"--init-file={init}",
            f"--socket={self.folder}/database.socket",
            f"--pid-file={self.folder}/mariadbd.pid",
            "--bind-address=127.0.0.1",
            f"--port={database}",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=16M",
            "--innodb-log-file-size=8M",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-lock-wait-timeout=900",
        )
        self._wait(lambda: _listens(database), "mariadbd")
        self._start("slurmdbd", "slurmdbd", "-D")
        self._wait(lambda: _listens(slurmdbd), "slurmdbd")
        self._wait(self._knows_cluster, "sacctmgr")

    def _knows_cluster(self) -> bool:
        self.run("sacctmgr", "-i", "add", "cluster", "test", check=False)
        return "test" in self.run("sacctmgr", "-nP", "show", "cluster", check=False)

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text("\n".join(line.strip() for line in text.splitlines()) + "\n")
        return path

    def _gres_conf(self) -> str:
        gpus = f"File={self.folder}/fakegpu/gpu[0-{GPUS_PER_NODE - 1}]"
        return f"NodeName=node[1-{len(NODES)}] Name=gpu {gpus}"

    def _slurm_conf(self, user: str, ports: list[int]) -> str:
        here = self.folder
        controller, _, slurmdbd, *slurmd = ports
        accounting = (
            f"""
            AccountingStorageType=accounting_storage/slurmdbd
            AccountingStorageHost=127.0.0.1
            AccountingStoragePort={slurmdbd}
            AccountingStoragePass={here}/munge/munge.socket
            """
            if self.has_accounting
            else "AccountingStorageType=accounting_storage/none"
        )
        nodes = (
            f"NodeName=node[1-{len(NODES)}] NodeAddr=127.0.0.1 NodeHostname=localhost "
            f"Port=[{','.join(map(str, slurmd))}] CPUs={CPUS_PER_NODE} RealMemory=64000 "
            f"Gres=gpu:{GPUS_PER_NODE} State=UNKNOWN"
        )

        def partition(name: str, options: str) -> str:
            return f"PartitionName={name} Nodes=ALL DefaultTime=60 State=UP {options}"

        return f"""
            ClusterName=test
            SlurmctldHost=localhost(127.0.0.1)
            SlurmctldPort={controller}
            SlurmUser={user}
            SlurmdUser={user}
            AuthType=auth/munge
            AuthInfo=socket={here}/munge/munge.socket,cred_expire=5
            CredType=cred/munge
            CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
            StateSaveLocation={here}/spool/state
            SlurmdSpoolDir={here}/spool/%n
            SlurmctldPidFile={here}/slurmctld.pid
            SlurmdPidFile={here}/slurmd-%n.pid
            SlurmctldLogFile={here}/log/slurmctld.log
            SlurmdLogFile={here}/log/%n.log
            PlugStackConfig={here}/etc/plugstack.conf
            MailProg=/bin/true
            ProctrackType=proctrack/{self._proctrack}
            TaskPlugin=task/none
            SwitchType=switch/none
            MpiDefault=none
            JobAcctGatherType=jobacct_gather/none
            JobCompType=jobcomp/none
            {accounting}
            SelectType=select/cons_tres
            SelectTypeParameters=CR_Core_Memory
            DefMemPerCPU=100
            SchedulerType=sched/backfill
            SchedulerParameters={",".join(_AT_ONCE)}
            PriorityType=priority/basic
            PreemptType=preempt/partition_prio
            PreemptMode=REQUEUE
            SlurmdParameters=config_overrides
            ReturnToService=2
            JobRequeue=1
            SlurmctldTimeout=10
            SlurmdTimeout=5
            KillWait=2
            MinJobAge={2 if self.has_accounting else 3600}
            MessageTimeout=5
            TCPTimeout=2
            GresTypes=gpu
            {nodes}
            {partition("main", "Default=YES MaxTime=7-0 PriorityTier=10 PreemptMode=OFF")}
            {partition("spot", "MaxTime=7-0 PriorityTier=1 PreemptMode=REQUEUE")}
            {partition("brief", "MaxTime=1 PriorityTier=10 PreemptMode=OFF")}
        """


def _which(command: str) -> str | None:
    return shutil.which(command, path=_SEARCH)


def _clean_environment() -> dict[str, str]:
    """This process's environment without what Slurm would take for options."""
    prefixes = ("SLURM", "SBATCH", "SRUN", "SALLOC", "SQUEUE", "SINFO", "SCANCEL", "SACCT")
    return {k: v for k, v in os.environ.items() if not k.startswith(prefixes)}


def _free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0
