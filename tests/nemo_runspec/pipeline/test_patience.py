from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from nemo_runspec.exceptions import ConfigError
from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.patience import DEFAULT_SECONDS, patience_seconds
from nemo_runspec.pipeline.patience import (
    GivenUp,
    Patience,
    is_store_away,
    is_unreachable,
    may_come_back,
)
from nemo_runspec.store.errors import StoreFormatError, StoreReadOnlyError, StoreUnreachableError


def answers(*given: Exception | str) -> Callable[[], str]:
    left = list(given)

    def ask() -> str:
        now = left.pop(0)
        if isinstance(now, Exception):
            raise now
        return now

    return ask


def test_an_answer_at_once_is_not_told_of() -> None:
    told: list[str] = []
    patience = Patience(60, lambda: False)
    assert patience.until_answered(answers("yes"), is_unreachable, told.append) == "yes"
    assert told == []


def test_it_says_once_that_it_waits_and_once_that_it_goes_on() -> None:
    told: list[str] = []
    ask = answers(UnreachableError("no route"), UnreachableError("no route"), "yes")
    assert Patience(60, lambda: False).until_answered(ask, is_unreachable, told.append) == "yes"
    assert told[0] == "no route; waits up to 1 min 00 s"
    assert told[1].startswith("goes on after ") and len(told) == 2


def test_another_error_is_none_to_wait_for() -> None:
    told: list[str] = []
    with pytest.raises(ExecutionError, match="no such job"):
        Patience(60, lambda: False).until_answered(
            answers(ExecutionError("no such job")), is_unreachable, told.append
        )
    assert told == []


@pytest.mark.parametrize("stopped", [True, False])
def test_it_gives_up(stopped: bool) -> None:
    error = UnreachableError("no route")
    patience = Patience(60 if stopped else 0, lambda: stopped)
    with pytest.raises(GivenUp) as caught:
        patience.until_answered(answers(error, error), is_unreachable, lambda _: None)
    assert (caught.value.error, caught.value.stopped) == (error, stopped)


def test_how_long_it_is() -> None:
    assert patience_seconds({}) == DEFAULT_SECONDS
    assert patience_seconds({"RUNSPEC_PATIENCE": "2.5"}) == 2.5
    for wrong in ("soon", "-1", "inf", "nan"):
        with pytest.raises(ConfigError, match="is no number of seconds, 0 or more"):
            patience_seconds({"RUNSPEC_PATIENCE": wrong})


def caused(error: Exception, number: int) -> Exception:
    error.__cause__ = OSError(number, "x")
    return error


def test_which_stores_are_away() -> None:
    assert is_store_away(caused(StoreReadOnlyError("x"), errno.EROFS))
    assert may_come_back(caused(StoreReadOnlyError("x"), errno.EROFS))
    # What a person has to allow is waited for where work would be lost, and not before it begins.
    assert is_store_away(caused(StoreReadOnlyError("x"), errno.EACCES))
    assert not may_come_back(caused(StoreReadOnlyError("x"), errno.EACCES))
    assert may_come_back(StoreUnreachableError("x"))
    assert is_store_away(OSError(errno.ESTALE, "x"))
    assert not is_store_away(OSError(errno.ENOENT, "x"))
    assert not is_store_away(StoreFormatError("x"))
