"""``nemo-runspec jobs wait``."""

from __future__ import annotations

import sys
import time

from nemo_runspec.command_line import Command, Given
from nemo_runspec.execution.errors import UnreachableError
from nemo_runspec.execution.protocol import State, Status
from nemo_runspec.job_admin.found import Item
from nemo_runspec.job_admin.places import PROFILE, Places
from nemo_runspec.pipeline.patience import GivenUp, Patience, is_unreachable, patience_seconds

_POLL_SECONDS = 0.2

COMMAND = Command(
    "jobs wait",
    "JOB",
    (
        "Waits for a job's end, or a pipeline's. The exit code is the job's own; 1 for one that "
        "was lost or is unfinished.",
    ),
    (PROFILE,),
    at_least=1,
    at_most=1,
    examples=("jobs wait 4711 && echo done",),
    has_store=False,
)


def run(given: Given) -> int:
    """Waits for a job; returns its exit code."""
    item = Places(given.value(PROFILE.names[0])).find(given.arguments[0])
    status = _wait(item)
    if status.state is State.SUCCEEDED:
        return 0
    why = f" ({status.why})" if status.why else ""
    print(f"{item.folder.name}: {status.state.value}{why}", file=sys.stderr)
    return status.exit_code or 1


def _wait(item: Item) -> Status:
    patience = Patience(patience_seconds(), lambda: False)
    while True:
        try:
            status = patience.until_answered(item.status, is_unreachable, _tell)
        except GivenUp as error:
            raise UnreachableError(f"{error}; the job was left alone") from error.error
        if status.state.is_final:
            return status
        time.sleep(_POLL_SECONDS)


def _tell(text: str) -> None:
    print(f"note: {text}", file=sys.stderr, flush=True)
