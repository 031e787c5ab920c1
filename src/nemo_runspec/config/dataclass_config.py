"""A script's own config: a YAML file as it is, and then a dataclass of the script's.

config = load_omegaconf_yaml(path)
tracking = setup_artifact_tracking(config)         # before the conversion
cfg = omegaconf_to_dataclass(config, MyConfig)
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nemo_runspec.exceptions import ConfigError, ConfigNotFoundError
from nemo_runspec.utils import describe_omegaconf_error
from runspec.typos import typo_of

T = TypeVar("T")


def load_omegaconf_yaml(path: str | Path) -> DictConfig:
    """Read a YAML file as it is: interpolations stay, and no other file is looked for.

    Args:
        path: the file.

    Raises:
        ConfigNotFoundError: there is none.
        ConfigError: it is no YAML, or no mapping.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigNotFoundError(f"{file}: there is no such config file")
    try:
        config = OmegaConf.load(file)
    except Exception as error:  # PyYAML's and OmegaConf's own
        words = " ".join(str(error).split())
        raise ConfigError(f"{file}: is no YAML: {words}") from error
    if not isinstance(config, DictConfig):
        raise ConfigError(f"{file}: must be a mapping, not a list")
    return config


def omegaconf_to_dataclass(config: DictConfig | Mapping[str, Any], cls: type[T]) -> T:
    """A dataclass from a config, its interpolations resolved.

    Nested dataclasses and paths are made of mappings and texts, in lists and optional fields too.
    A key that is no field is left out, as ``run``, ``artifacts`` and helpers of interpolations
    are, unless it looks like a misspelt one.

    Args:
        config: the config.
        cls: the dataclass.

    Returns:
        The instance; what the config does not say has its default.

    Raises:
        ConfigError: a key is a misspelling of a field, or a field without a default is missing.
        TypeError: the class is no dataclass.
    """
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls!r} is no dataclass")
    document = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    try:
        plain = OmegaConf.to_container(document, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(describe_omegaconf_error(error)) from error
    assert isinstance(plain, dict)
    made: T = _instance(cls, {str(key): value for key, value in plain.items()}, "")
    return made


def _instance(cls: Any, data: Mapping[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for key in data:
        meant = typo_of(str(key), fields)
        if meant is not None:
            raise ConfigError(
                f"{where}{key} is no field of {cls.__name__}; did you mean {meant!r}?"
            )
    missing = [
        f"{where}{name}"
        for name, field in fields.items()
        if name not in data
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{cls.__name__} needs {', '.join(missing)}, which the config lacks")
    return cls(
        **{
            name: _value(hints.get(name, Any), data[name], f"{where}{name}")
            for name in fields
            if name in data
        }
    )


def _value(kind: Any, value: Any, where: str) -> Any:
    """A value as its field has it: what is not known of the kind stays as it is."""
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        return _instance(kind, value, f"{where}.")
    if kind is Path and isinstance(value, str):
        return Path(value)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        choices = [item for item in arguments if item is not type(None)]
        if isinstance(value, str) and str in choices:
            return value
        for choice in choices:
            made = _value(choice, value, where)
            if made is not value:
                return made
        return value
    if origin in (list, tuple, set, frozenset) and isinstance(value, list):
        items = [_value(arguments[0] if arguments else Any, item, where) for item in value]
        return items if origin is list else origin(items)
    if origin is dict and isinstance(value, Mapping) and len(arguments) == 2:
        return {key: _value(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    return value
