"""A line now and then, where nothing else is said: whoever reads a log sees that work goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from nemo_runspec.masking import mask_secrets

# The first line after so many seconds of silence, each after that twice as late, up to the last.
_FIRST_SECONDS = 60.0
_LONGEST_SECONDS = 600.0
_TAIL_BYTES = 4096
_MOST_CHARACTERS = 160


class Heartbeat:
    """Says when it is time for a line.

    Args:
        clock: seconds that pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pause = _FIRST_SECONDS
        self._last = clock()

    def heard(self) -> None:
        """Something else was said."""
        self._pause = _FIRST_SECONDS
        self._last = self._clock()

    def is_due(self) -> bool:
        """Whether to say something now; asked again, it is due later than before."""
        now = self._clock()
        if now - self._last < self._pause:
            return False
        self._last = now
        self._pause = min(2 * self._pause, _LONGEST_SECONDS)
        return True


def last_line(log: Path | str) -> str:
    """The last line of a log that says something, secrets masked; empty if there is none.

    A progress bar rewrites its line with carriage returns: what stands there now counts.
    """
    try:
        with open(log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""  # not there yet, or not on this machine
    lines = [line for line in text.replace("\r", "\n").splitlines() if line.strip()]
    if not lines:
        return ""
    shown = "".join(each if each.isprintable() else " " for each in lines[-1]).strip()
    masked = str(mask_secrets(shown))
    return masked if len(masked) <= _MOST_CHARACTERS else f"{masked[: _MOST_CHARACTERS - 1]}…"
