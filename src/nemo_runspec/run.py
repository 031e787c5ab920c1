"""NeMo-Run: how one of its runs is configured, and what of it is mended for jobs of this field.

Each mending is a function, checks whether this NeMo-Run still needs it, and does no harm when
called again. Measured with NeMo-Run 0.11.1.
"""

from __future__ import annotations

import functools
import inspect
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nemo_runspec.execution.nemo_run_library import nemo_run

__all__ = [
    "RAY_CPU_TEMPLATE",
    "RunConfig",
    "patch_nemo_run_ray_template_for_cpu",
    "patch_nemo_run_rsync_accept_new_host_keys",
    "start_ray_job",
]

RAY_CPU_TEMPLATE = Path(__file__).parent / "templates" / "ray_cpu.sub.j2"
# Anchored ones (a slash first) are folders of the repository's root alone.
_NOT_SENT = (
    ".git",
    ".venv",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".runspec",
    ".nemotron",
    ".env",
    "*.pem",
    "id_rsa*",
    "id_ed25519*",
    "/artifacts",
    "/output",
    "/outputs",
    "/wandb",
)
_SSH_OPTIONS = {
    # A new host is taken down, a changed one refused; and nobody is asked.
    "StrictHostKeyChecking": "accept-new",
    "BatchMode": "yes",
    "ConnectTimeout": "30",
}
_MENDED = "_nemo_runspec_mended"


@dataclass(frozen=True)
class RunConfig:
    """One run of a Ray recipe through NeMo-Run, as a command describes it.

    Args:
        name: what the run is called.
        command: what runs beside Ray's head, a shell line.
        workdir: the local folder that goes to the cluster, and that the command starts in there.
        pre_ray_start_commands: shell lines that each node runs before Ray starts.
        detach: return when it is submitted.
    """

    name: str
    command: str
    workdir: str
    pre_ray_start_commands: Sequence[str] = field(default_factory=tuple)
    detach: bool = False


def start_ray_job(config: RunConfig, executor: Any, *, dryrun: bool = False) -> Any:
    """Starts a Ray cluster in one Slurm allocation, which runs a command and goes.

    Args:
        config: the run.
        executor: of `create_slurm_executor(…, launcher=None)`.
        dryrun: print the batch script, submit nothing.

    Returns:
        NeMo-Run's `RayJob`, whose log was followed to its end unless it is detached.

    Raises:
        MissingNemoRunError: NeMo-Run is not here.
    """
    patch_nemo_run_rsync_accept_new_host_keys()
    patch_nemo_run_ray_template_for_cpu()
    ray = nemo_run("a Ray cluster on Slurm", "nemo_run.run.ray.job")
    # Where a cluster of the name is alive, NeMo-Run would leave out the new command in silence.
    job = ray.RayJob(name=f"{config.name}-{uuid.uuid4().hex[:8]}", executor=executor)
    job.start(
        command=config.command,
        workdir=config.workdir,
        pre_ray_start_commands=list(config.pre_ray_start_commands),
        dryrun=dryrun,
    )
    if not config.detach and not dryrun:
        job.logs(follow=True)
    return job


def patch_nemo_run_ray_template_for_cpu() -> None:
    """Has Ray clusters on Slurm use a script of ours, which knows nodes without GPUs.

    NeMo-Run's own counts CPUs as sixteen for each of eight GPUs, whatever the nodes have; needs
    `host` and `jq`, and listens on all addresses.

    Raises:
        MissingNemoRunError: NeMo-Run is not here.
    """
    slurm = nemo_run("a Ray cluster on Slurm", "nemo_run.run.ray.slurm")
    request = slurm.SlurmRayRequest
    if getattr(request, _MENDED, False):
        return
    materialize = request.materialize

    @functools.wraps(materialize)
    def with_our_template(self: Any) -> Any:
        # A template that somebody chose stays.
        if self.template_dir is None and not self.executor.heterogeneous:
            self.template_dir = str(RAY_CPU_TEMPLATE.parent)
            self.template_name = RAY_CPU_TEMPLATE.name
        return materialize(self)

    request.materialize = with_our_template
    setattr(request, _MENDED, True)


def patch_nemo_run_rsync_accept_new_host_keys() -> None:
    """Keeps the rsync of NeMo-Run's ssh tunnel from waiting for somebody to type `yes`.

    It shells out to the system's ssh, which asks about a host that it has not seen. Options that
    the caller gives win. What nobody wants on a cluster (`.git`, virtual environments, keys) is
    left out unless the caller says what to leave out.

    Raises:
        MissingNemoRunError: NeMo-Run is not here.
    """
    tunnel = nemo_run("an ssh tunnel", "nemo_run.core.tunnel.rsync")
    if getattr(tunnel.rsync, _MENDED, False):
        return
    mended = _accepting(tunnel.rsync)
    was = tunnel.rsync
    tunnel.rsync = mended
    for user in ("nemo_run.run.experiment", "nemo_run.run.ray.slurm"):
        module = nemo_run("an ssh tunnel", user)
        if getattr(module, "rsync", None) is was:
            module.rsync = mended


def _accepting(rsync: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(rsync)

    @functools.wraps(rsync)
    def mended(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind_partial(*args, **kwargs).arguments
        options = str(given.get("ssh_opts") or "")
        missing = [
            f"-o {name}={value}" for name, value in _SSH_OPTIONS.items() if name not in options
        ]
        given["ssh_opts"] = " ".join([*([options] if options else []), *missing])
        given.setdefault("exclude", _NOT_SENT)
        return rsync(**given)

    setattr(mended, _MENDED, True)
    return mended
