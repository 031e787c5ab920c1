"""A config as parameters with dotted names, as TorchX's tracker for MLflow has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any


def flatten(config: Any, key: str = "") -> dict[str, Any]:
    """The fields of a config by dotted name.

    A list of plain values stays one parameter; in one that holds others, each element is a part of
    its own, ``_0``, ``_1`` …: ``layers._0.size``.

    Args:
        config: a dataclass, a mapping, a sequence or a set; also an OmegaConf node.
        key: what stands before each name.

    Raises:
        ValueError: it is a plain value, and no key names it.
    """
    if not key and not (_is_fields(config) or _is_sequence(config)):
        raise ValueError(f"{config!r} is no config: give a dataclass, a mapping or a sequence")
    return dict(_flat(config, key))


def _flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if _is_fields(value):
        for name, each in _fields(value):
            yield from _flat(each, f"{key}.{name}" if key else name)
    elif _is_sequence(value):
        items = list(value)
        if key and not any(_is_fields(each) or _is_sequence(each) for each in items):
            yield key, [_plain(each) for each in items]
            return
        for index, each in enumerate(items):
            yield from _flat(each, f"{key}._{index}" if key else f"_{index}")
    else:
        yield key, _plain(value)


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(name), each) for name, each in value.items())
    else:
        yield from ((field.name, getattr(value, field.name)) for field in fields(value))


def _is_fields(value: Any) -> bool:
    return isinstance(value, Mapping) or (is_dataclass(value) and not isinstance(value, type))


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (Sequence, Set)) and not isinstance(value, (str, bytes, bytearray))


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
