"""Typed configs: YAML and overrides validated by a Pydantic model.

    class TrainConfig(RecipeSettings):
        steps: int = 100
        model: ModelConfig = ModelConfig()

    config_path, overrides = parse_config_and_overrides(default_config=DEFAULT_CONFIG_PATH)
    config = load_config(config_path, overrides, TrainConfig)

Overrides are ``steps=5``, ``model.width=64``, ``--steps 5``, ``--steps=5``, ``--model.width 64``,
``--flag`` and ``--no-flag``; ``layers=[1,2]`` is a list. The environment is never read for them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, ValidationError

from nemo_runspec._names import hint
from nemo_runspec.config.compose import load_config as load_yaml
from nemo_runspec.config.overrides import Override, apply_override, parse_override
from nemo_runspec.config.plain import to_plain
from nemo_runspec.exceptions import ConfigError, OverrideError
from nemo_runspec.utils import describe_omegaconf_error

__all__ = ["RecipeSettings", "load_config", "parse_config_and_overrides"]

# What the job's config says about the job; the model need not know of it.
_JOB_SECTIONS = ("run", "artifacts")
_BOOLEANS = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0"})

Model = TypeVar("Model", bound=BaseModel)


class RecipeSettings(BaseModel):
    """Base of a recipe's config model: unknown keys are errors, defaults are validated."""

    model_config = ConfigDict(
        extra="forbid", validate_default=True, arbitrary_types_allowed=True, protected_namespaces=()
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def parse_config_and_overrides(
    argv: Sequence[str] | None = None, *, default_config: Path | str
) -> tuple[str, list[str]]:
    """Read a script's command line: ``--config PATH``, all else are overrides.

    Args:
        argv: the arguments; default: those of this process.
        default_config: the config when ``--config`` is not given.

    Returns:
        The config's path and the overrides, in order.

    Raises:
        SystemExit: with exit code 2 after one line on stderr when ``--config`` has no value;
            with 0 after the help for ``--help``.
    """
    parser = _Parser(
        allow_abbrev=False,
        description="Anything else is an override: key=value, --key value, --flag, --no-flag.",
    )
    parser.add_argument(
        "--config", default=str(default_config), metavar="PATH", help="YAML config (%(default)s)"
    )
    options, overrides = parser.parse_known_args(sys.argv[1:] if argv is None else list(argv))
    return str(options.config), overrides


def load_config(config_path: Path | str, overrides: Sequence[str], model_cls: type[Model]) -> Model:
    """Read a YAML config, put overrides on top, and validate it.

    The YAML's ``defaults:`` are composed and its interpolations resolved, after the overrides, so
    that what is derived from an overridden value follows it. A value that the model wants as text
    is taken as it was typed (``name=007``).

    Args:
        config_path: the YAML file.
        overrides: as the module's documentation says.
        model_cls: the model.

    Returns:
        The validated model.

    Raises:
        ConfigNotFoundError: there is no such file.
        OverrideError: an override cannot be read, or its key is not of the model.
        ConfigError: a value cannot be resolved, or the model refuses it; one line names all.
    """
    path = Path(config_path)
    raw = to_plain(load_yaml(path))
    parsed = list(_parse_overrides(overrides, model_cls))
    for override in parsed:
        _check_key(override, model_cls)
    try:
        return model_cls.model_validate(_compose(raw, parsed, model_cls, path))
    except ValidationError as error:
        first = error
    as_text = [_as_text_where_refused(override, first) for override in parsed]
    if as_text == parsed:
        raise ConfigError(_describe(first, model_cls, path)) from first
    try:
        return model_cls.model_validate(_compose(raw, as_text, model_cls, path))
    except ValidationError as error:
        raise ConfigError(_describe(first, model_cls, path)) from error


def _parse_overrides(overrides: Sequence[str], model_cls: type[BaseModel]) -> Iterator[Override]:
    remaining = list(overrides)
    while remaining:
        argument = remaining.pop(0)
        if not argument.startswith("--"):
            yield parse_override(argument)
            continue
        name, has_value, value = argument.removeprefix("--").partition("=")
        key = name.replace("-", "_")
        if has_value:
            yield parse_override(f"{key}={value}")
        elif _takes_next(key, remaining, model_cls):
            yield parse_override(f"{key}={remaining.pop(0)}")
        else:
            yield _flag(argument, key, model_cls)


def _takes_next(key: str, remaining: Sequence[str], model_cls: type[BaseModel]) -> bool:
    if not remaining or remaining[0].startswith("--") or _is_negated_flag(key, model_cls):
        return False
    return _field_type(key, model_cls) is not bool or remaining[0].lower() in _BOOLEANS


def _flag(argument: str, key: str, model_cls: type[BaseModel]) -> Override:
    if _is_negated_flag(key, model_cls):
        path = tuple(key.removeprefix("no_").split("."))
        return Override(text=argument, path=path, value=False, adds=False)
    return Override(text=argument, path=tuple(key.split(".")), value=True, adds=False)


def _is_negated_flag(key: str, model_cls: type[BaseModel]) -> bool:
    # A field may itself be called no_something.
    return key.startswith("no_") and _field_type(key, model_cls) is None


def _field_type(key: str, model_cls: type[BaseModel]) -> Any:
    model: Any = model_cls
    for name in key.split("."):
        if not _is_model(model) or name not in model.model_fields:
            return None
        model = model.model_fields[name].annotation
    return model


def _check_key(override: Override, model_cls: type[BaseModel]) -> None:
    model: Any = model_cls
    for depth, name in enumerate(override.path):
        if not _is_model(model) or model.model_config.get("extra") in ("allow", "ignore"):
            return
        names = _field_names(model)
        if name not in names:
            place = ".".join(override.path[:depth]) or "the config"
            raise OverrideError(
                f"override {override.text!r}: {place} has no key {name!r}; "
                f"{hint(name, names, kind='Keys')}"
            )
        model = names[name]


def _field_names(model: type[BaseModel]) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        for alias in (name, field.alias, field.validation_alias):
            if isinstance(alias, str):
                names[alias] = field.annotation
    return names


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _compose(
    raw: Mapping[str, Any], overrides: Sequence[Override], model_cls: type[BaseModel], path: Path
) -> dict[str, Any]:
    plain = dict(raw)
    for override in overrides:
        # The model says which keys there are, so each may be new to the YAML.
        plain = apply_override(plain, replace(override, adds=True), str(path))
    try:
        resolved: Any = OmegaConf.to_container(
            OmegaConf.create(plain), resolve=True, throw_on_missing=True
        )
    except OmegaConfBaseException as error:
        where = f" {error.full_key}:" if error.full_key else ""
        raise ConfigError(f"{path}:{where} {describe_omegaconf_error(error)}") from error
    known = _field_names(model_cls)
    return {
        key: value for key, value in resolved.items() if key in known or key not in _JOB_SECTIONS
    }


def _as_text_where_refused(override: Override, error: ValidationError) -> Override:
    if isinstance(override.value, str) or "=" not in override.text:
        return override
    path = override.path
    refused = any(
        tuple(str(part) for part in problem["loc"][: len(path)]) == path
        for problem in error.errors(include_url=False, include_context=False)
    )
    if not refused:
        return override
    text = override.text.partition("=")[2]
    return Override(text=override.text, path=path, value=text, adds=override.adds)


def _describe(error: ValidationError, model_cls: type[BaseModel], path: Path) -> str:
    problems = []
    for problem in error.errors(include_url=False, include_context=False):
        location = [str(part) for part in problem["loc"]]
        where = ".".join(location) or model_cls.__name__
        if problem["type"] == "extra_forbidden":
            names = _names_at(location[:-1], model_cls)
            problems.append(f"{where}: unknown key; {hint(location[-1], names, kind='Keys')}")
        elif problem["type"] == "missing":
            problems.append(f"{where}: a value is required")
        else:
            given = problem["input"]
            shown = "" if isinstance(given, Mapping) else f" (it is {given!r})"
            problems.append(f"{where}: {problem['msg']}{shown}")
    return f"{path}: {'; '.join(problems)}"


def _names_at(location: Sequence[str], model_cls: type[BaseModel]) -> Sequence[str]:
    model: Any = model_cls
    for name in location:
        model = _field_names(model).get(name) if _is_model(model) else None
    return list(_field_names(model)) if _is_model(model) else []
