"""Being attached to a pipeline: its progress here while it runs, our Ctrl-C its end."""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from nemo_runspec.execution.attach import discard_rest, handled_signals
from nemo_runspec.pipeline.events import Event, EventReader, make_event
from nemo_runspec.pipeline.progress import Progress, open_progress, print_error
from nemo_runspec.pipeline.supervisor_job import supervisor_log
from nemo_runspec.pipeline.supervisors import Supervisor
from nemo_runspec.store_admin.text import print_json

_POLL_SECONDS = 0.02
# Pants kills us three seconds after Ctrl-C; the line that resumes comes before that.
_STOP_SECONDS = 2.5


def follow(supervisor: Supervisor, command: str, *, is_json: bool = False) -> int:
    """Show a pipeline's progress until it has ended.

    Ctrl-C, SIGTERM, SIGHUP and the loss of whoever reads our output tell its supervisor to stop.

    Args:
        supervisor: the pipeline's.
        command: what a person types to go on where it ended.
        is_json: tell the end as one JSON document on standard output, the progress on standard
            error: ``{"exit_code", "built", "fresh", …, "artifacts": [{"name", "state", …}]}``.

    Returns:
        The exit code: the supervisor's own, or 128 + n when signal n made us stop it.
    """
    received: list[int] = []
    ended_by: list[float] = []

    def stop(signum: int, _frame: FrameType | None = None) -> None:
        if not received:
            received.append(signum)
            ended_by.append(time.monotonic() + _STOP_SECONDS)
            supervisor.stop()

    paths = supervisor.paths
    seen = _Seen()
    with handled_signals(stop):
        reader = EventReader(paths.events)
        try:
            with open_progress(sys.stderr if is_json else sys.stdout) as progress:
                _show_all(supervisor, reader, progress, seen, ended_by)
        except BrokenPipeError:
            discard_rest(sys.stdout.buffer)
            stop(signal.SIGPIPE)
            supervisor.wait()
    code = supervisor.poll()
    log = supervisor_log(paths)
    problems = seen.problems
    if code is None:
        problems.append(f"{supervisor.label} still ends its jobs; its log: {log}")
    elif code < 0 and not received:
        problems.append(f"the pipeline's supervisor was ended; its log: {log}")
    elif code >= 0 and not seen.is_over and not received:
        problems.append(
            f"the pipeline's supervisor could not go on (exit code {code}), as on a full disk; "
            f"its log: {log}"
        )
    for problem in problems:
        print_error(problem)
    if received or (code != 0 and not seen.is_refused):
        print(f"go on with: {command}", file=sys.stderr)
    if received:
        code = 128 + received[0]
    elif code is None or code < 0:
        code = 1
    if is_json:
        print_json({"exit_code": code, **seen.counts, "artifacts": list(seen.artifacts.values())})
    return code


def _show_all(
    supervisor: Supervisor,
    reader: EventReader,
    progress: Progress,
    seen: _Seen,
    ended_by: list[float],
) -> None:
    while True:
        # Asked before reading: what was written before the end is then read for certain.
        ended = supervisor.poll() is not None
        for text in supervisor.news():
            progress.show(make_event("note", text=text))
        for event in reader.read():
            progress.show(event)
            seen.note(event)
        progress.tick()
        if ended or (ended_by and time.monotonic() > ended_by[0]):
            return
        time.sleep(_POLL_SECONDS)


@dataclass
class _Seen:
    """What of the events is told once more at the end, where people look.

    Args:
        problems: a line for each failure.
        is_over: whether the supervisor said how it ended.
        has_run: whether a job was started.
        is_refused: whether it could not begin; the same command again would end the same.
        counts: what was done, in numbers.
        artifacts: the last that was said of each, by name.
    """

    problems: list[str] = field(default_factory=list)
    is_over: bool = False
    has_run: bool = False
    is_refused: bool = False
    counts: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def note(self, event: Event) -> None:
        self.is_over = self.is_over or event.get("event") in ("end", "error")
        self.has_run = self.has_run or event.get("event") in ("queued", "running")
        self.is_refused = event.get("event") == "error" and not self.has_run
        told = {key: value for key, value in event.items() if key not in ("at", "event")}
        if event.get("event") == "end":
            self.counts = {key: value for key, value in told.items() if key != "exit_code"}
        elif event.get("name") and event.get("event") != "note":
            self.artifacts[event["name"]] = {"state": event["event"], **told}
        problem = _problem(event)
        if problem is not None:
            self.problems.append(problem)


def _problem(event: Event) -> str | None:
    """A failure as a line."""
    kind: Any = event.get("event")
    if kind == "error":
        return str(event["message"])
    if kind == "failed":
        log = f"; log: {event['log']}" if event.get("log") else ""
        return f"{event['name']}: {event['why']}{log}"
    return None
