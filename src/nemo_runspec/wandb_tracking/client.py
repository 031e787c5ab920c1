"""The client's ways, as this library needs them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from nemo_runspec._patching import is_patched, patch
from nemo_runspec.masking import MASK, mask_secrets, secret_values
from nemo_runspec.optional import MissingPackageError, optional_import

_logger = logging.getLogger(__name__)

NEED = "artifacts.wandb"
_SETUP = "wandb.sdk.wandb_setup"

End = Callable[[Callable[[], Any]], Any]


def load_client() -> Any:
    """The client's module.

    Raises:
        MissingPackageError: it is not installed, or cannot be imported.
    """
    try:
        return optional_import("wandb", needed_for=NEED)
    except MissingPackageError:
        raise
    except Exception as error:  # a protobuf that does not fit it raises TypeError, for one
        raise MissingPackageError(one_line(error)) from error


def start_process() -> None:
    """Start the client's own process: that takes as long whatever the server does."""
    optional_import("wandb.apis.public", needed_for=NEED)
    setup = optional_import(_SETUP, needed_for=NEED)
    start = getattr(setup.singleton(), "ensure_service", None)
    if start is not None:
        start()


def add_tags(run: Any, tags: list[str]) -> None:
    """Add tags to a run."""
    run.tags = (*(run.tags or ()), *tags)


def use_artifacts(run: Any, references: list[str]) -> None:
    """Say that a run uses versions, those that the server has."""
    for reference in references:
        try:
            run.use_artifact(reference)
        except Exception as error:
            if not is_missing(error):
                raise
            _logger.debug("W&B does not know %s", reference)


def is_missing(error: Exception) -> bool:
    """Whether an error of the client says that the server has no such artifact."""
    return "not found" in str(error).lower() or "does not exist" in str(error).lower()


def one_line(error: BaseException) -> str:
    """What an error says, without secrets, and what kind it is."""
    words = " ".join(str(error).partition("\n")[0].split())
    for secret in sorted(secret_values(os.environ), key=len, reverse=True):
        words = words.replace(secret, MASK)
    return f"{type(error).__name__}: {mask_secrets(words)}" if words else type(error).__name__


def guard_end_of_run(run: Any, end: End) -> None:
    """Let a run be ended by `end`, whoever ends it: a framework calls ``run.finish`` itself.

    Args:
        run: the run.
        end: is given what the client would do.
    """
    # `finish` and the end of a `with` come together there, in a part that is not documented.
    name = "_finish" if hasattr(run, "_finish") else "finish"

    patch(run, name, lambda original: _ended_by(end, original))


def guard_teardown(end: End) -> Any | None:
    """Let what the client does as Python ends be done by `end`.

    These are parts of the client that it has not documented: where they are not, there is its
    own limit alone.

    Returns:
        The process that the client has started for this one, which `end` may kill; None where
        there is none, where another process has started it, and when it is guarded already.
    """
    setup = optional_import(_SETUP, needed_for=NEED)
    connection = getattr(setup.singleton(), "_connection", None)
    process = getattr(getattr(connection, "_proc", None), "_process", None)
    teardown = getattr(connection, "teardown", None)
    if process is None or teardown is None or is_patched(teardown):
        return None
    patch(connection, "teardown", lambda original: _ended_by(end, original))
    return process


def _ended_by(end: End, original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments, **named: end(lambda: original(*arguments, **named))
