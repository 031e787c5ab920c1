"""Jobs from the command line, whoever started them: `nemo-runspec jobs …`.

Each command is a module with its help, which is the manual, and a function ``run``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nemo_runspec.command_line import Command, Given

JOBS_HELP = """\
usage: nemo-runspec jobs COMMAND …

commands:
  ls [NAME-GLOB …]    jobs and pipelines: where they run, how they stand
  logs JOB            what a job wrote; with -f until it has ended
  cancel JOB …        end jobs
  wait JOB            wait for a job's end; its exit code is ours

JOB is a job's folder, the folder's name or a part of it that no other has, or what its executor
calls it, such as 4711. `nemo-runspec jobs COMMAND --help` tells more.
"""

_COMMANDS = ("ls", "logs", "cancel", "wait")


def run_jobs(argv: Sequence[str]) -> int:
    """Runs `nemo-runspec jobs …`.

    Returns:
        The exit code.

    Raises:
        NemoRunspecError: something is wrong with the command line, or the jobs cannot be asked for.
    """
    from nemo_runspec.command_line import run_group, run_parsed

    return run_group(
        "jobs", JOBS_HELP, _COMMANDS, argv, lambda name, rest: run_parsed(*_load(name), rest)
    )


def _load(name: str) -> tuple[Command, Callable[[Given], int]]:
    # Import statements, which Pants finds, each run only where its command is.
    if name == "jobs ls":
        from nemo_runspec.job_admin import listing

        return listing.COMMAND, listing.run
    if name == "jobs logs":
        from nemo_runspec.job_admin import logs

        return logs.COMMAND, logs.run
    if name == "jobs cancel":
        from nemo_runspec.job_admin import cancelling

        return cancelling.COMMAND, cancelling.run
    from nemo_runspec.job_admin import waiting

    return waiting.COMMAND, waiting.run
