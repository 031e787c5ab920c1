"""`nemo-runspec supervise`: goes on with a pipeline; what a supervisor on a cluster is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from nemo_runspec.command_line import HELP, Command, parse
from nemo_runspec.exceptions import UsageError
from nemo_runspec.jobs import PipelinePaths
from nemo_runspec.pipeline.supervisor_job import ENVIRONMENT_VARIABLE, take_environment
from nemo_runspec.pipeline.supervisor_process import main, read_state

SUPERVISE = Command(
    "supervise",
    "FOLDER",
    (
        "Goes on with a pipeline, in the foreground, where its supervisor ended: with the same "
        "plan, bundles and options, and with the jobs that went on without it.",
        "FOLDER is the pipeline's, as `materialize` names it. A cluster runs this where a profile "
        'says supervisor = "slurm".',
    ),
    at_least=1,
    at_most=1,
    examples=("supervise .runspec/jobs/_pipelines/20260131-235959-pipeline",),
    has_store=False,
)


def run_supervise(arguments: Sequence[str]) -> int:
    """``nemo-runspec supervise``; returns the exit code of the pipeline."""
    given = parse(SUPERVISE, arguments)
    if given.has(HELP.names[0]):
        print(SUPERVISE.help(), end="")
        return 0
    paths = PipelinePaths(Path(given.arguments[0]).absolute())
    if not paths.order.is_file():
        raise UsageError(f"{paths.folder}: there is no pipeline; it would have an order.json")
    state = read_state(paths)
    if ENVIRONMENT_VARIABLE in os.environ:
        take_environment()
        _write_to(paths.log)
    elif state is not None and state.is_running:
        raise UsageError(
            f"{paths.folder}: its supervisor still runs, on {state.machine.split()[0]} as process "
            f"{state.process.get('pid')}; follow it with: tail -f {paths.log}"
        )
    return main(str(paths.folder))


def _write_to(log: Path) -> None:
    """Leads what this process writes to where people look for a supervisor's log."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
