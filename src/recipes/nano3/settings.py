"""From a YAML file to a frozen dataclass, with nothing unknown, missing or of another type let in.

The dataclass is the schema. It names every key with its type and has no defaults: values live in
the YAML files alone, so that a config shows all there is to turn.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recipes.nano3.errors import InputError
from recipes.nano3.files import read_text

# Sections that the launcher leaves in a config for its own use.
LAUNCHER_SECTIONS = frozenset({"run", "artifacts"})

S = TypeVar("S")


def load(path: Path, schema: type[S]) -> S:
    """Reads a config, resolves its ``${…}`` and checks it against ``schema``.

    Args:
        path: A composed YAML file: ``defaults:`` is the launcher's to follow.
        schema: A dataclass; its fields are bool, int, float, str, ``X | None`` or dataclasses.

    Raises:
        InputError: Names the file, the key and what to do.
    """
    return check(path, read(path), schema)


def read(path: Path) -> DictConfig:
    """The config as it is written. Raises InputError as :func:`load` does."""
    read_text(path)
    try:
        config = OmegaConf.load(path)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: no valid YAML: {error.problem}") from error
    except OmegaConfBaseException as error:
        raise InputError(f"{path}: cannot be read: {_one_line(error)}") from error
    if not isinstance(config, DictConfig):
        value = OmegaConf.to_container(config)
        raise InputError(f"{path}: the config: a mapping is needed, not {_describe(value)}")
    if "defaults" in config:
        raise InputError(
            f"{path}: defaults: is followed by the launcher; start the recipe with "
            f"`--config {path.stem}` through it, or name a composed file"
        )
    return config


def check(path: Path, config: DictConfig, schema: type[S]) -> S:
    """Resolves a config that was read from ``path``. Raises InputError as :func:`load` does."""
    try:
        return _dataclass(schema, OmegaConf.to_container(config, resolve=True), prefix="")
    except OmegaConfBaseException as error:
        raise InputError(f"{path}: cannot be resolved: {_one_line(error)}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What changed between two settings, a line such as ``model.width: 64 -> 96`` for each key."""
    found: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {before} -> {after}")
    return found


def _dataclass(schema: type[S], value: object, prefix: str) -> S:
    if not isinstance(value, dict):
        where = prefix.rstrip(".") or "the config"
        raise InputError(f"{where}: a mapping is needed, not {_describe(value)}")
    if not prefix:
        value = {key: item for key, item in value.items() if key not in LAUNCHER_SECTIONS}
    kinds = typing.get_type_hints(schema)
    for key in value:
        if key not in kinds:
            raise InputError(f"{prefix}{key}: unknown key; {_choices(str(key), list(kinds))}")
    missing = [key for key in kinds if key not in value]
    if missing:
        raise InputError(f"{prefix}{missing[0]}: missing; add it, a {_name(kinds[missing[0]])}")
    fields = {key: _convert(kind, value[key], f"{prefix}{key}") for key, kind in kinds.items()}
    try:
        return schema(**fields)
    except ValueError as error:
        raise InputError(f"{prefix}{error}") from error


def _convert(kind: Any, value: object, key: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _dataclass(typing.cast("type[Any]", kind), value, f"{key}.")
    accepted = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if type(value) in accepted:
        return value
    if type(value) is int and float in accepted:
        return float(value)
    raise InputError(f"{key}: {_name(kind)} is needed, not {_describe(value)}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _choices(key: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(key, known, n=1)
    meant = f"did you mean {nearest[0]}? " if nearest else ""
    return f"{meant}(known: {', '.join(known)})"


def _name(kind: Any) -> str:
    if dataclasses.is_dataclass(kind):
        return "mapping"
    if isinstance(kind, types.UnionType):
        return " or ".join(_name(part) for part in typing.get_args(kind))
    return "null" if kind is type(None) else str(kind.__name__)


def _describe(value: object) -> str:
    return "null" if value is None else f"{type(value).__name__} {value!r}"
