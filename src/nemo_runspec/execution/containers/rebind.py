"""A function of another library with some of its globals exchanged, for it alone."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any


def rebind(function: Callable[..., Any], **replaced: Any) -> Callable[..., Any]:
    """The same function, which sees other values under these names.

    What a library sends is rendered by its own code, up to the call that would send it; nothing
    changes for anybody else who calls it meanwhile.
    """
    assert isinstance(function, FunctionType)
    known = function.__globals__
    missing = [name for name in replaced if name not in known]
    if missing:
        raise AttributeError(f"{function.__module__} has no {missing[0]}")
    copy = FunctionType(
        function.__code__,
        {**known, **replaced},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
