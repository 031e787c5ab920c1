"""Telling of a job that we are attached to, while it says nothing itself."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO, cast

from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.execution.protocol import Executor, Handle
from nemo_runspec.pipeline.heartbeat import Heartbeat
from nemo_runspec.pipeline.progress import duration

_LOOK_SECONDS = 1.0
# A question under way when the job ends is waited for so long, in steps: a signal that comes
# just as Python begins to wait is handled when it next wakes up.
_LAST_SECONDS = 2.0
_WAKE_SECONDS = 0.1


class _Watched:
    """A stream that notes that something was written.

    Args:
        out: gets what is written.
        heartbeat: is told of it.
    """

    def __init__(self, out: BinaryIO, heartbeat: Heartbeat) -> None:
        self._out = out
        self._heartbeat = heartbeat

    def write(self, data: bytes) -> int:
        self._heartbeat.heard()
        return self._out.write(data)

    def flush(self) -> None:
        self._out.flush()

    def fileno(self) -> int:
        return self._out.fileno()


@contextlib.contextmanager
def broken_silence(
    name: str, executor: Executor, handle: Handle, out: BinaryIO, heartbeat: Heartbeat | None = None
) -> Iterator[BinaryIO]:
    """A context in which lines on standard error tell how a silent job stands.

    A job of this machine is left alone where nobody watches: its output is all there is to see,
    and who reads it afterwards has no use for such lines.

    Args:
        name: what the job is called.
        executor: the job's.
        handle: the job.
        out: gets the job's output.
        heartbeat: says when it is time for a line; default: after minutes of silence.

    Yields:
        What to write the job's output to.
    """
    if executor.runs_here and not sys.stderr.isatty():
        yield out
        return
    beat = heartbeat or Heartbeat()
    began = time.monotonic()
    is_over = threading.Event()

    def tell() -> None:
        while not is_over.wait(_LOOK_SECONDS):
            if not beat.is_due():
                continue
            # Where nobody answers, whoever follows the job says so.
            with contextlib.suppress(NemoRunspecError):
                status = executor.status(handle)
                if is_over.is_set():
                    return
                why = f" ({status.why})" if status.why else ""
                span = duration(time.monotonic() - began)
                line = f"note: {name}: {status.state.value} for {span}{why}; it says nothing"
                print(line, file=sys.stderr, flush=True)

    thread = threading.Thread(target=tell, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield cast(BinaryIO, _Watched(out, beat))
    finally:
        is_over.set()
        until = time.monotonic() + _LAST_SECONDS
        while thread.is_alive() and time.monotonic() < until:
            thread.join(_WAKE_SECONDS)
