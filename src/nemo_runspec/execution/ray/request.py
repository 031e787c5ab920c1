"""A job as it is sent to a Ray cluster."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nemo_runspec.execution.command import SECRET_COMMAND_VARIABLE
from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.interpreter import fitting_minors, version_check
from nemo_runspec.execution.job_script import JobScript, job_script
from nemo_runspec.execution.own_source import own_source
from nemo_runspec.execution.protocol import Job, Request
from nemo_runspec.execution.ray.package import Package, make_package
from nemo_runspec.execution.ray.settings import RaySettings, entrypoint, ray_settings
from nemo_runspec.jobs import JobPaths
from nemo_runspec.masking import mask_secrets
from runspec import RunspecRun

# In the job's folder, beside job.sh.
NODE_FILE = "ray_node.py"
ORDERS_FILE = "ray_node.json"
SUPERVISOR_FILE = "supervisor.py"
START_FILE = "ray.sh"
WORKER_FILE = "worker.sh"
CANCELLED_FILE = "cancelled"
PACKAGES_FOLDER = "ray_packages"

_JOB = "job"  # the two halves of an upload
_BUNDLE = "bundle"
# What the job does not need there: what it is to be, and what was said of it.
_STAYS = (
    *("logs", "output", "job.yaml", "handle.json", "ray.json", "status.json", "command.sh"),
    CANCELLED_FILE,
)
_SAFE_NAME = 40

# Ray's own interpreter is none of those on PATH where Ray was started by its path; the command of
# its raylet, which is the parent of the worker that starts us, names it.
_START = """\
#!/bin/sh
raylet=$(sed 's/.*) [A-Za-z] \\([0-9]*\\) .*/\\1/' "/proc/$PPID/stat")
python=$(tr '\\0' '\\n' <"/proc/$raylet/cmdline" |
    sed -n 's/^--python_worker_command=\\([^ ]*\\) .*/\\1/p')
