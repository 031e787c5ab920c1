"""Values as JSON has them."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any


def plain_json(value: Any) -> Any:
    """A copy of a value in what JSON knows: dicts with text keys, lists, texts, numbers, None.

    Scalars of NumPy and the like become Python's; numbers that JSON lacks become ``"NaN"``,
    ``"Infinity"`` and ``"-Infinity"``, which Pydantic reads back as numbers; dataclasses become
    dicts, sets sorted lists, and what is left its text.
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, (int, str)):
        # An IntEnum, another library's texts: as what they are made of.
        return int(value) if isinstance(value, int) else str.__str__(value)
    if isinstance(value, float):
        return _number(float(value))
    if isinstance(value, Mapping):
        return {str(plain_json(key)): plain_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain_json(item) for item in value), key=str)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain_json({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return plain_json(dump(mode="json"))
    scalar = getattr(value, "item", None)
    if callable(scalar) and getattr(value, "ndim", None) == 0:
        return plain_json(scalar())
    return str(value)


def _number(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
