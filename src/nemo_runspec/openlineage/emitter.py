"""Handing events to OpenLineage's client without waiting for whoever receives them.

Events go out in order, from a thread of their own. What cannot be delivered is said once, and costs
those who run something :data:`PATIENCE_SECONDS` at most, when they come to their end.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from nemo_runspec.masking import mask_secrets
from nemo_runspec.openlineage.events import DISTRIBUTION
from nemo_runspec.optional import optional_import

PATIENCE_SECONDS = 10.0

# They would write what we say in one line, once for each try.
_LOUD = ("openlineage", "urllib3", "requests")
# So that Ctrl-C is noticed.
_POLL_SECONDS = 0.1

Make = Callable[[], Iterable[Any]]


class Emitter:
    """Sends events.

    Args:
        configured_by: what configures the client, for the warning.
        warn: told once, in one line, that events are not delivered.
        patience: how long :meth:`close` waits, in seconds.
    """

    def __init__(
        self,
        configured_by: str,
        warn: Callable[[str], None],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._configured_by = configured_by
        self._warn = warn
        self._patience = patience
        self._waiting: queue.SimpleQueue[Make | None] = queue.SimpleQueue()
        self._has_failed = False
        self._has_warned = False
        self._is_closing = False
        self._thread = threading.Thread(target=self._send_all, name="openlineage", daemon=True)
        self._thread.start()

    def emit(self, make: Make) -> None:
        """Send what a function makes, later: it is called in the thread that sends.

        Args:
            make: makes the client's events, in order; what it raises is a failure to deliver.
        """
        self._waiting.put(make)

    def close(self) -> None:
        """Let what was told so far go out; give up where nobody takes it, or just refused."""
        if self._is_closing:
            return
        self._is_closing = True
        self._waiting.put(None)
        if self._has_failed:
            return
        deadline = time.monotonic() + self._patience
        while self._thread.is_alive() and time.monotonic() < deadline:
            self._thread.join(_POLL_SECONDS)
        if self._thread.is_alive():
            self._say("the receiver does not answer")

    def _send_all(self) -> None:
        for name in _LOUD:
            logging.getLogger(name).addHandler(logging.NullHandler())
        client: Any = None
        while (make := self._waiting.get()) is not None:
            try:
                client = client or self._client()
                for event in make():
                    client.emit(event)
                self._has_failed = False
            except Exception as error:
                self._failed(error)
                if self._is_closing:
                    return  # nobody waits for the rest to fail the same way
        try:
            if client is not None:
                client.close()
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._has_failed = True
        self._say(f"{type(error).__name__}: {error}")

    def _client(self) -> Any:
        module = optional_import(
            "openlineage.client", needed_for="OpenLineage", distribution=DISTRIBUTION
        )
        return module.OpenLineageClient()

    def _say(self, why: str) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        text = mask_secrets(" ".join(why.split()))
        self._warn(
            f"OpenLineage events are not delivered ({self._configured_by}): {text}; "
            "everything else goes on"
        )
