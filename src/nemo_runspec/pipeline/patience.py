"""Waiting for somebody who does not answer: a cluster, a store. For so long and no longer."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.execution.errors import UnreachableError
from nemo_runspec.pipeline.progress import duration
from nemo_runspec.store.errors import StoreReadOnlyError, StoreUnreachableError

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_LOOK_SECONDS = 0.1
# What a file system says that is away, or was mounted read-only after an error of its own.
_AWAY = frozenset(
    (
        errno.EROFS,
        errno.EIO,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ESHUTDOWN,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ETIMEDOUT,
        errno.EREMOTEIO,
    )
)
_NOT_ALLOWED = frozenset((errno.EACCES, errno.EPERM))

_T = TypeVar("_T")


class GivenUp(Exception):
    """Nobody answered in time, or waiting was told to stop.

    Args:
        error: the last answer.
        stopped: whether waiting was told to stop.
    """

    def __init__(self, error: Exception, *, stopped: bool) -> None:
        self.error = error
        self.stopped = stopped
        super().__init__(str(error))


@dataclass(frozen=True)
class Patience:
    """How long to wait.

    Args:
        seconds: at most so long.
        stopping: tells whether to stop waiting.
    """

    seconds: float
    stopping: Callable[[], bool]

    def until_answered(
        self,
        ask: Callable[[], _T],
        is_away: Callable[[Exception], bool],
        tell: Callable[[str], None],
    ) -> _T:
        """Ask until there is an answer.

        Args:
            ask: asks once.
            is_away: whether an exception says that nobody can answer now.
            tell: told once that it waits, and once that there was an answer.

        Raises:
            GivenUp: there was no answer for so long.
        """
        began: float | None = None
        pause = _FIRST_PAUSE
        while True:
            try:
                answer = ask()
            except (NemoRunspecError, OSError) as error:
                if not is_away(error):
                    raise
                if began is None:
                    began = time.monotonic()
                    tell(f"{error}; waits up to {duration(self.seconds)}")
                self._rest(min(pause, began + self.seconds - time.monotonic()), error)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            if began is not None:
                tell(f"goes on after {duration(time.monotonic() - began)}")
            return answer

    def _rest(self, seconds: float, error: Exception) -> None:
        end = time.monotonic() + seconds
        if seconds <= 0:
            raise GivenUp(error, stopped=False)
        while (left := end - time.monotonic()) > 0:
            if self.stopping():
                raise GivenUp(error, stopped=True)
            time.sleep(min(_LOOK_SECONDS, left))


def is_unreachable(error: Exception) -> bool:
    """Whether those who run the jobs do not answer."""
    return isinstance(error, UnreachableError)


def is_store_away(error: Exception) -> bool:
    """Whether a store, or the folder that builds write to, cannot be used now."""
    if isinstance(error, (StoreReadOnlyError, StoreUnreachableError)):
        return True
    return _errno(error) in _AWAY


def may_come_back(error: Exception) -> bool:
    """Whether a store that is away may come back by itself: nobody forbade us to use it."""
    return is_store_away(error) and _errno(error) not in _NOT_ALLOWED


def _errno(error: BaseException | None) -> int | None:
    """The number of the system's error that is behind an error of ours."""
    while error is not None:
        if isinstance(error, OSError):
            return error.errno
        error = error.__cause__
    return None
