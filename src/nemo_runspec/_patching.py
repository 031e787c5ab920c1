"""Putting a function of ours in the place of another library's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

_ORIGINAL = "_nemo_runspec_original"


def patch(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put a function in the place of another; once more does nothing.

    Args:
        owner: the module, class or instance.
        name: the function's name.
        make: makes the new one from the one that was there.
    """
    original = getattr(owner, name)
    if is_patched(original):
        return
    made = functools.wraps(original)(make(original))
    setattr(made, _ORIGINAL, original)
    setattr(owner, name, made)


def is_patched(function: Any) -> bool:
    """Whether a function is one that :func:`patch` put there."""
    return hasattr(function, _ORIGINAL)


def unpatched(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that was there before."""
    original: Callable[..., Any] = getattr(function, _ORIGINAL, function)
    return original
