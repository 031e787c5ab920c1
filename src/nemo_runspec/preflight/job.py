"""The probe as a job: one node, the same image, Python and packages, through the same executor."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.settings import ArtifactsSettings
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.execution.errors import UnreachableError
from nemo_runspec.execution.own_source import own_source
from nemo_runspec.execution.patience import patience_seconds
from nemo_runspec.execution.protocol import Executor, Handle, Job, State, Status
from nemo_runspec.execution.registry import get_executor
from nemo_runspec.jobs import JobPaths, create_job_folder
from nemo_runspec.pipeline.outputs import output_root
from nemo_runspec.pipeline.patience import GivenUp, Patience, is_unreachable
from nemo_runspec.preflight.checks import Check
from runspec import RunspecRun

_NAME = "preflight"
_TIME = "00:05:00"
_POLL_SECONDS = 0.2
_LAST_LINES = 3
# What is for the big job alone, or would run something else than the probe.
_NOT_FOR_PROBES = (
    "pre_ray_start_commands",
    "requeue_on",
    "retries",
    "run_command",
    "segments",
    "signal",
    "timeout",
)


@dataclass(frozen=True)
class Probe:
    """What a probe looks at.

    Args:
        job: the big job, whose place the probe takes; its folder is not used.
        jobs: the jobs' root.
        settings: where its versions are recorded.
        has_code: whether the job's script is a recipe's, whose imports are looked at.
    """

    job: Job
    jobs: Path
    settings: ArtifactsSettings
    has_code: bool = True


def run_probe(
    probe: Probe, executor: Executor, stopping: Callable[[], bool] = lambda: False
) -> list[Check]:
    """Run a probe to its end.

    Args:
        probe: what it looks at.
        executor: runs it.
        stopping: tells whether to end it, for who runs it in a thread that sees no Ctrl-C.

    Returns:
        What it found; one check that failed when it did not come to that.
    """
    paths = JobPaths(create_job_folder(_NAME, probe.jobs))
    try:
        checks = _run(probe, executor, paths, stopping)
    except NemoRunspecError as error:
        shutil.rmtree(paths.folder, ignore_errors=True)
        return [Check("job", False, str(error))]
    if all(check.good for check in checks):
        shutil.rmtree(paths.folder, ignore_errors=True)
    return checks


def probes_executor(profile: Mapping[str, Any]) -> Executor:
    """The executor of a profile's probes."""
    return get_executor(str(profile.get("executor") or "local"))


def _run(
    probe: Probe, executor: Executor, paths: JobPaths, stopping: Callable[[], bool]
) -> list[Check]:
    answer = paths.folder / "preflight.json"
    request = executor.prepare(_job(probe, paths, answer, is_here=executor.runs_here))
    handle = executor.submit(request, attached=executor.runs_here)
    try:
        status = _wait(executor, handle, stopping)
    except KeyboardInterrupt:
        executor.cancel(handle)
        raise
    if status.state is State.SUCCEEDED and answer.exists():
        found = json.loads(answer.read_text(encoding="utf-8"))
        rows: Sequence[tuple[str, bool, str]] = found["rows"]
        return [Check(name, good, detail) for name, good, detail in rows]
    why = f" ({status.why})" if status.why else ""
    code = "" if status.exit_code is None else f", exit code {status.exit_code}"
    said = _last_lines(paths.log)
    return [Check("job", False, f"{status.state.value}{code}{why}{said}; log: {paths.log}")]


def _job(probe: Probe, paths: JobPaths, answer: Path, *, is_here: bool) -> Job:
    script = paths.folder / "probe.py"
    script.write_bytes(own_source("nemo_runspec.preflight", "probe.py"))
    big = probe.job
    # What a recipe says of GPUs asks a cluster for them, and is no more than a default here.
    declared = None if is_here else big.spec.resources.gpus_per_node
    gpus = big.profile.get("gpus_per_node", declared)
    order = {
        "answer": str(answer),
        "requirements": {} if big.package.inherit_path else dict(big.package.requirements),
        "code": str(big.code) if probe.has_code else None,
        "script": str(big.script) if probe.has_code else None,
        "store": probe.settings.root,
        "output": str(output_root(probe.settings)),
        "gpus": gpus if isinstance(gpus, int) and not isinstance(gpus, bool) and gpus else None,
    }
    order_path = paths.folder / "order.json"
    order_path.write_text(json.dumps(order), encoding="utf-8")
    profile = {key: value for key, value in big.profile.items() if key not in _NOT_FOR_PROBES}
    return replace(
        big,
        name=_NAME,
        folder=paths.folder,
        spec=replace(big.spec, run=RunspecRun(launch="direct")),
        script=script,
        config=order_path,
        passthrough=(),
        profile={**profile, "nodes": 1, "ntasks_per_node": 1, "time": _TIME},
        output=paths.output,
        attempt=1,
        context=None,
        key=None,
    )


def _wait(executor: Executor, handle: Handle, stopping: Callable[[], bool]) -> Status:
    patience = Patience(patience_seconds(), stopping)
    shown: tuple[State, str | None] | None = None
    while True:
        try:
            status = patience.until_answered(
                lambda: executor.status(handle), is_unreachable, lambda text: _tell(text)
            )
        except GivenUp as error:
            raise UnreachableError(f"{error}; job {handle.id} was left alone") from error.error
        if status.state.is_final:
            return status
        if stopping():
            executor.cancel(handle)
            return status
        if status.state is State.PENDING and (status.state, status.why) != shown:
            shown = (status.state, status.why)
            _tell(f"job {handle.id} of {executor.name} is queued{_why(status)}")
        time.sleep(_POLL_SECONDS)


def _why(status: Status) -> str:
    return f" ({status.why})" if status.why else ""


def _tell(text: str) -> None:
    print(f"preflight: {text}", file=sys.stderr, flush=True)


def _last_lines(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f": {' / '.join(lines[-_LAST_LINES:])}" if lines else ""
