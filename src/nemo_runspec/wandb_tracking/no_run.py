"""What a framework is given where the client cannot start any run, not even one that does nothing.

Only a client that is broken comes to that: settings that it refuses, a version that does not fit.
A framework goes on to call ``run.log`` or ``wandb.log``, whatever ``wandb.init`` gave it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# What `wandb.init` makes usable in the module.
_OF_THE_MODULE = (
    "run",
    "config",
    "summary",
    "log",
    "save",
    "use_artifact",
    "log_artifact",
    "define_metric",
    "alert",
    "mark_preempting",
    "log_model",
    "use_model",
    "link_model",
    "watch",
    "unwatch",
)


class NoRun:
    """Has every attribute and takes every call, and is itself what comes out; false and empty."""

    def __getattr__(self, name: str) -> NoRun:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        """Forget it."""

    def __call__(self, *arguments: Any, **named: Any) -> NoRun:
        return self

    def __getitem__(self, key: Any) -> NoRun:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        """Forget it."""

    def __delitem__(self, key: Any) -> None:
        """It was not there."""

    def __contains__(self, key: Any) -> bool:
        return False

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return False

    def __enter__(self) -> NoRun:
        return self

    def __exit__(self, *_: object) -> None:
        """An exception goes on its way."""

    def __str__(self) -> str:
        return ""

    def __repr__(self) -> str:
        return "<no W&B run>"


def stand_in(wandb: Any) -> NoRun:
    """A run that does nothing, and the client's module as if it had been started.

    Args:
        wandb: the client's module.
    """
    nothing = NoRun()
    for name in _OF_THE_MODULE:
        if hasattr(wandb, name):
            setattr(wandb, name, nothing)
    return nothing
