"""The progress of a pipeline, for people: a live table on a terminal, plain lines elsewhere.

The table's rows tell the time, and the last line of a running job's log. Where there is no terminal
a line now and then tells that jobs go on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from nemo_runspec.display import completion_lines, completion_panel
from nemo_runspec.pipeline.events import Event
from nemo_runspec.pipeline.heartbeat import Heartbeat, last_line
from nemo_runspec.pipeline.made import labelled_details

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

_MOST_TOLD = 4
_MOST_PANELS = 8
_LOOK_SECONDS = 1.0
_STYLES = {
    "built": "green",
    "fresh": "green",
    "queued": "cyan",
    "running": "yellow",
    "waiting": "magenta",
    "failed": "red",
    "stopped": "red",
    "skipped": "dim",
    "pending": "dim",
}


class Progress(Protocol):
    """Shows events as they come; a context manager."""

    def __enter__(self) -> Progress: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, event: Event) -> None:
        """Show one event."""

    def tick(self) -> None:
        """Called often while nothing happens."""


def open_progress(out: TextIO) -> Progress:
    """The live table if `out` is a terminal, else plain lines."""
    return _LiveTable(out) if out.isatty() else _Lines(out)


def describe(event: Event) -> str | None:
    """An event as a line of text; None for those that say nothing to people."""
    line = _LINES.get(str(event.get("event")))
    return None if line is None else line(event)


def describe_end(event: Event) -> str:
    """The last line: what was done, in numbers."""
    counts = [
        (event.get("built", 0), "built {}"),
        (event.get("fresh", 0), "{} fresh"),
        (event.get("failed", 0), "{} failed"),
        (event.get("stopped", 0), "{} stopped"),
        (event.get("skipped", 0), "{} not run"),
    ]
    told = [text.format(count) for count, text in counts if count]
    hours = event.get("gpu_hours") or 0.0
    if hours:
        told.append(f"{hours:.2f} GPU-hours")
    told.append(duration(event.get("seconds") or 0.0))
    return ", ".join(told)


def duration(seconds: float) -> str:
    """A time span for people: `12 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _fresh(event: Event) -> str:
    return f"{event['name']}: fresh ({_version(event)})"


def _waiting(event: Event) -> str:
    return f"{event['name']}: waiting, {event['holder']} builds it"


def _running(event: Event) -> str:
    attempt = event.get("attempt", 1)
    again = f", attempt {attempt}" if attempt > 1 else ""
    job = f" as job {event['id']} of {event['executor']}" if event.get("id") else ""
    why = event.get("why", "stale")
    return f"{event['name']}: running{again}{job} ({why}); log: {event['log']}"


def _queued(event: Event) -> str:
    attempt = event.get("attempt", 1)
    again = f", attempt {attempt}" if attempt > 1 else ""
    why = f" ({event['why']})" if event.get("why") else ""
    job = f"job {event['id']} of {event['executor']}"
    return f"{event['name']}: queued{again} as {job}{why}; log: {event['log']}"


def _built(event: Event) -> str:
    same = ", same content as before" if event.get("same") else ""
    return (
        f"{event['name']}: built {_version(event)} in {duration(event.get('seconds') or 0.0)}{same}"
    )


def _failed(event: Event) -> str:
    log = f"; log: {event['log']}" if event.get("log") else ""
    return f"{event['name']}: failed, {event['why']}{log}"


def _stopped(event: Event) -> str:
    return f"{event['name']}: stopped ({event['why']})"


def _skipped(event: Event) -> str:
    return f"{event['name']}: not run, {event['why']}"


def _note(event: Event) -> str:
    return f"{event['name']}: {event['text']}" if event.get("name") else str(event["text"])


def _version(event: Event) -> str:
    return f"v{event['version']}"


_LINES: dict[str, Callable[[Event], str]] = {
    "fresh": _fresh,
    "waiting": _waiting,
    "queued": _queued,
    "running": _running,
    "built": _built,
    "failed": _failed,
    "stopped": _stopped,
    "skipped": _skipped,
    "note": _note,
    "end": describe_end,
}


class _Lines:
    """One line an event; what is fresh from the start is only counted, in the last line.

    Args:
        out: gets the lines.
        clock: seconds that pass.
    """

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._heartbeat = Heartbeat(clock)
        # Since when, and the log, by name.
        self._at_work: dict[str, tuple[float, str]] = {}

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.flush()

    def show(self, event: Event) -> None:
        kind, name = event.get("event"), str(event.get("name"))
        if kind in ("running", "queued", "waiting"):
            self._at_work[name] = (self._clock(), str(event.get("log") or ""))
        elif kind != "note":
            self._at_work.pop(name, None)
        line = None if kind == "fresh" else describe(event)
        if line is None:
            return
        self._heartbeat.heard()
        details = labelled_details(event.get("details") or {})
        self._write([line, *(f"  {each}" for each in completion_lines(details))])

    def tick(self) -> None:
        if not self._at_work or not self._heartbeat.is_due():
            return
        now = self._clock()
        told = [f"{name} ({duration(now - since)})" for name, (since, _) in self._at_work.items()]
        more = f" and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
        said = [last_line(log) for _, log in self._at_work.values() if log]
        last = f"; its log: {said[0]}" if len(told) == 1 and said and said[0] else ""
        self._write([f"still at work: {', '.join(told[:_MOST_TOLD])}{more}{last}"])

    def _write(self, lines: Sequence[str]) -> None:
        self._out.write("".join(f"{line}\n" for line in lines))
        self._out.flush()


class _LiveTable:
    """A table with a row for each artifact that was not fresh from the start."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=out, highlight=False)
        self._rows: dict[str, dict[str, Any]] = {}
        self._made: list[tuple[str, Mapping[str, str]]] = []
        self._looked: dict[str, tuple[float, str]] = {}
        self._live: Live | None = None
        self._end: str | None = None

    def __enter__(self) -> _LiveTable:
        from rich.live import Live

        self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=4)
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        assert self._live is not None
        self._live.__exit__(*error)
        for name, details in self._made[:_MOST_PANELS]:
            self._console.print(completion_panel(name, details))
        if self._end is not None:
            self._console.print(self._end, markup=False, soft_wrap=True)

    def show(self, event: Event) -> None:
        kind, name = str(event.get("event")), event.get("name")
        if kind == "begin":
            for shown, state in event.get("nodes", ()):
                if state != "fresh":
                    self._rows[shown] = {"state": "pending", "detail": state}
        elif kind == "end":
            self._end = describe(event)  # below the table, which stands until it is left
        elif kind == "note":
            self._console.print(describe(event), markup=False, soft_wrap=True)
        elif name in self._rows or kind != "fresh":
            self._rows[str(name)] = {
                "state": kind,
                "detail": _detail(event),
                "at": event["at"],
                "log": event.get("log"),
            }
            if event.get("details"):
                took = {"Time": duration(event.get("seconds") or 0.0)}
                self._made.append((str(name), {**labelled_details(event["details"]), **took}))

    def tick(self) -> None:
        """The table is drawn anew by itself."""

    def _log_line(self, log: str) -> str:
        """The last line of a log, looked at once a second: it may be on a network's disk."""
        now = time.monotonic()
        at, line = self._looked.get(log, (-_LOOK_SECONDS, ""))
        if now - at >= _LOOK_SECONDS:
            line = last_line(log)
            self._looked[log] = (now, line)
        return line

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        # What does not fit is cut off the last column, never off a name.
        table = Table(box=None, pad_edge=False, show_header=False, expand=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for name, row in self._rows.items():
            state = row["state"]
            detail = row["detail"]
            if state in ("queued", "running"):
                said = self._log_line(row["log"]) if state == "running" and row["log"] else ""
                detail = f"{duration(max(0.0, time.time() - row['at']))}  {said or detail}"
            style = _STYLES.get(state, "")
            table.add_row(Text(name), Text(state, style=style), Text(detail))
        return table


def _detail(event: Event) -> str:
    text = describe(event) or ""
    # The row says name and state already.
    return text.partition(": ")[2].removeprefix(f"{event['event']}").lstrip(", ")


def print_error(message: str) -> None:
    """One line on standard error."""
    print(f"error: {message}", file=sys.stderr, flush=True)
