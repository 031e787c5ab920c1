"""Where jobs live on disk: the one place that knows the names of their files.

<repository>/.runspec/jobs/
  _bundles/<digest>/            what the jobs run, one copy per bundle
  _files/<digest>               the large files of bundles, which have them as hard links
  20260131-235959-nano3-train/  one job
    job.yaml  train.yaml        the compiled configs
    command.sh                  the command as it was started, for its owner's eyes; secret
                                variables stand as $NAME
    job.sh                      what runs on a cluster's node instead
    node_python.py              beside it: what opens the job's Python there
    secrets.sh                  its secret variables, for its owner alone, until its end
    handle.json                 its handle, for whoever comes later
    ray.json                    on what Ray it runs, and under what name
    service.json                what a service that runs containers must be told of it again
    status.json                 its state, process ids and exit code
    logs/job.log                standard output and error, in the order they were written
    logs/slurm.log              what Slurm said meanwhile
    cancel                      the job is to end, or not to start any more
    array.json                  its place in a job array of Slurm's
    slurm_job                   a link to nowhere, named by the number under which Slurm runs it
    bin/python  bin/python3     the job's interpreter
    output/                     RUNSPEC_OUTPUT_DIR, unless the job builds an artifact
    context.json                what the job is told about artifacts, RUNSPEC_JOB_CONTEXT
    records.jsonl               the versions that it logged
    metrics.jsonl  cards/       what it noted about them (nemo_runspec.artifacts.notes)
  _launchers/<digest>/          launchers that jobs or other machines start
  _relay/                       of commands that other machines sent (nemo_runspec.relay)
  _workspace/                   where those run
  _arrays/<name>/               what Slurm starts for the elements of a job array
  _pipelines/<id>/              one `materialize`
    plan.json  configs/         what was planned
    order.json                  what its supervisor was told to do
    state.json                  its process, and how it ended
    events.jsonl                what happened, one event a line
    log                         its supervisor's standard output and error
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nemo_runspec.utils import find_repository_root

_MAX_NAME = 100  # most filesystems end names at 255 bytes; the rest is time stamp and suffix


@dataclass(frozen=True)
class JobPaths:
    """The files of one job.

    Args:
        folder: the job's folder, whether it exists yet or not.
    """

    folder: Path

    @property
    def job_config(self) -> Path:
        return self.folder / "job.yaml"

    @property
    def train_config(self) -> Path:
        return self.folder / "train.yaml"

    @property
    def command(self) -> Path:
        return self.folder / "command.sh"

    @property
    def script(self) -> Path:
        return self.folder / "job.sh"

    @property
    def node_python(self) -> Path:
        return self.folder / "node_python.py"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets.sh"

    @property
    def handle(self) -> Path:
        return self.folder / "handle.json"

    @property
    def status(self) -> Path:
        return self.folder / "status.json"

    @property
    def log(self) -> Path:
        return self.folder / "logs" / "job.log"

    @property
    def ray(self) -> Path:
        return self.folder / "ray.json"

    @property
    def service(self) -> Path:
        return self.folder / "service.json"

    @property
    def slurm_log(self) -> Path:
        return self.folder / "logs" / "slurm.log"

    @property
    def cancel(self) -> Path:
        return self.folder / "cancel"

    @property
    def array(self) -> Path:
        return self.folder / "array.json"

    @property
    def slurm_job(self) -> Path:
        return self.folder / "slurm_job"

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def output(self) -> Path:
        return self.folder / "output"

    @property
    def context(self) -> Path:
        return self.folder / "context.json"

    @property
    def records(self) -> Path:
        return self.folder / "records.jsonl"


@dataclass(frozen=True)
class PipelinePaths:
    """The files of one `materialize`.

    Args:
        folder: its folder.
    """

    folder: Path

    @property
    def order(self) -> Path:
        return self.folder / "order.json"

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def log(self) -> Path:
        return self.folder / "log"


def jobs_root(start: Path | None = None) -> Path:
    """`.runspec/jobs` of the repository around `start` (default: the working directory).

    Outside of any repository it is below `start` itself.
    """
    here = start or Path.cwd()
    return (find_repository_root(here) or here.absolute()) / ".runspec" / "jobs"


def launcher_copy(root: Path, digest: str) -> Path:
    """Where the jobs below `root` keep the launcher with this digest (SHA-256, hexadecimal)."""
    return root / "_launchers" / digest[:32] / "launcher.pex"


def shared_files(root: Path) -> Path:
    """Where the jobs below `root` keep what several bundles hold, by content."""
    return root / "_files"


def bundle_copy(root: Path, digest: str) -> Path:
    """Where the jobs below `root` keep the bundle with this digest."""
    return root / "_bundles" / digest[:32]


def arrays_root(root: Path) -> Path:
    """Where the job arrays of the jobs below `root` have their folders."""
    return root / "_arrays"


def pipelines_root(root: Path) -> Path:
    """Where the pipelines beside the jobs below `root` have their folders."""
    return root / "_pipelines"


def plan_job_folder(name: str, root: Path, now: datetime | None = None) -> Path:
    """The folder that a job of this name would get now; creates nothing."""
    stamp = (now or datetime.now()).strftime("%Y%m%d-%H%M%S")
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:_MAX_NAME] or "job"
    return root / f"{stamp}-{safe}"


def create_job_folder(name: str, root: Path) -> Path:
    """Creates a folder that no other job has, however many start in the same second.

    Raises:
        OSError: if the folder cannot be created.
    """
    planned = plan_job_folder(name, root)
    root.mkdir(parents=True, exist_ok=True)
    folder, n = planned, 1
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            n += 1
            folder = planned.with_name(f"{planned.name}-{n}")
        else:
            return folder