[ -x "$python" ] || python=$(command -v python3 || command -v python) || {
    printf 'error: no Python on %s\\n' "$(uname -n)" >&2
    exit 2
}
exec "$python" -I "$(dirname "$0")/ray_node.py"
"""

_WORKER_COMMAND = f'unset {SECRET_COMMAND_VARIABLE}; eval "exec python $RUNSPEC_RAY_WORKER"'
_WORKER_START = """\
#!/bin/bash
export RUNSPEC_RAY_WORKER=$(printf '%q ' "$@")
"""
_WORKER_LINK = """\
link={link}
[ -e "$link" ] || ln -sfn "$PWD" "$link"
[ "$(stat -c %u "$link")" = "$(id -u)" ] || {{
    printf 'error: %s belongs to somebody else\\n' "$link" >&2
    exit 2
}}
"""


@dataclass(frozen=True)
class RayRequest(Request):
    """One job to be submitted.

    Args:
        folder: the job's folder.
        settings: where the cluster is.
        name: the job's name, as shown to people.
        key: the key of the build that it is for.
        attempt: how many times it was started with its output folder.
        script: what runs, with the paths that the node sees.
        worker: with what Ray starts workers of the job's tasks.
        resources: what the Jobs API is asked to keep free for the command.
        upload: what travels; None where the cluster shares the folder.
        orders: for `ray_node.py`.
        output: the folder that the job writes to, if it is for us to make.
        workdir: the folder to run in, if it is for us to check.
        ray: the version of Ray that the job brings along; None for the cluster's own.
    """

    folder: Path
    settings: RaySettings
    name: str
    key: str | None
    attempt: int
    script: JobScript
    worker: str
    resources: Mapping[str, Any]
    upload: Upload | None
    orders: Mapping[str, Any]
    output: Path | None
    workdir: Path | None
    ray: str | None

    def submission_id(self, generation: int) -> str:
        """The job's own id on the cluster; a repeated submit makes the same.

        Args:
            generation: 1; more when those before have ended without the job being done.
        """
        words = re.sub(r"[^A-Za-z0-9_-]+", "-", self.name).strip("-")[:_SAFE_NAME] or "job"
        what = self.key or str(self.folder)
        digest = hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        again = f"-{generation}" if generation > 1 else ""
        return f"{words}-{digest}-a{self.attempt}{again}"

    def body(self, submission_id: str, package: str | None, submitted_at: float) -> dict[str, Any]:
        """What is sent to the Jobs API.

        Args:
            submission_id: the job's id.
            package: the address of the upload, if there is one.
            submitted_at: seconds since the epoch.
        """
        metadata = {
            "job_name": self.name,
            "runspec_folder": str(self.folder),
            "runspec_submitted_at": f"{submitted_at:.3f}",
        }
        if self.key is not None:
            metadata["runspec_key"] = self.key
        start = f"{_JOB}/{START_FILE}" if self.upload else str(self.folder / START_FILE)
        return {
            "submission_id": submission_id,
            "entrypoint": f"exec sh {shlex.quote(start)}",
            "runtime_env": {} if package is None else {"working_dir": package},
            "metadata": metadata,
            **self.resources,
        }

    def shell_text(self) -> str:
        paths = JobPaths(self.folder)
        package = None if self.upload is None else "gcs://_ray_pkg_DIGEST.zip"
        body = self.body(self.submission_id(1), package, 0)
        # Not known before; a number there would differ from one dry run to the next.
        body["metadata"]["runspec_submitted_at"] = "NOW"
        text = json.dumps(mask_secrets(body), indent=2, ensure_ascii=False)
        variable = self.settings.token_variable
        lines = [
            f"cat >{shlex.quote(str(paths.script))} <<'END_OF_JOB'",
            self.script.shown.rstrip("\n"),
            "END_OF_JOB",
        ]
        if self.upload is not None:
            lines += [
                "# The job's folder and its bundle travel as one zip, named by its content:",
                f"# PUT {self.settings.address}/api/packages/gcs/_ray_pkg_DIGEST.zip",
            ]
        lines += [
            f"curl {shlex.quote(f'{self.settings.address}/api/jobs/')} \\",
            f'  -H "Authorization: Bearer ${variable}" -H "Content-Type: application/json" \\',
            "  --data-binary @- <<'END_OF_REQUEST'",
            text,
            "END_OF_REQUEST",
        ]
        return "\n".join(lines)

    def stage(self) -> Package | None:
        """Puts the job's files in its folder; the upload, if there is one.

        Raises:
            ExecutionError: the folder to run in is missing, or the upload is too large.
        """
        if self.workdir is not None and not self.workdir.is_dir():
            raise ExecutionError(
                f"run.workdir: no folder {str(self.workdir)!r}; "
                "create it or change workdir in the script's [tool.runspec.run]"
            )
        paths = JobPaths(self.folder)
        paths.log.parent.mkdir(exist_ok=True)
        paths.log.touch()
        if self.output is not None:
            self.output.mkdir(parents=True, exist_ok=True)
        self.script.stage(paths)
        files = self._files()
        for name, content in files.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(content)
        return None if self.upload is None else self.upload.package(self.folder)

    def _files(self) -> dict[str, bytes]:
        return {
            NODE_FILE: own_source("nemo_runspec.execution.ray", "ray_node.py"),
            SUPERVISOR_FILE: own_source("nemo_runspec.execution", "supervisor.py"),
            f"{PACKAGES_FOLDER}/sitecustomize.py": own_source(
                "nemo_runspec.execution.ray", "ray_packages.py"
            ),
            START_FILE: _START.encode(),
            WORKER_FILE: self.worker.encode("utf-8", "surrogateescape"),
            ORDERS_FILE: json.dumps(dict(self.orders), indent=2, sort_keys=True).encode(),
        }


@dataclass(frozen=True)
class Upload:
    """What a job takes along to a cluster that shares no folder with us.

    Args:
        bundle: folders by path in the zip.
        replaced: paths of this machine that stand in the job's configs, and what the node has
            in their place.
    """

    bundle: Mapping[str, Path]
    replaced: Mapping[str, str]

    def package(self, folder: Path) -> Package:
        """The zip, with the job's folder as it is now."""
        files = {}
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and name.parts[0] not in _STAYS:
                files[f"{_JOB}/{name.as_posix()}"] = self._on_the_node(path)
        return make_package(files, self.bundle)

    def _on_the_node(self, path: Path) -> bytes:
        content = path.read_bytes()
        if path.suffix not in (".json", ".yaml"):
            return content
        # The longest first: one path may begin with another.
        for here, there in sorted(self.replaced.items(), key=lambda item: -len(item[0])):
            for form in (here, json.dumps(here, ensure_ascii=False)[1:-1]):
                content = content.replace(os_bytes(form), os_bytes(there))
        return content


