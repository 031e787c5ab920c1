"""Giving OmegaConf a resolver, and the one that reads a ``manifest.json`` in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import omegaconf
from omegaconf import OmegaConf

from nemo_runspec._names import hint
from nemo_runspec.exceptions import ConfigError


def register_resolver(name: str, resolver: Callable[..., Any], *, replace: bool) -> None:
    """Give OmegaConf a resolver, whichever of its versions this is."""
    # 2.4 deprecates register_new_resolver, which the 2.3 of the images in the field needs: there
    # register_resolver is the old one, without `replace`.
    version = tuple(int(part) for part in omegaconf.__version__.split(".")[:2])
    is_new = version >= (2, 4)
    register = OmegaConf.register_resolver if is_new else OmegaConf.register_new_resolver
    register(name, resolver, replace=replace)


def register_manifest_resolver(*, replace: bool = True) -> None:
    """Make ``${manifest:DIR,KEY}`` work; calling it again does no harm."""
    register_resolver("manifest", _manifest, replace=replace)


def _manifest(directory: Any, key: Any) -> Any:
    path = Path(str(directory)) / "manifest.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"manifest: there is no {path}; prepare the data first, or mend the folder"
        ) from error
    except OSError as error:
        raise ConfigError(f"manifest: {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"manifest: {path} is no JSON: {error}") from error
    if not isinstance(document, dict) or str(key) not in document:
        keys = document if isinstance(document, dict) else {}
        raise ConfigError(
            f"manifest: {path} has no key {str(key)!r}; {hint(str(key), keys, kind='Keys')}"
        )
    return document[str(key)]
