"""This process's dealings with Weights & Biases, bounded in time and in words.

Whatever the server does, a run loses at most ten seconds to it, and says one line:

- The client gives up starting a run after some seconds
  (:mod:`~nemo_runspec.wandb_tracking.bounds`). The run is then kept on disk, for ``wandb sync``.
- All other calls are made in the background. The program waits a little for each, and for all of
  them together at most some seconds; from then on not at all.
- Ending gets what is left of the ten seconds, whether a script, a framework or Python ends the run.
  A watchdog then ends the client's own process, whose data is on disk.

The client raises errors of many kinds, some of them Python's own: this is the one place where all
are caught.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from nemo_runspec._patching import unpatched
from nemo_runspec.artifacts.current import set_run_page
from nemo_runspec.wandb_tracking.background import Call, Caller, Watchdog
from nemo_runspec.wandb_tracking.bounds import (
    SECONDS_VARIABLE,
    Bounds,
    bound_client,
    is_offline,
)
from nemo_runspec.wandb_tracking.client import (
    add_tags,
    guard_end_of_run,
    guard_teardown,
    load_client,
    one_line,
    start_process,
    use_artifacts,
)
from nemo_runspec.wandb_tracking.names import to_wandb_reference
from nemo_runspec.wandb_tracking.no_run import NoRun, stand_in

_logger = logging.getLogger(__name__)

# Of the seconds for the end: what is for calls that are still under way.
_DRAIN = 0.4


class NoAnswerError(Exception):
    """W&B has not answered, has refused, or is not asked any more."""


class Session:
    """The dealings of one process: :func:`~nemo_runspec.wandb_tracking.own_session.session`."""

    def __init__(self) -> None:
        self.bounds = Bounds.of_environment()
        bound_client(self.bounds)
        self._wandb = load_client()
        self._caller = Caller(self._failed)
        self._watchdog: Watchdog | None = None
        self._spent = 0.0
        self._for_questions = self.bounds.questions
        self._for_calls = self.bounds.calls
        self._warned = False
        self._broken = False
        self._asks = True
        self._is_warm = False
        self._pid = os.getpid()
        self._page: str | None = None
        self._folder: str | None = None
        self._inputs: dict[str, None] = {}
        self._tags: dict[str, None] = {}
        self._registered: set[str] = set()
        set_run_page(lambda: self._page)

    @property
    def wandb(self) -> Any:
        """The client's module."""
        return self._wandb

    @property
    def run(self) -> Any | None:
        """The active run, whoever started it."""
        run = self._active
        if run is not None:
            self._adopt(run)
        return run

    @property
    def is_own(self) -> bool:
        """Whether these are the dealings of this process: its threads are not in a fork of it."""
        return self._pid == os.getpid()

    @property
    def answers(self) -> bool:
        """Whether there is a server to speak to."""
        return not (self._broken or is_offline())

    def start(self, **arguments: Any) -> Any | None:
        """Start a run, unless one is active.

        Args:
            arguments: of ``wandb.init``.

        Returns:
            The run; an offline one when the server does not take it; None when the client
            cannot start any.
        """
        active = self.run
        if active is not None:
            return active
        self.open(unpatched(self._wandb.init), (), arguments)
        return self._active

    def open(
        self, init: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> Any:
        """Call ``wandb.init``, or what stands for it, and register what the run uses.

        Returns:
            The run; one that does nothing when the client cannot start any.
        """
        began = time.monotonic()
        try:
            if self._broken and not is_offline():
                self._keep_on_disk("offline")
            run = init(*arguments, **named)
        except Exception as error:
            run = self._open_offline(init, arguments, named, error)
        self._spent += time.monotonic() - began
        if not isinstance(run, NoRun):
            self._adopt(run)
            self.register()
        return run

    def expect(self, references: Iterable[str] = (), tags: Iterable[str] = ()) -> None:
        """Note what the run uses, by W&B's names, and its tags, for when there is a run."""
        self._inputs.update(dict.fromkeys(references))
        self._tags.update(dict.fromkeys(tags))
        self.register()

    def register(self) -> None:
        """Tell the run, if there is one, its tags and what it uses, as far as they are known."""
        run = self._active
        if run is None:
            return
        new = [ref for ref in self._inputs if ref not in self._registered]
        self._registered.update(new)
        missing = [tag for tag in self._tags if tag not in (run.tags or ())]
        if missing:
            self.submit("tagging the run", lambda: add_tags(run, missing))
        if new and self.answers and not run.offline:
            self.submit("saying what the run uses", lambda: use_artifacts(run, new))

    def note_used(self, references: Iterable[str]) -> None:
        """Note versions of the store, ``name:vN``, or of W&B, that what is logged is made from."""
        self.expect(ref for ref in map(to_wandb_reference, references) if ref is not None)

    def submit(self, what: str, act: Callable[[], Any]) -> Any | None:
        """Do something in the background, and wait a little for it.

        Args:
            what: what it is, for the warning.
            act: what to do.

        Returns:
            What came out; None when it failed, takes longer, or is not done any more.
        """
        if self._broken:
            return None
        call = self._caller.call(what, act)
        self._for_calls -= self._wait(call, self._for_calls)
        return call.result if call.done.is_set() and call.error is None else None

    def ask(self, what: str, act: Callable[[], Any], *, seconds: float | None = None) -> Any:
        """Ask the server something.

        Args:
            what: what it is, for the warning.
            act: asks it.
            seconds: how long it may take, where the program cannot go on without the answer;
                default: a share of what a run may lose, for all such questions together.

        Returns:
            The answer.

        Raises:
            NoAnswerError: there is none in time; said, once.
        """
        if not (self.answers and self._asks):
            raise NoAnswerError("Weights & Biases is not asked")
        try:
            self._warm_up()
        except Exception as error:
            self.give_up("starting the client", one_line(error))
            raise NoAnswerError(one_line(error)) from error
        call = self._caller.call(what, act)
        took = self._wait(call, self._for_questions if seconds is None else seconds)
        is_answered = call.done.is_set() and call.error is None
        if is_answered and seconds is not None:
            self._spent -= took  # what was needed is not lost
        else:
            self._for_questions -= took
        if not call.done.is_set():
            # A run may well be started: that is given seconds of its own.
            self._asks = False
            self.warn(what, "no answer in time")
            raise NoAnswerError(f"no answer in time; {SECONDS_VARIABLE}=60 waits longer")
        if call.error is not None:
            # Others may be answered, unless all that this one did was to take its time.
            self._asks = self._for_questions > 0
            raise NoAnswerError(one_line(call.error))
        return call.result

    def finish(self, exit_code: int = 0) -> None:
        """End the active run, if there is one."""
        if self.run is None:
            return
        try:
            self._wandb.finish(exit_code=exit_code)
        except Exception as error:
            self.give_up("ending the run", one_line(error))

    def give_up(self, what: str, why: str) -> None:
        """Ask the server nothing more, and say so once."""
        self._broken = True
        self.warn(what, why)

    def warn(self, what: str, why: str) -> None:
        """Say that something failed, unless something was said before."""
        if self._warned:
            _logger.debug("Weights & Biases: %s: %s", what, why)
            return
        self._warned = True
        _logger.warning(
            "Weights & Biases: %s failed (%s); the run goes on without it%s",
            what,
            why,
            self._kept(),
        )

    @property
    def _active(self) -> Any | None:
        run = self._wandb.run
        return None if isinstance(run, NoRun) else run

    def _left(self) -> float:
        """Seconds that are left for the end."""
        return max(self.bounds.total - self._spent, self.bounds.least_finish)

    def _warm_up(self) -> None:
        if not self._is_warm:
            self._is_warm = True
            start_process()
            self._watch_process()

    def _wait(self, call: Call, most: float) -> float:
        """Wait for a call; gives the seconds that it took."""
        began = time.monotonic()
        call.wait(max(most, 0.0))
        took = time.monotonic() - began
        self._spent += took
        return took

    def _failed(self, call: Call) -> None:
        # What comes later is tried all the same: it costs no more, and W&B may be back by then.
        assert call.error is not None
        self.warn(call.what, one_line(call.error))

    def _drain(self, seconds: float) -> None:
        give_up = time.monotonic() + seconds
        for call in self._caller.unfinished():
            if self._broken or not call.wait(max(0.0, give_up - time.monotonic())):
                self.give_up(call.what, "no answer in time")
                return

    def _open_offline(
        self,
        init: Callable[..., Any],
        arguments: tuple[Any, ...],
        named: dict[str, Any],
        error: Exception,
    ) -> Any:
        attempts: tuple[tuple[str, tuple[Any, ...], dict[str, Any]], ...] = (
            ("offline", arguments, named),
            ("disabled", arguments, named),
            ("disabled", (), {}),  # it may be the arguments that the client refuses
        )
        for mode, given, by_name in attempts:
            try:
                run = init(*given, **{**by_name, "mode": mode})
            except Exception as again:
                _logger.debug("no %s run of W&B: %s", mode, one_line(again))
                continue
            self._adopt(run)
            self.give_up("starting a run", one_line(error))
            self._keep_on_disk(mode)
            return run
        self.give_up("starting a run", one_line(error))
        return stand_in(self._wandb)

    def _keep_on_disk(self, mode: str) -> None:
        """From here on no server is spoken to, and what is logged goes to disk, or nowhere."""
        os.environ["WANDB_MODE"] = mode
        self._broken = mode == "disabled"

    def _adopt(self, run: Any) -> None:
        """Make a run's page known, and its end bounded."""
        try:
            self._page = None if run.offline or run.disabled else run.url
            self._folder = None if run.disabled else str(run.settings.sync_dir)
            guard_end_of_run(run, self._end_run)
            self._watch_process()
        except Exception as error:
            self.warn("looking at the run", one_line(error))

    def _watch_process(self) -> None:
        process = guard_teardown(self._end)
        if process is not None:
            self._watchdog = Watchdog(process.kill)

    def _end_run(self, finish: Callable[[], Any]) -> Any:
        """End a run, whoever asks for it, in time and without a word."""
        done = self._end(finish)
        if self._watchdog is not None and self._watchdog.has_bitten:
            self._tear_down()
        return done

    def _end(self, act: Callable[[], Any]) -> Any:
        """Let the client end a run, or itself as Python ends, in time and without a word."""
        began = time.monotonic()
        had_run = self._active is not None
        watchdog = self._watchdog
        left = self._left()
        if watchdog is not None:
            watchdog.arm(left)
        self._drain(left * _DRAIN)
        ending = time.monotonic()
        try:
            return act()
        except Exception as error:
            self.give_up("ending the run", one_line(error))
            return None
        finally:
            if watchdog is not None:
                watchdog.disarm()
            now = time.monotonic()
            self._spent += now - began
            is_late = now - ending >= self.bounds.finish * 0.9
            if had_run and (is_late or (watchdog is not None and watchdog.has_bitten)):
                self.give_up("ending the run", "not all was sent in time")

    def _tear_down(self) -> None:
        try:
            self._wandb.teardown()
        except Exception as error:
            _logger.debug("W&B's process is gone: %s", one_line(error))

    def _kept(self) -> str:
        if self._folder is not None:
            return f"; to send later what it logs: wandb sync {self._folder}"
        return ""
