"""``nemo-runspec doctor``: whether a profile can run jobs, and what it lacks."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.settings import ArtifactsSettings, environment_settings, user_name
from nemo_runspec.artifacts.view import open_view
from nemo_runspec.bundles import read_bundle
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.command_line import HELP, STORE, Command, Flag, Given, parse
from nemo_runspec.config.plain import to_plain
from nemo_runspec.env import PROFILE_KEYS, parse_env
from nemo_runspec.exceptions import NemoRunspecError, UsageError
from nemo_runspec.execution.environment import build_env_vars
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.protocol import Executor, Job
from nemo_runspec.execution.registry import get_executor
from nemo_runspec.pipeline.outputs import output_root
from nemo_runspec.pipeline.submit import compose, profile_jobs_root
from nemo_runspec.pipeline.supervisor_job import supervisor_executor
from nemo_runspec.preflight.checks import Check, print_checks
from nemo_runspec.preflight.job import Probe, run_probe
from nemo_runspec.preflight.recipes import preflight
from nemo_runspec.store import Lease
from runspec import Runspec
from runspec.models import RunspecResources

_COMMANDS = {
    "slurm": ("sbatch", "squeue", "scontrol", "scancel"),
    "docker": ("docker",),
}
_BY_NEMO_RUN = ("slurm", "docker", "dgxcloud", "lepton")
_PATIENCE_SECONDS = 5.0
_SHARED = ("slurm",)  # whose nodes work in the job's folder itself

DOCTOR = Command(
    "doctor",
    "[BUNDLE]",
    (
        "Looks whether a profile of env.toml can run jobs: its keys, the commands it needs, the "
        "folders; then by a job of a few seconds on one node: the Python there, the store, the "
        "output folder, the GPUs.",
        "With BUNDLE, a recipe's bundle, the job has that recipe's image, packages and imports. "
        "The exit code is 1 when something is not as it has to be.",
    ),
    (
        Flag(("--profile", "--run", "-r"), "the profile of env.toml", "PROFILE"),
        Flag(("--no-job",), "look from here only, start nothing"),
    ),
    at_most=1,
    examples=("doctor --profile prod", "doctor --profile prod dist/nano3/pretrain"),
)


def run_doctor(arguments: Sequence[str]) -> int:
    """``nemo-runspec doctor``; returns the exit code."""
    given = parse(DOCTOR, arguments)
    if given.has(HELP.names[0]):
        print(DOCTOR.help(), end="")
        return 0
    name = given.value("--profile")
    if name is None:
        raise UsageError(f"doctor needs a profile of env.toml: {DOCTOR.usage()} --profile PROFILE")
    found = parse_env(GlobalContext(run=name))
    profile: Mapping[str, Any] = {} if found is None else to_plain(found)
    executor = get_executor(str(profile.get("executor") or "local"))
    settings = _settings(given)
    supervisor_executor(profile, name)
    good = print_checks(f"profile {name}", list(_from_here(profile, executor, settings)))
    if given.has("--no-job"):
        return 0 if good else 1
    if not good:
        print("no job was started")
        return 1
    return 0 if _by_job(given, name, profile, executor, settings) else 1


def _settings(given: Given) -> ArtifactsSettings:
    root = given.value(STORE.names[0])
    return ArtifactsSettings(root=root) if root else environment_settings()


def _from_here(
    profile: Mapping[str, Any], executor: Executor, settings: ArtifactsSettings
) -> Iterator[Check]:
    """What can be seen without a job."""
    unknown = sorted(set(profile) - PROFILE_KEYS)
    keys = f"{len(profile)} keys" + (f"; for ${{…}} only: {', '.join(unknown)}" if unknown else "")
    yield Check("keys", True, keys)
    yield Check("executor", True, executor.name)
    for command in _COMMANDS.get(executor.name, ()):
        path = shutil.which(command)
        wanted = f'no {command} in PATH; run this where it is, or set tunnel = "ssh" and host'
        yield Check(command, path is not None, path or wanted)
    if executor.name in _BY_NEMO_RUN:
        yield _nemo_run()
    if executor.name == "ray":
        yield _ray(profile)
    jobs = profile_jobs_root(profile)
    is_named = bool(profile.get("remote_job_dir")) or executor.name not in _SHARED
    yield _folder(
        "jobs", jobs, "" if is_named else "; the nodes have to see it: set remote_job_dir"
    )
    yield from _store(settings)


def _nemo_run() -> Check:
    if importlib.util.find_spec("nemo_run") is None:
        return Check(
            "nemo-run",
            False,
            "this launcher is without NeMo-Run; `pants nemo-runspec -- doctor --profile …` brings "
            "it along, elsewhere: pip install nemo-run",
        )
    from importlib.metadata import version

    return Check("nemo-run", True, version("nemo-run"))


def _ray(profile: Mapping[str, Any]) -> Check:
    from nemo_runspec.execution.ray.jobs_api import JobsApi
    from nemo_runspec.execution.ray.settings import ray_settings

    try:
        settings = ray_settings(profile)
        version = JobsApi(settings, _PATIENCE_SECONDS).ray_version()
    except NemoRunspecError as error:
        return Check("ray", False, str(error))
    return Check("ray", True, f"{version} at {settings.address}")


def _store(settings: ArtifactsSettings) -> Iterator[Check]:
    try:
        view = open_view(settings)
        if view is None:
            yield Check("store", True, "none: versions are not recorded")
            return
        # As whoever builds does it: an exclusive create, on whatever the store is.
        with contextlib.ExitStack() as held:
            lease = view.store.acquire("doctor", {"user": user_name()})
            if isinstance(lease, Lease):
                held.enter_context(lease)
        yield Check("store", True, view.store.root)
        yield _folder("output", output_root(settings), "")
    except NemoRunspecError as error:
        yield Check("store", False, str(error))


def _folder(what: str, folder: Path, note: str) -> Check:
    path = folder / f".doctor-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        path.unlink()
    except OSError as error:
        return Check(what, False, f"{folder} cannot be written: {error.strerror}")
    return Check(what, True, f"{folder}{note}")


def _by_job(
    given: Given,
    name: str,
    profile: Mapping[str, Any],
    executor: Executor,
    settings: ArtifactsSettings,
) -> bool:
    jobs = profile_jobs_root(profile)
    if given.arguments:
        bundle = read_bundle(Path(given.arguments[0]))
        return preflight(compose(bundle, GlobalContext(run=name), []), jobs)
    return print_checks("a node", run_probe(_bare(profile, settings, jobs), executor))


def _bare(profile: Mapping[str, Any], settings: ArtifactsSettings, jobs: Path) -> Probe:
    """A probe without a recipe: the node's own Python."""
    from omegaconf import OmegaConf

    image = profile.get("container_image") or profile.get("container")
    nowhere = jobs / "preflight"
    python = JobPython()
    if get_executor(str(profile.get("executor") or "local")).runs_here:
        python = JobPython(Path(sys.executable))
    job = Job(
        name="preflight",
        folder=nowhere,
        spec=Runspec(resources=RunspecResources(gpus_per_node=0)),
        code=nowhere,
        script=nowhere / "probe.py",
        source_roots=(),
        config=nowhere / "order.json",
        passthrough=(),
        profile=profile,
        env=build_env_vars(OmegaConf.create({}), profile),
        workdir=Path.cwd(),
        python=python,
        image=str(image) if image else None,
    )
    return Probe(job, jobs, settings, has_code=False)
