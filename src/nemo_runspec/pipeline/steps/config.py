"""How a pipeline of steps is to be run."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from nemo_runspec._names import hint
from nemo_runspec.exceptions import UsageError
from nemo_runspec.execution.environment import is_shell_name

Launcher = Literal["local", "nemo-run", "sbatch"]
NemoRunExecutor = Literal["local", "slurm", "dgxcloud", "lepton"]


@dataclass
class PipelineConfig:
    """How `run_pipeline` runs its steps.

    Args:
        launcher: `local` (processes of this machine), `nemo-run`, or `sbatch` (one batch script).
        nproc_per_node: processes, hence GPUs, of a torchrun step on each node.
        executor: what NeMo-Run is to run the steps with.
        account: Slurm account.
        partition: Slurm partition.
        nodes: nodes of the allocation.
        time: its time limit, `HH:MM:SS`.
        container_image: image that the steps run in on Slurm; None runs them on the nodes.
        mounts: its mounts, `SOURCE:TARGET`.
        job_name: name of the Slurm job, or of NeMo-Run's experiment.
        tunnel: how NeMo-Run reaches Slurm: from here, or over ssh.
        host: the cluster's login host.
        user: user name there.
        remote_job_dir: folder there that jobs are kept in.
        identity: file of the ssh key.
        env_vars: `NAME=value` each. A secret among them never stands in a script.
        dry_run: show what would run, and run nothing.
        detach: return as soon as the steps are submitted (nemo-run; sbatch always does).
        verbose: say which step starts, on standard error.
    """

    launcher: Launcher = "local"
    nproc_per_node: int = 8
    executor: NemoRunExecutor = "local"
    account: str | None = None
    partition: str | None = None
    nodes: int = 1
    time: str = "04:00:00"
    container_image: str | None = None
    mounts: list[str] = field(default_factory=list)
    job_name: str = "pipeline"
    tunnel: Literal["local", "ssh"] = "local"
    host: str | None = None
    user: str | None = None
    remote_job_dir: str | None = None
    identity: str | None = None
    env_vars: list[str] = field(default_factory=list)
    dry_run: bool = False
    detach: bool = False
    verbose: bool = True

    def say(self, line: str) -> None:
        """Tells a person how it goes, on standard error: standard output is the last step's."""
        if self.verbose:
            print(line, file=sys.stderr, flush=True)

    def environment(self) -> dict[str, str]:
        """`env_vars` by name.

        Raises:
            UsageError: one is not of the form `NAME=value`.
        """
        variables = {}
        for entry in self.env_vars:
            name, equals, value = entry.partition("=")
            if not equals or not is_shell_name(name):
                # Its text may be the value of a secret that somebody forgot to name.
                shown = f"{name!r}" if equals else "an entry without '='"
                raise UsageError(f"env_vars: {shown} is not of the form NAME=value")
            variables[name] = value
        return variables

    def profile(self) -> dict[str, Any]:
        """The keys of an env.toml profile that mean the same, for `create_executor`."""
        values = {
            "executor": self.executor,
            "account": self.account,
            "partition": self.partition,
            "nodes": self.nodes,
            "gpus_per_node": self.nproc_per_node,
            "nproc_per_node": self.nproc_per_node,
            "ntasks_per_node": 1,
            "time": self.time,
            "exclusive": True,
            "container_image": self.container_image,
            "mounts": list(self.mounts),
            "tunnel": self.tunnel,
            "host": self.host,
            "user": self.user,
            "remote_job_dir": self.remote_job_dir,
            "identity": self.identity,
        }
        return {name: value for name, value in values.items() if value is not None}

    def check(self) -> None:
        """Refuses what cannot be run.

        Raises:
            UsageError: a value that does not exist, or one that is missing.
        """
        _one_of("launcher", self.launcher, get_args(Launcher))
        _one_of("executor", self.executor, get_args(NemoRunExecutor))
        _one_of("tunnel", self.tunnel, ("local", "ssh"))
        for name, value in (("nproc_per_node", self.nproc_per_node), ("nodes", self.nodes)):
            if value < 1:
                raise UsageError(f"{name}: {value} is none; a step needs at least 1")
        on_slurm = self.launcher == "sbatch" or (
            self.launcher == "nemo-run" and self.executor == "slurm"
        )
        needed = ["account", "partition"] if on_slurm else []
        if on_slurm and self.launcher == "nemo-run" and self.tunnel == "ssh":
            needed += ["host", "user", "remote_job_dir"]
        missing = [name for name in needed if not getattr(self, name)]
        if missing:
            raise UsageError(f"launcher {self.launcher!r} on Slurm needs {', '.join(missing)}")
        self.environment()


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name}: unknown {value!r}; {hint(value, choices)}")
