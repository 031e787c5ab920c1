"""Checks of single values out of TOML or JSON, as `runspec.models` needs them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Optional

from runspec.errors import InvalidFieldError

_TYPE_NAMES = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a table",
    type(None): "nothing",
}
_SHOWN = 60


class FieldProblem(Exception):
    """A value that a field cannot hold, before the file and the line are known.

    Args:
        keys: the keys that lead to the value, from the top of the table that was checked.
        problem: what is wrong with it, to stand behind the field's name.
        fix: what to write.
        error: the error that the caller should raise once it knows file and line.
    """

    def __init__(
        self,
        keys: tuple[str, ...],
        problem: str,
        fix: str,
        error: type[InvalidFieldError] = InvalidFieldError,
    ) -> None:
        super().__init__(keys, problem, fix)
        self.keys = keys
        self.problem = problem
        self.fix = fix
        self.error = error


def show(value: object) -> str:
    """Return a value as one would write it, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def type_name(value: object) -> str:
    """Return the name of a value's type, with its article, in the words of TOML."""
    return _TYPE_NAMES.get(type(value), "a date or time")


def wrong_type(keys: tuple[str, ...], value: object, wanted: str, fix: str) -> FieldProblem:
    """Return the problem "is VALUE (a TYPE), not WANTED"."""
    shown = "null" if value is None else f"{show(value)} ({type_name(value)})"
    return FieldProblem(keys, f"is {shown}, not {wanted}", fix)


def table(parent: Mapping[str, Any], keys: tuple[str, ...]) -> Mapping[str, Any]:
    """Return the sub-table that the last of `keys` names in `parent`; empty when it is absent."""
    value = parent.get(keys[-1], {})
    if not isinstance(value, Mapping):
        raise wrong_type(keys, value, "a table", "make it a table")
    return value


def string(parent: Mapping[str, Any], keys: tuple[str, ...], default: str) -> str:
    """Return the text that the last of `keys` names in `parent`, or `default`."""
    value = parent.get(keys[-1], default)
    if not isinstance(value, str):
        scalar = isinstance(value, (bool, int, float))
        fix = f'put it in quotes: "{show(value)}"' if scalar else "write it as text in quotes"
        raise wrong_type(keys, value, "a string", fix)
    if "\0" in value:
        raise FieldProblem(keys, f"is {show(value)}, with a NUL character", "leave that out")
    return value


def optional_string(parent: Mapping[str, Any], keys: tuple[str, ...]) -> Optional[str]:
    """Return the text that the last of `keys` names in `parent`; None when absent or null."""
    if parent.get(keys[-1]) is None:
        return None
    return string(parent, keys, "")


def integer(parent: Mapping[str, Any], keys: tuple[str, ...], default: int, least: int) -> int:
    """Return the integer, at least `least`, that the last of `keys` names in `parent`."""
    value = parent.get(keys[-1], default)
    fix = f"write an integer, {least} or more"
    if type(value) is not int:
        raise wrong_type(keys, value, "an integer", fix)
    if value < least:
        raise FieldProblem(keys, f"is {value}, less than {least}", fix)
    return value


def strings(parent: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the list of texts that the last of `keys` names in `parent`; empty when absent."""
    value = parent.get(keys[-1], ())
    fix = 'write a list of strings: ["…"]'
    if not isinstance(value, (list, tuple)):
        raise wrong_type(keys, value, "a list", fix)
    for item in value:
        if not isinstance(item, str):
            raise FieldProblem(keys, f"holds {show(item)} ({type_name(item)}), not a string", fix)
    return tuple(value)


def string_table(parent: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, str]:
    """Return the table of texts that the last of `keys` names in `parent`; empty when absent."""
    values = table(parent, keys)
    return {key: string(values, (*keys, key), "") for key in values}


def boolean(parent: Mapping[str, Any], keys: tuple[str, ...], default: bool) -> bool:
    """Return the boolean that the last of `keys` names in `parent`, or `default`."""
    value = parent.get(keys[-1], default)
    if not isinstance(value, bool):
        raise wrong_type(keys, value, "a boolean", "write true or false")
    return value
