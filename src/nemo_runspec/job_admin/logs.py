"""``nemo-runspec jobs logs``."""

from __future__ import annotations

import sys

from nemo_runspec.command_line import Command, Flag, Given
from nemo_runspec.job_admin.places import PROFILE, Places

COMMAND = Command(
    "jobs logs",
    "JOB",
    (
        "Prints what a job has written. For a pipeline that is what its supervisor said.",
        "Ctrl-C ends the command, not the job.",
    ),
    (Flag(("--follow", "-f"), "go on until the job has ended"), PROFILE),
    at_least=1,
    at_most=1,
    examples=("jobs logs -f 4711", "jobs logs 20260131-235959-nano3-train"),
    has_store=False,
)


def run(given: Given) -> int:
    """Prints a job's log."""
    item = Places(given.value(PROFILE.names[0])).find(given.arguments[0])
    sys.stdout.flush()
    out = sys.stdout.buffer
    for piece in item.logs(follow=given.has("--follow")):
        out.write(piece)
        out.flush()
    return 0