def os_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def make_request(job: Job) -> RayRequest:
    """The request of a job; nothing is touched.

    Raises:
        ExecutionError: the profile holds what cannot be run.
    """
    settings = ray_settings(job.profile)
    is_shared = bool(job.profile.get("remote_job_dir"))
    digest = hashlib.sha256(os_bytes(str(job.folder))).hexdigest()[:16]
    link = None if is_shared else Path(f"/tmp/nemo-runspec-ray-{digest}")
    there = job if link is None else _moved(job, link)
    env = dict(there.env)
    search = [str(there.folder / PACKAGES_FOLDER), env.get("PYTHONPATH", "")]
    there = replace(there, env={**env, "PYTHONPATH": ":".join(filter(None, search))})
    script = job_script(there)
    if script.secrets and not is_shared:
        names = ", ".join(sorted(script.secrets))
        raise ExecutionError(
            f"the job has secrets ({names}), which never travel by upload; name a folder that the "
            "Ray cluster shares as remote_job_dir in the profile, or set them there and not here"
        )
    ray = None if job.python.interpreter else job.package.requirements.get("ray")
    paths = JobPaths(there.folder)
    own = JobPaths(job.folder)
    output = job.output or own.output
    return RayRequest(
        folder=job.folder,
        settings=settings,
        name=job.name,
        key=job.key,
        attempt=job.attempt,
        script=script,
        worker=_worker(there, link),
        resources=entrypoint(job.profile).fields,
        upload=None if link is None else _upload(job, there),
        orders={
            "script": str(paths.script),
            "worker": str(paths.folder / WORKER_FILE) if link is None else f"{_JOB}/{WORKER_FILE}",
            "link": None if link is None else str(link),
            "log": str(paths.log) if is_shared else None,
            "status": str(paths.status) if is_shared else None,
            "records": str(paths.records),
            "secrets": str(paths.secrets) if is_shared else None,
            "cancelled": str(paths.folder / CANCELLED_FILE),
            "pythons": None if job.python.interpreter else _pythons(job),
        },
        output=output if is_shared else None,
        workdir=job.workdir if is_shared else None,
        ray=ray,
    )


def _moved(job: Job, link: Path) -> Job:
    """The job with the paths that it has on a node."""
    bundle = link / _BUNDLE
    code = bundle / "code"

    def moved(path: Path) -> Path:
        return code / path.relative_to(job.code)

    folder = link / _JOB
    inside = (job.output or JobPaths(job.folder).output).is_relative_to(job.folder)
    output = JobPaths(folder).output if inside else job.output
    pex = None if job.package.pex is None else bundle / job.package.pex.name
    return replace(
        job,
        folder=folder,
        code=code,
        script=moved(job.script),
        source_roots=tuple(moved(path) for path in job.source_roots),
        config=folder / job.config.relative_to(job.folder),
        # A folder of this machine means nothing there, unless the profile names it.
        workdir=Path(str(job.profile["workdir"])) if job.profile.get("workdir") else code,
        package=replace(job.package, pex=pex),
        output=output,
        context=None if job.context is None else folder / job.context.relative_to(job.folder),
    )


def _upload(job: Job, there: Job) -> Upload:
    bundle = {f"{_BUNDLE}/code": job.code}
    if job.package.pex is not None:
        bundle[f"{_BUNDLE}/{job.package.pex.name}"] = job.package.pex
    return Upload(
        bundle,
        {str(job.folder): str(there.folder), str(job.code): str(there.code)},
    )


def _worker(job: Job, link: Path | None) -> str:
    """A script like `job.sh` that becomes a worker of Ray with the job's Python and environment."""
    profile = {
        key: value
        for key, value in job.profile.items()
        if key not in ("run_command", "startup_commands", "pre_ray_start_commands")
    }
    run = RunspecRun(launch="direct", cmd=_WORKER_COMMAND)
    spec = replace(job.spec, run=run)
    # Where Ray puts it: its files are found from there.
    worker = replace(job, profile=profile, spec=spec, passthrough=(), workdir=Path("."))
    start = _WORKER_START
    if link is not None:
        start += _WORKER_LINK.format(link=shlex.quote(str(link)))
    return start + job_script(worker).text


def _pythons(job: Job) -> list[str] | None:
    """The Pythons that the job is made for, without their patches; None for any."""
    constraints = job.package.interpreter_constraints
    if not constraints:
        return None
    return fitting_minors(version_check(constraints))
