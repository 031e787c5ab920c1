"""The supervisor of a pipeline as a small job of the cluster: `supervisor = "slurm"` in a profile.

It is a job like any other, from the same executor, whose command is `nemo-runspec supervise` with
the launcher that runs now. The cluster may start it again: it goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nemo_runspec.exceptions import ProfileError
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.protocol import Job, JobPackage
from nemo_runspec.execution.registry import get_executor
from nemo_runspec.jobs import JobPaths, PipelinePaths, launcher_copy
from nemo_runspec.pipeline.submit import with_partition
from nemo_runspec.pipeline.supervisor_process import Order
from nemo_runspec.pipeline.supervisors import ClusterSupervisor
from nemo_runspec.utils import write_atomically
from runspec import Runspec
from runspec.models import RunspecResources, RunspecRun

# By its name a secret, so that it travels as one: the whole environment of the launcher.
ENVIRONMENT_VARIABLE = "RUNSPEC_SUPERVISOR_SECRET"

_NAME = "supervisor"
_MEMORY = "2G"
# Of the profile only what says where jobs may be queued: the rest is for the jobs' own nodes.
_KEYS = (
    "account",
    "comment",
    "executor",
    "host",
    "partition",
    "qos",
    "remote_job_dir",
    "reservation",
    "tunnel",
    "user",
)
# What belongs to one machine or one process of it; a PEX sets its own again.
_OWN = frozenset(("HOSTNAME", "OLDPWD", "PWD", "SHLVL", "TMPDIR", "_", ENVIRONMENT_VARIABLE))
_OWN_PREFIXES = ("PEX", "__PEX", "SLURM_")
_KEPT = ("SLURM_CONF",)
_OF_THE_JOB = ("RUNSPEC_", "SLURM_")


def supervisor_executor(profile: Mapping[str, Any], profile_name: str | None) -> str | None:
    """The executor that a profile wants its pipelines' supervisors to be jobs of.

    Returns:
        Its name; None for a process of this machine.

    Raises:
        ProfileError: `supervisor` names none whose jobs run on a cluster.
        ExecutionError: there is no such executor, or it cannot be loaded.
    """
    named = profile.get("supervisor")
    if named is None or named == "local":
        return None
    own = profile.get("executor")
    if named != own or get_executor(str(named)).runs_here:
        raise ProfileError(
            f"profile {profile_name!r}: supervisor is {named!r} and executor {own!r}; a supervisor "
            'is a job of the profile\'s own cluster, or a process here: supervisor = "local"'
        )
    return str(named)


def start_supervisor_job(
    order: Order, paths: PipelinePaths, profile: Mapping[str, Any]
) -> ClusterSupervisor:
    """Submit the supervisor of a pipeline.

    Args:
        order: what it is to do.
        paths: the pipeline's folder, which exists and which the cluster's nodes share.
        profile: the pipeline's profile.

    Raises:
        ExecutionError: it cannot be submitted.
        UnreachableError: the cluster does not answer; it was not submitted.
    """
    write_atomically(paths.order, order.to_json(), private=True)
    job_paths = supervisor_job(paths)
    job_paths.folder.mkdir()
    executor = get_executor(str(profile["executor"]))
    request = executor.prepare(_job(order, paths, job_paths, profile))
    handle = executor.submit(request, attached=False)
    write_atomically(job_paths.handle, handle.to_json() + "\n")
    return ClusterSupervisor(executor, handle, paths)


def take_environment() -> None:
    """In a supervisor's job: the environment of the launcher that submitted it, for this process.

    Configs and profiles may refer to it, so that keys would differ without it.
    """
    text = os.environ.pop(ENVIRONMENT_VARIABLE, None)
    if text is None:
        return
    # The jobs that it submits are no steps of its own, nor told what it is told itself.
    for name in [name for name in os.environ if name.startswith(_OF_THE_JOB)]:
        if name not in _KEPT:
            del os.environ[name]
    os.environ.update(json.loads(text))


def supervisor_job(paths: PipelinePaths) -> JobPaths:
    """The folder of a supervisor's job, whether it is one or not."""
    return JobPaths(paths.folder / _NAME)


def supervisor_log(paths: PipelinePaths) -> Path:
    """Where a supervisor wrote; else the log of its job, which did not come to start it."""
    job = supervisor_job(paths).log
    return job if job.exists() and not paths.log.exists() else paths.log


def _job(
    order: Order, paths: PipelinePaths, job_paths: JobPaths, profile: Mapping[str, Any]
) -> Job:
    script, command, python, package = _launcher(Path(order.jobs), paths, job_paths)
    profile = with_partition(profile, is_attached=False)
    values = {key: profile[key] for key in _KEYS if profile.get(key) is not None}
    time = profile.get("supervisor_time")
    environment = {name: value for name, value in os.environ.items() if not _is_own(name)}
    return Job(
        name=_NAME,
        folder=job_paths.folder,
        spec=Runspec(
            name=_NAME,
            run=RunspecRun(launch="direct", cmd=command),
            resources=RunspecResources(nodes=1, gpus_per_node=0),
        ),
        code=job_paths.folder,
        script=script,
        source_roots=(),
        config=paths.order,
        passthrough=(),
        profile={
            **values,
            **({} if time is None else {"time": time}),
            "nodes": 1,
            "ntasks_per_node": 1,
            "gpus_per_node": 0,
            "mem": _MEMORY,
        },
        env={ENVIRONMENT_VARIABLE: json.dumps(environment)},
        workdir=Path(order.cwd),
        python=python,
        package=package,
    )


def _launcher(
    jobs: Path, paths: PipelinePaths, job_paths: JobPaths
) -> tuple[Path, str, JobPython, JobPackage]:
    """What runs the supervisor: the script, the command, its Python."""
    pex = os.environ.get("PEX")
    folder = shlex.quote(str(paths.folder))
    if pex:
        kept = _keep_launcher(Path(pex), jobs)
        minor = f"CPython=={sys.version_info[0]}.{sys.version_info[1]}.*"
        command = f"exec python {shlex.quote(str(kept))} supervise {folder}"
        return kept, command, JobPython(), JobPackage(interpreter_constraints=(minor,))
    script = job_paths.folder / "supervise.py"
    script.write_text(
        "import sys\n"
        f"sys.path[:] = {[path for path in sys.path if path]!r}\n"
        "from nemo_runspec.cli import main\n"
        f"sys.exit(main(['supervise', {str(paths.folder)!r}]))\n",
        encoding="utf-8",
    )
    return script, "exec python {script}", JobPython(Path(sys.executable)), JobPackage()


def _keep_launcher(pex: Path, jobs: Path) -> Path:
    """A copy of the launcher where the cluster sees it; one for each content."""
    with open(pex, "rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    kept = launcher_copy(jobs, digest.hexdigest())
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_name(f".{uuid.uuid4().hex}")
        shutil.copyfile(pex, temporary)
        os.replace(temporary, kept)
    return kept


def _is_own(name: str) -> bool:
    return name in _OWN or (name.startswith(_OWN_PREFIXES) and name not in _KEPT)
