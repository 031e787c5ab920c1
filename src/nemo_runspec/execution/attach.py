"""Being attached to a job: its output here while it runs.

Our end is the end of a job of this machine; one of a cluster goes on without us.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import BinaryIO

from nemo_runspec.execution.errors import UnreachableError
from nemo_runspec.execution.protocol import Executor, Handle, State, Status

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Attached:
    """How an attached run ended.

    Args:
        status: the job's; not final when it goes on without us.
        signum: the signal that made us end it or go; None when it ended by itself.
    """

    status: Status
    signum: int | None

    @property
    def exit_code(self) -> int:
        """What a process that stood for the job would exit with; 1 when nobody knows."""
        if self.signum is not None:
            return 128 + self.signum
        return 1 if self.status.exit_code is None else self.status.exit_code


class _Leave(BaseException):
    """A signal came, and the job is to go on."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(signum)


def attach(
    executor: Executor,
    handle: Handle,
    out: BinaryIO,
    answered: Callable[[UnreachableError], None] | None = None,
) -> Attached:
    """Follows a job to its end: what it writes goes to `out`, untouched.

    Ctrl-C, SIGTERM, SIGHUP and the loss of whoever reads `out` cancel a job of this machine; what
    it writes while it ends is shown all the same. A job of a cluster is left running.

    Args:
        executor: the job's.
        handle: the job.
        out: gets its output.
        answered: called when nobody answers; it returns when somebody may again, or raises.

    Raises:
        UnreachableError: nobody answers, and there is no `answered`.
    """
    follow = _Following(executor, handle, out, answered)
    if not executor.runs_here:
        return _follow_or_leave(follow)
    received: list[int] = []

    def cancel(signum: int, _frame: FrameType | None = None) -> None:
        if not received:
            received.append(signum)
            executor.cancel(handle)

    with handled_signals(cancel):
        try:
            follow.to_the_end()
        except BrokenPipeError:
            discard_rest(out)
            cancel(signal.SIGPIPE)
        status = executor.wait(handle)
    return Attached(status, received[0] if received else None)


@dataclass
class _Following:
    """A job's output, taken up again where it was left when nobody answered for a while."""

    executor: Executor
    handle: Handle
    out: BinaryIO
    answered: Callable[[UnreachableError], None] | None
    written: int = 0

    def to_the_end(self) -> Status:
        while True:
            try:
                self._copy()
                return self.executor.wait(self.handle)
            except UnreachableError as error:
                if self.answered is None:
                    raise
                self.answered(error)

    def _copy(self) -> None:
        seen = 0
        for chunk in self.executor.logs(self.handle, follow=True):
            new = chunk[max(0, self.written - seen) :]
            seen += len(chunk)
            if new:
                self.out.write(new)
                self.out.flush()
                self.written += len(new)


def _follow_or_leave(follow: _Following) -> Attached:
    def leave(signum: int, _frame: FrameType | None = None) -> None:
        raise _Leave(signum)

    try:
        with handled_signals(leave):
            return Attached(follow.to_the_end(), None)
    except _Leave as left:
        return Attached(Status(State.RUNNING), left.signum)
    except BrokenPipeError:
        discard_rest(follow.out)
        return Attached(Status(State.RUNNING), signal.SIGPIPE)


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
