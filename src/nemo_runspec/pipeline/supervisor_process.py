"""The process that runs a pipeline's schedule, in a session of its own, outside of Pants.

`start_supervisor` writes what it is to do into the pipeline's folder and starts it; it outlives
whoever started it. SIGTERM tells it to stop: the jobs of this machine are ended, those of a
cluster go on and are picked up by the next call. Started again on the same folder, as a cluster
does with a job of its own (`nemo_runspec.pipeline.supervisor_job`), it goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.settings import ArtifactsSettings
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.execution.patience import patience_seconds
from nemo_runspec.execution.supervisor import identity, is_alive, machine
from nemo_runspec.jobs import PipelinePaths
from nemo_runspec.openlineage.pipeline import told_to_openlineage
from nemo_runspec.pipeline.build import Builder
from nemo_runspec.pipeline.events import EventLog, EventReader, make_event
from nemo_runspec.pipeline.facts import GitFacts
from nemo_runspec.pipeline.in_use import in_use
from nemo_runspec.pipeline.outputs import output_root
from nemo_runspec.pipeline.run import Events, Options, Stop, make_holder, summary_event
from nemo_runspec.pipeline.run_record import RunRecord
from nemo_runspec.pipeline.schedule import Schedule
from nemo_runspec.pipeline.setting import open_pipeline
from nemo_runspec.utils import write_atomically
from runspec import RunspecError
from runspec.plan import CONFIGS_FOLDER

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2

# The interpreter gets the module path that this process has: inside a PEX it has no other way to
# find the library.
_BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.readline()); "
    "from nemo_runspec.pipeline.supervisor_process import main; sys.exit(main(sys.argv[1]))"
)


class SupervisorError(NemoRunspecError):
    """A pipeline's supervisor cannot be started, or its folder cannot be read."""


@dataclass(frozen=True)
class Order:
    """What a supervisor is to do.

    Args:
        plan: the folder with `plan.json` and `configs`.
        bundles: folder of each recipe's kept bundle, by the recipe's address.
        pythons: the interpreter of a recipe's jobs, by the recipe's address, where one was chosen.
        roots: addresses of the artifacts that were asked for.
        settings: how the store is used (`ArtifactsSettings` as plain data).
        profile: the profile of env.toml; None without one.
        parallel: so many jobs at once.
        forced: addresses of the artifacts to build even if they are fresh.
        keep_going: whether what does not depend on a failure goes on.
        max_gpu_hours: start nothing more once so much was spent.
        jobs: the jobs' root.
        cwd: the folder that it was asked for in.
        commit: the commit of the working tree.
        dirty: whether the working tree differs from it.
        states: (name, state) of each artifact, as it was planned, for those who look on.
    """

    plan: str
    bundles: dict[str, str]
    pythons: dict[str, str]
    roots: list[str]
    settings: dict[str, Any]
    profile: str | None
    parallel: int
    forced: list[str]
    keep_going: bool
    max_gpu_hours: float | None
    jobs: str
    cwd: str
    commit: str | None
    dirty: bool | None
    states: list[list[str]]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Order:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class SupervisorState:
    """A supervisor's process, and how it ended.

    Args:
        machine: where it runs.
        process: its identity (`nemo_runspec.execution.supervisor.identity`).
        exit_code: None while it runs.
    """

    machine: str
    process: dict[str, Any]
    exit_code: int | None = None

    @property
    def is_running(self) -> bool:
        """Whether it still runs; one of another machine is believed to."""
        if self.exit_code is not None:
            return False
        return self.machine != machine() or is_alive(self.process)


def start_supervisor(order: Order, paths: PipelinePaths) -> subprocess.Popen[bytes]:
    """Start the supervisor of a pipeline.

    Args:
        order: what it is to do.
        paths: the pipeline's folder, which exists.

    Returns:
        Its process, a child of this one that survives it.
    """
    write_atomically(paths.order, order.to_json(), private=True)
    with open(paths.log, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _BOOTSTRAP, str(paths.folder)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=order.cwd,
            start_new_session=True,
        )
    assert process.stdin is not None
    try:
        with process.stdin as orders:
            orders.write(json.dumps(sys.path).encode() + b"\n")
    except BrokenPipeError:
        last = paths.log.read_text(errors="replace").strip().rpartition("\n")[2]
        raise SupervisorError(
            f"the pipeline's supervisor did not start with {sys.executable}: {last}"
        ) from None
    return process


