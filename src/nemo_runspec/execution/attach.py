"""Being attached to a job: its output here while it runs, our signals its end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import BinaryIO

from nemo_runspec.execution.protocol import Executor, Handle, Status

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Attached:
    """How an attached run ended.

    Args:
        status: the job's.
        signum: the signal that made us end it; None when it ended by itself.
    """

    status: Status
    signum: int | None

    @property
    def exit_code(self) -> int:
        """What a process that stood for the job would exit with; 1 when nobody knows."""
        if self.signum is not None:
            return 128 + self.signum
        return 1 if self.status.exit_code is None else self.status.exit_code


def attach(executor: Executor, handle: Handle, out: BinaryIO) -> Attached:
    """Follows a job to its end: what it writes goes to `out`, untouched.

    Ctrl-C, SIGTERM, SIGHUP and the loss of whoever reads `out` cancel the job; what it writes
    while it ends is shown all the same.
    """
    received: list[int] = []

    def cancel(signum: int, _frame: FrameType | None = None) -> None:
        if not received:
            received.append(signum)
            executor.cancel(handle)

    with handled_signals(cancel):
        try:
            for chunk in executor.logs(handle, follow=True):
                out.write(chunk)
                out.flush()
        except BrokenPipeError:
            discard_rest(out)
            cancel(signal.SIGPIPE)
        status = executor.wait(handle)
    return Attached(status, received[0] if received else None)


@contextmanager
def held_signals() -> Iterator[list[int]]:
    """Holds back Ctrl-C, SIGTERM and SIGHUP for as long as it takes to have a job's handle.

    Yields:
        The signals that came, in order; whoever holds them answers them.
    """
    received: list[int] = []
    with handled_signals(lambda signum, _frame: received.append(signum)):
        yield received


def discard_rest(out: BinaryIO) -> None:
    """Leads a stream that nobody reads any more to nowhere, what is still buffered too.

    Otherwise Python fails to flush it when it ends, and its exit code hides ours.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, out.fileno())
    os.close(nowhere)


@contextmanager
def handled_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """A context in which `handler` gets the signals that ask to stop, and nothing else does.

    Those that are ignored on purpose stay so; outside of the main thread there is nothing to do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may have signal handlers
        return
    found = {signum: signal.getsignal(signum) for signum in _STOP_SIGNALS}
    # nohup and `&` in scripts ignore some on purpose; None is a handler that is not Python's.
    before = {s: h for s, h in found.items() if h is not None and h is not signal.SIG_IGN}
    for signum in before:
        signal.signal(signum, handler)
    try:
        yield
    finally:
        for signum, present in before.items():
            signal.signal(signum, present)
