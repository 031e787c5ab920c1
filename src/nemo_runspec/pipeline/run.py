"""One run of a pipeline: how it is asked for, when it stops, what it says, what came of it."""

from __future__ import annotations

import os
import queue
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nemo_runspec.artifacts.settings import user_name
from nemo_runspec.pipeline.events import Event, EventLog, make_event
from nemo_runspec.pipeline.progress import describe


class Stop:
    """Whether a pipeline was told to stop; a signal handler may ask."""

    def __init__(self) -> None:
        self.asked = False
        self.wakeup: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask(self, _signum: int = 0) -> None:
        """Stop as soon as may be."""
        self.asked = True
        self.wakeup.put(None)


@dataclass(frozen=True)
class Options:
    """How a schedule is run.

    Args:
        parallel: so many jobs at once.
        keep_going: whether what does not depend on a failure goes on.
        forced: addresses of the artifacts to build even if they are fresh.
        max_gpu_hours: start nothing more once so much was spent; None for no limit.
        holder: what others read who wait for a lease of ours.
        built_before: names of what this pipeline built before its supervisor was started again; it
            is not built anew for having been forced.
        spent_before: the GPU-hours that it spent until then.
    """

    parallel: int = 1
    keep_going: bool = False
    forced: frozenset[str] = frozenset()
    max_gpu_hours: float | None = None
    holder: Mapping[str, Any] = field(default_factory=dict)
    built_before: frozenset[str] = frozenset()
    spent_before: float = 0.0


@dataclass(frozen=True)
class Summary:
    """What came of a schedule.

    Args:
        built: how many versions were made.
        fresh: how many artifacts were fresh.
        failed: how many builds failed.
        stopped: how many were ended before they had ended.
        skipped: how many were not run for a failure or the end.
        seconds: how long it took.
        gpu_hours: what the builds cost.
        exit_code: 0, or 1 when something that was asked for is not fresh.
    """

    built: int
    fresh: int
    failed: int
    stopped: int
    skipped: int
    seconds: float
    gpu_hours: float
    exit_code: int


class Events:
    """Where events go: the pipeline's file, and as text to the supervisor's log."""

    def __init__(self, log: EventLog | None = None) -> None:
        self._log = log
        self.listener: Callable[[Event], None] | None = None
        """Told of each event, before it is written."""

    def tell(self, kind: str, **fields: Any) -> None:
        """Tell that something happened now."""
        event: Event = make_event(kind, **fields)
        if self.listener is not None:
            self.listener(event)
        if self._log is not None:
            self._log.append(event)
        line = describe(event)
        if line is not None and self._log is not None:
            print(line, file=sys.stdout, flush=True)


def make_holder(pipeline: str) -> dict[str, Any]:
    """What others read who wait for a lease of this process."""
    return {
        "user": user_name(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "pipeline": pipeline,
    }


def describe_holder(holder: Mapping[str, Any]) -> str:
    """Who holds a lease, for people."""
    user, host = holder.get("user", "somebody"), holder.get("host", "another machine")
    since = holder.get("since")
    pid = f", process {holder['pid']}" if "pid" in holder else ""
    return f"{user} on {host}{pid}{f', since {since},' if since else ''}"


def summary_event(summary: Summary) -> dict[str, Any]:
    """The fields of the event that ends a pipeline."""
    return {
        "exit_code": summary.exit_code,
        "built": summary.built,
        "fresh": summary.fresh,
        "failed": summary.failed,
        "stopped": summary.stopped,
        "skipped": summary.skipped,
        "seconds": round(summary.seconds, 3),
        "gpu_hours": round(summary.gpu_hours, 6),
    }