def read_state(paths: PipelinePaths) -> SupervisorState | None:
    """What a supervisor wrote of itself; None before it did.

    Raises:
        SupervisorError: the file cannot be read.
    """
    try:
        document: dict[str, Any] = json.loads(paths.state.read_text(encoding="utf-8"))
        state = SupervisorState(**document)
        int(state.process["pid"])
        return state
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SupervisorError(f"{paths.state}: cannot be read: {error}") from error


def main(folder: str) -> int:
    """The supervisor: runs the order in a pipeline's folder.

    Returns:
        0 when all is fresh, 1 when something failed or was stopped, 2 after bad input.
    """
    paths = PipelinePaths(Path(folder))
    stop = Stop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda received, _frame: stop.ask(received))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    state = SupervisorState(machine(), identity(os.getpid()))
    _write_state(paths, state)
    try:
        order = Order.from_json(paths.order.read_text(encoding="utf-8"))
        code = _run(order, paths, stop)
    except (NemoRunspecError, RunspecError) as error:
        code = _report(paths, str(error), EXIT_BAD_INPUT)
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        code = _report(paths, f"{error.strerror or error}{place}", EXIT_BAD_INPUT)
    except Exception as error:
        traceback.print_exc()
        code = _report(paths, f"{type(error).__name__}: {error}; log: {paths.log}", EXIT_FAILED)
    with contextlib.suppress(OSError):
        _write_state(paths, SupervisorState(state.machine, state.process, code))
    return code


def _run(order: Order, paths: PipelinePaths, stop: Stop) -> int:
    pipeline = open_pipeline(
        Path(order.plan),
        profile=order.profile,
        roots=order.roots,
        settings=ArtifactsSettings(**order.settings),
    )
    built_before, spent_before = _progress_so_far(paths)
    builder = Builder(
        view=pipeline.view,
        settings=pipeline.settings,
        outputs=output_root(pipeline.settings),
        configs=pipeline.folder / CONFIGS_FOLDER,
        jobs=Path(order.jobs),
        bundles={recipe: Path(folder) for recipe, folder in order.bundles.items()},
        pythons={recipe: Path(python) for recipe, python in order.pythons.items()},
        profile=order.profile,
        git=GitFacts(order.commit, order.dirty),
        stopping=lambda: stop.asked,
        pipeline=str(paths.folder),
        patience=patience_seconds(),
    )
    options = Options(
        parallel=order.parallel,
        keep_going=order.keep_going,
        forced=frozenset(order.forced),
        max_gpu_hours=order.max_gpu_hours,
        holder=make_holder(str(paths.folder)),
        built_before=built_before,
        spent_before=spent_before,
    )
    log = EventLog(paths.events)
    events = Events(log)
    events.tell("begin", total=len(pipeline.graph.order), nodes=order.states)
    with told_to_openlineage(events, pipeline.view, paths.folder, order.roots):
        with in_use(pipeline.world, options.holder):
            pipeline.world.preload()
            schedule = Schedule(pipeline.graph, pipeline.world, builder, options, events, stop)
            record = RunRecord.begin(pipeline, paths.folder, builder.git)
            summary = schedule.run()
            record.end(schedule.steps(), summary.exit_code)
        events.tell("end", **summary_event(summary))
    log.close()
    return summary.exit_code


def _progress_so_far(paths: PipelinePaths) -> tuple[frozenset[str], float]:
    """What a supervisor built that was in this folder before us, and the GPU-hours it took."""
    built = [each for each in EventReader(paths.events).read() if each.get("event") == "built"]
    hours = sum(float(each.get("gpu_hours") or 0.0) for each in built)
    return frozenset(str(each["name"]) for each in built), hours


def _report(paths: PipelinePaths, message: str, code: int) -> int:
    # On a full disk none of it may be possible; whoever follows sees the exit code then.
    with contextlib.suppress(OSError):
        print(f"error: {message}", file=sys.stderr, flush=True)
    with contextlib.suppress(OSError):
        log = EventLog(paths.events)
        log.append(make_event("error", message=message, exit_code=code))
        log.close()
    return code


def _write_state(paths: PipelinePaths, state: SupervisorState) -> None:
    write_atomically(paths.state, json.dumps(asdict(state), indent=1, sort_keys=True) + "\n")
