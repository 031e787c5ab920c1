"""YAML files and the ``defaults:`` between them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nemo_runspec._names import hint
from nemo_runspec.config.mounts import register_auto_mount_resolver, register_manifest_resolver
from nemo_runspec.config.plain import merge_configs, to_plain
from nemo_runspec.exceptions import ConfigError, ConfigNotFoundError
from nemo_runspec.utils import describe_omegaconf_error

SUFFIXES = (".yaml", ".yml")
DEFAULTS_KEY = "defaults"
SELF = "_self_"


def find_config_file(
    config_name: str, config_dir: Path | str, *, in_working_dir: bool = True
) -> Path:
    """Find a config by name or by path.

    Args:
        config_name: a name (``tiny``) is looked up in ``config_dir``; one with a ``/`` or a YAML
            suffix is a path, seen from the working directory, else from ``config_dir``.
        config_dir: the recipe's config folder.
        in_working_dir: whether a path is seen from the working directory too: a person's is, one
            that a recipe names means the same wherever it is run from.

    Returns:
        The path of an existing file.

    Raises:
        ConfigNotFoundError: there is none; the message lists the configs there are.
    """
    folder = Path(config_dir)
    if "/" in config_name or config_name.endswith(SUFFIXES):
        candidates = [folder / config_name]
        if in_working_dir:
            candidates.insert(0, Path(config_name))
    else:
        candidates = [folder / f"{config_name}{suffix}" for suffix in SUFFIXES]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ConfigNotFoundError(f"no config {config_name!r} {_what_there_is(config_name, folder)}")


def load_config(config_path: Path | str) -> DictConfig:
    """Read a YAML config together with what its ``defaults:`` name.

    ``defaults:`` is a string or a list of strings: other YAML files, relative to this one, suffix
    optional, merged in order below this file's own values; ``_self_`` is ignored. Mappings merge,
    lists are replaced. A list with mappings in it is Hydra's own and stays in the config for the
    script that wants it.

    Args:
        config_path: the YAML file.

    Returns:
        The composed config, interpolations unresolved.

    Raises:
        ConfigNotFoundError: the file, or one that ``defaults:`` names, does not exist.
        ConfigError: a file is no YAML mapping, or ``defaults:`` go in a circle.
    """
    register_auto_mount_resolver()
    register_manifest_resolver()
    path = Path(config_path)
    if not path.is_file():
        raise ConfigNotFoundError(
            f"no config {str(path)!r} {_what_there_is(path.stem, path.parent)}"
        )
    return OmegaConf.create(_compose(path, ()))


def config_files(config_path: Path | str) -> list[Path]:
    """A config and all that its ``defaults:`` name, as :func:`load_config` reads them.

    Raises:
        ConfigError: as for :func:`load_config`.
    """
    load_config(config_path)
    found = [Path(config_path).resolve()]
    for path in found:
        names = _default_names(to_plain(_read(path)), path) or []
        bases = (_base_path(name, path).resolve() for name in names)
        found += [base for base in bases if base not in found]
    return found


def _compose(path: Path, chain: tuple[Path, ...]) -> dict[Any, Any]:
    real = path.resolve()
    if real in chain:
        circle = " -> ".join(str(file) for file in (*chain[chain.index(real) :], real))
        raise ConfigError(f"{chain[-1]}: defaults: go in a circle: {circle}")
    own = to_plain(_read(path))
    names = _default_names(own, path)
    if names is None:
        return own
    composed: dict[Any, Any] = {}
    for name in names:
        composed = merge_configs(composed, _compose(_base_path(name, path), (*chain, real)))
    return merge_configs(composed, {k: v for k, v in own.items() if k != DEFAULTS_KEY})


def _read(path: Path) -> DictConfig:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    not_a_mapping = f"{path}: the top level must be a mapping (key: value)"
    try:
        config = OmegaConf.load(io.StringIO(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: broken YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: broken YAML: {error}") from error
    except OmegaConfBaseException as error:
        key = f" at {error.full_key!r}" if error.full_key else ""
        raise ConfigError(f"{path}:{key} {describe_omegaconf_error(error)}") from error
    except OSError as error:
        # OmegaConf's answer to a lone number.
        raise ConfigError(not_a_mapping) from error
    # OmegaConf takes a lone text for a key; no mapping is written without a colon.
    if not isinstance(config, DictConfig) or (config and ":" not in text):
        raise ConfigError(not_a_mapping)
    return config


def _default_names(config: Mapping[Any, Any], path: Path) -> list[str] | None:
    if DEFAULTS_KEY not in config:
        return None
    names = config[DEFAULTS_KEY]
    if names is None:
        return []
    if isinstance(names, str):
        names = [names]
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return [name for name in names if name != SELF]
    if isinstance(names, list) and any(isinstance(name, dict) for name in names):
        return None
    raise ConfigError(
        f"{path}: defaults: must be the name of a config, or a list of names, not {names!r}"
    )


def _base_path(name: str, path: Path) -> Path:
    written = path.parent / name
    for candidate in (written, *(written.with_name(f"{written.name}{s}") for s in SUFFIXES)):
        if candidate.is_file():
            return candidate
    raise ConfigNotFoundError(
        f"{path}: defaults: names {name!r}, which does not exist "
        f"{_what_there_is(written.stem, written.parent)}"
    )


def _what_there_is(name: str, folder: Path) -> str:
    if not folder.is_dir():
        return f"(there is no folder {folder})"
    names = [file.stem for file in folder.iterdir() if file.suffix in SUFFIXES]
    return f"in {folder}; {hint(name, names, kind='Configs')}"
