"""Calls that may take long: a thread makes them, the program waits for each only so long."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# How often the main thread looks up from waiting, so that a signal is seen.
_LOOK_UP_SECONDS = 0.1


@dataclass
class Call:
    """A call that was asked for.

    Attributes:
        what: what it does, for people.
        result: what came out.
        error: what it raised.
    """

    what: str
    act: Callable[[], Any]
    result: Any = None
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> bool:
        """Wait for it; gives whether it is done."""
        return wait_for(self.done, seconds)


class Caller:
    """Makes calls one after the other, in a thread of its own that ends with the process.

    Args:
        on_error: is told of a call that failed, in that thread.
    """

    def __init__(self, on_error: Callable[[Call], None]) -> None:
        self._calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._on_error = on_error
        self._open: list[Call] = []
        threading.Thread(target=self._work, name="wandb-calls", daemon=True).start()

    def call(self, what: str, act: Callable[[], Any]) -> Call:
        """Ask for a call; it is made once those before it are."""
        made = Call(what, act)
        self._open = [call for call in self._open if not call.done.is_set()] + [made]
        self._calls.put(made)
        return made

    def unfinished(self) -> list[Call]:
        """The calls that are not done."""
        return [call for call in self._open if not call.done.is_set()]

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            try:
                call.result = call.act()
            except Exception as error:  # the client's own, of many kinds
                call.error = error
                self._on_error(call)
            call.done.set()


class Watchdog:
    """Does something when something else takes too long. Its thread is there from the start:
    none can be started while Python shuts down.

    Args:
        bite: what to do then.
    """

    def __init__(self, bite: Callable[[], None]) -> None:
        self._bite = bite
        self._changed = threading.Condition()
        self._deadline: float | None = None
        self.has_bitten = False
        threading.Thread(target=self._watch, name="wandb-watchdog", daemon=True).start()

    def arm(self, seconds: float) -> None:
        """Begin to count; while it counts, this changes nothing."""
        with self._changed:
            if self._deadline is None:
                self._deadline = time.monotonic() + seconds
                self._changed.notify()

    def disarm(self) -> None:
        """It was in time."""
        with self._changed:
            self._deadline = None
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while self._deadline is None or time.monotonic() < self._deadline:
                left = None if self._deadline is None else self._deadline - time.monotonic()
                self._changed.wait(left)
            self.has_bitten = True
        self._bite()


def wait_for(event: threading.Event, seconds: float) -> bool:
    """Wait for an event, looking up now and then; gives whether it happened."""
    give_up = time.monotonic() + seconds
    while not event.is_set():
        left = give_up - time.monotonic()
        if left <= 0:
            return False
        event.wait(min(left, _LOOK_UP_SECONDS))
    return True
