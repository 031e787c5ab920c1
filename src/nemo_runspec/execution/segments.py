"""How often a job that ends before it is done is started again: `segments` of a profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nemo_runspec.execution.errors import ExecutionError


def more_segments(profile: Mapping[str, Any], attempt: int) -> bool:
    """Whether a job that is unfinished is to go on by itself.

    Args:
        profile: `run.env` of the job config; `segments` says how often a job may be started, once
            without it.
        attempt: how often it was started.

    Raises:
        ExecutionError: `segments` is no number from 1.
    """
    value = profile.get("segments")
    if value is None:
        return False
    if isinstance(value, bool) or not str(value).isdecimal() or int(value) < 1:
        raise ExecutionError(f"run.env.segments: {value!r} is no number from 1")
    return attempt < int(value)
