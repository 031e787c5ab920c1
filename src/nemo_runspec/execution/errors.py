"""What can go wrong with running a job."""

from __future__ import annotations

from nemo_runspec.exceptions import NemoRunspecError


class ExecutionError(NemoRunspecError):
    """A job cannot be run: its command, its folder, its interpreter or its executor."""


class UnreachableError(ExecutionError):
    """Whoever runs the jobs did not answer, within the bound of their executor.

    It says nothing of the job: nobody may take it for ended, or submit it once more.
    """
