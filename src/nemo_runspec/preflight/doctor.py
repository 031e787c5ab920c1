"""``nemo-runspec doctor``: whether a profile can run jobs, and what it lacks."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.settings import ArtifactsSettings, environment_settings
from nemo_runspec.bundles import read_bundle
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.command_line import FORMAT, STORE, Command, Flag, Given, run_parsed
from nemo_runspec.config.plain import to_plain
from nemo_runspec.env import PROFILE_KEYS, parse_env
from nemo_runspec.exceptions import NemoRunspecError, UsageError
from nemo_runspec.execution.environment import build_env_vars
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.protocol import Executor, Job
from nemo_runspec.execution.registry import get_executor
from nemo_runspec.pipeline.submit import compose, profile_jobs_root
from nemo_runspec.pipeline.supervisor_job import supervisor_executor
from nemo_runspec.preflight.checks import Check, Section, print_checks, print_sections_json
from nemo_runspec.preflight.job import Probe, run_probe
from nemo_runspec.preflight.machine import machine_checks
from nemo_runspec.preflight.recipes import recipe_checks
from nemo_runspec.preflight.store import check_folder
from nemo_runspec.squash import get_squash_path, is_squashed
from nemo_runspec.store_admin.text import plural
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
        "Looks whether jobs can run from here: env.toml and its profiles, the store (by an "
        "exclusive create), W&B's login where [artifacts] has wandb = true, git, disk space, and "
        "whether Pants keeps its cache on a disk of this machine. Each finding has its fix.",
        "With a profile also: its keys, the commands it needs, Slurm or Ray, the image, the "
        "folders; then by a job of a few seconds on one node: the Python there, the store, the "
        "output folder, the GPUs. With BUNDLE, a recipe's bundle, that job has the recipe's image, "
        "packages and imports.",
        "The exit code is 1 when something is not as it has to be.",
    ),
    (
        Flag(("--profile", "--run", "-r"), "the profile of env.toml", "PROFILE"),
        Flag(("--no-job",), "look from here only, start nothing"),
        FORMAT,
    ),
    at_most=1,
    examples=("doctor", "doctor --profile prod", "doctor --profile prod dist/nano3/pretrain"),
)


def run_doctor(arguments: Sequence[str]) -> int:
    """``nemo-runspec doctor``; returns the exit code."""
    return run_parsed(DOCTOR, _doctor, arguments)


def _doctor(given: Given) -> int:
    name = given.value("--profile")
    if name is None and given.arguments:
        raise UsageError(
            f"doctor: with which profile is {given.arguments[0]} to run? {DOCTOR.usage()} "
            "--profile PROFILE"
        )
    report = _Report(is_json=given.value(FORMAT.names[0]) == "json")
    report.add("this machine", machine_checks(partial(_settings, given)))
    if name is not None:
        _profile(given, name, report)
    return report.end()


def _profile(given: Given, name: str, report: _Report) -> None:
    found = parse_env(GlobalContext(run=name))
    profile: Mapping[str, Any] = {} if found is None else to_plain(found)
    executor = get_executor(str(profile.get("executor") or "local"))
    settings = _settings(given)
    supervisor_executor(profile, name)
    good = report.add(f"profile {name}", _from_here(name, profile, executor))
    if given.has("--no-job"):
        return
    if not report.is_good:
        report.note("no job was started")
        return
    if not good:
        return
    title, checks = _by_job(given, name, profile, executor, settings)
    report.add(title, checks)


class _Report:
    """What was found: printed as it is, or as one document at the end."""

    def __init__(self, *, is_json: bool) -> None:
        self._is_json = is_json
        self._sections: list[Section] = []

    @property
    def is_good(self) -> bool:
        return all(section.good for section in self._sections)

    def add(self, title: str, checks: Iterable[Check]) -> bool:
        """Add a section; whether all in it is good."""
        section = Section(title, list(checks))
        self._sections.append(section)
        if not self._is_json:
            print_checks(title, section.checks)
            sys.stdout.flush()  # a job takes its time
        return section.good

    def note(self, text: str) -> None:
        if not self._is_json:
            print(text)

    def end(self) -> int:
        """The exit code."""
        if self._is_json:
            print_sections_json(self._sections)
        return 0 if self.is_good else 1


def _settings(given: Given) -> ArtifactsSettings:
    root = given.value(STORE.names[0])
    return ArtifactsSettings(root=root) if root else environment_settings()


def _from_here(name: str, profile: Mapping[str, Any], executor: Executor) -> Iterator[Check]:
    """What can be seen without a job."""
    unknown = sorted(set(profile) - PROFILE_KEYS)
    keys = plural(len(profile), "key") + (
        f"; for ${{…}} only: {', '.join(unknown)}" if unknown else ""
    )
    yield Check("keys", True, keys)
    yield Check("executor", True, executor.name)
    is_missing = False
    for command in _COMMANDS.get(executor.name, ()):
        path = shutil.which(command)
        is_missing = is_missing or path is None
        wanted = f'no {command} in PATH; run this where it is, or set tunnel = "ssh" and host'
        yield Check(command, path is not None, path or wanted)
    if executor.name == "slurm" and not is_missing:
        yield _slurm()
    if executor.name in _BY_NEMO_RUN:
        yield _nemo_run()
    if executor.name == "ray":
        yield _ray(profile)
    yield from _image(name, profile, executor)
    jobs = profile_jobs_root(profile)
    is_named = bool(profile.get("remote_job_dir")) or executor.name not in _SHARED
    yield check_folder(
        "jobs", jobs, "" if is_named else "; the nodes have to see it: set remote_job_dir"
    )


def _slurm() -> Check:
    from nemo_runspec.execution.slurm.client import SlurmClient

    try:
        SlurmClient().run(["squeue", "--user", str(os.getuid()), "--noheader"])
    except NemoRunspecError as error:
        return Check("slurm", False, str(error), "ask with `scontrol ping`; is slurmctld down?")
    return Check("slurm", True, "slurmctld answers")


def _image(name: str, profile: Mapping[str, Any], executor: Executor) -> Iterator[Check]:
    """The image of the profile, where it can be seen from here."""
    image = str(profile.get("container_image") or profile.get("container") or "")
    if not image:
        return
    if is_squashed(image):
        there = Path(image).expanduser().exists()
        fix = f"`nemo-runspec squash IMAGE --profile {name}` makes squash files"
        yield Check("image", there, image if there else f"no file {image}", fix)
        return
    folder = profile.get("remote_job_dir")
    if executor.name == "slurm" and folder:
        squash = Path(get_squash_path(image, str(folder)))
        when = f"no squash file yet; `nemo-runspec squash --profile {name}` makes one now"
        yield Check("image", True, f"{squash}" if squash.exists() else f"{image}: {when}")
    else:
        yield Check("image", True, f"{image}, fetched where jobs run")


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


def _by_job(
    given: Given,
    name: str,
    profile: Mapping[str, Any],
    executor: Executor,
    settings: ArtifactsSettings,
) -> tuple[str, Sequence[Check]]:
    jobs = profile_jobs_root(profile)
    if given.arguments:
        bundle = read_bundle(Path(given.arguments[0]))
        composed = compose(bundle, GlobalContext(run=name), [])
        return f"preflight of {composed.name}", recipe_checks(composed, jobs)
    return "a node", run_probe(_bare(profile, settings, jobs), executor)


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
