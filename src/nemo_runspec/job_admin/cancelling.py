"""``nemo-runspec jobs cancel``."""

from __future__ import annotations

import sys

from nemo_runspec.command_line import Command, Flag, Given
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.job_admin.found import FoundJob, FoundPipeline, Item
from nemo_runspec.job_admin.places import PROFILE, Places

COMMAND = Command(
    "jobs cancel",
    "JOB …",
    (
        "Tells jobs to end and returns at once; `jobs wait` waits for it.",
        "A pipeline's jobs of this machine end with it; its jobs on a cluster go on, and the next "
        "`materialize` picks them up, unless --with-jobs ends them too.",
    ),
    (Flag(("--with-jobs",), "a pipeline's jobs on a cluster too"), PROFILE),
    at_least=1,
    at_most=None,
    examples=("jobs cancel 4711", "jobs cancel 20260131-235959-pipeline --with-jobs"),
    has_store=False,
)


def run(given: Given) -> int:
    """Ends jobs; 1 when one of them cannot be told."""
    places = Places(given.value(PROFILE.names[0]))
    # All are looked up before the first is ended.
    items = [places.find(text) for text in given.arguments]
    code = 0
    for item in items:
        code |= _cancel(item)
        if isinstance(item, FoundPipeline):
            for job in item.jobs():
                if given.has("--with-jobs"):
                    code |= _cancel(job)
                else:
                    _say_what_goes_on(job)
    return code


def _say_what_goes_on(job: FoundJob) -> None:
    number = f"job {job.job_id} of {job.executor}"
    try:
        if not job.status().state.is_final:
            print(f"{job.folder.name}: goes on as {number}")
    except NemoRunspecError as error:
        print(f"{job.folder.name}: may go on as {number}: {error}")


def _cancel(item: Item) -> int:
    try:
        status = item.status()
        if status.state.is_final:
            print(f"{item.folder.name}: had ended ({status.state.value})")
            return 0
        item.cancel()
    except NemoRunspecError as error:
        print(f"error: {item.folder.name}: {error}", file=sys.stderr)
        return 1
    print(f"{item.folder.name}: told to end")
    return 0
