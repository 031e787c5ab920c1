"""``nemo-runspec jobs wait``."""

from __future__ import annotations

import sys
import time

from nemo_runspec.command_line import Command, Given
from nemo_runspec.execution.protocol import State
from nemo_runspec.job_admin.found import patient_status
from nemo_runspec.job_admin.places import PROFILE, Places

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
    while not (status := patient_status(item)).state.is_final:
        time.sleep(_POLL_SECONDS)
    if status.state is State.SUCCEEDED:
        return 0
    why = f" ({status.why})" if status.why else ""
    print(f"{item.folder.name}: {status.state.value}{why}", file=sys.stderr)
    return status.exit_code or 1
