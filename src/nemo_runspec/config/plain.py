"""Configs as plain dicts and lists, interpolations unresolved.

Merging happens on these: ``OmegaConf.merge`` raises where a list meets a mapping, which here is
replaced like any other value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

MISSING = "???"


def to_plain(config: DictConfig) -> dict[Any, Any]:
    """A config as a dict of its own, interpolations unresolved."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return plain


def merge_configs(below: Mapping[Any, Any], above: Mapping[Any, Any]) -> dict[Any, Any]:
    """``below`` with ``above`` on top, as YAML ``defaults:`` mean it.

    Mappings merge key by key; all else, lists too, is replaced. A mapping over an interpolation
    goes on top of a copy of what that refers to, and ``???`` replaces nothing (both as
    ``OmegaConf.merge`` does).
    """
    return _merge(below, above, (), below)


def dereference(node: Any, path: tuple[Any, ...], root: Mapping[Any, Any]) -> Any:
    """What is behind an interpolation.

    Args:
        node: the value at ``path``; anything but a text that begins with ``${`` is returned as
            it is.
        path: where it stands; keys may be given as text.
        root: the whole config.

    Returns:
        A plain copy of what it refers to, or None when that is known in the job alone.
    """
    if not (isinstance(node, str) and node.startswith("${")):
        return node
    target: Any = OmegaConf.create(dict(root))
    try:
        for segment in path:
            if isinstance(target, DictConfig):
                key = next((key for key in target if str(key) == str(segment)), segment)
                target = target[key]
            else:
                target = target[int(segment)]
    except OmegaConfBaseException:
        return None
    return OmegaConf.to_container(target, resolve=False) if OmegaConf.is_config(target) else target


def _merge(
    below: Mapping[Any, Any],
    above: Mapping[Any, Any],
    path: tuple[Any, ...],
    root: Mapping[Any, Any],
) -> dict[Any, Any]:
    merged = dict(below)
    for key, value in above.items():
        if key in merged and value == MISSING:
            continue
        if key in merged and isinstance(value, Mapping):
            base = dereference(merged[key], (*path, key), root)
            if isinstance(base, Mapping):
                value = _merge(base, value, (*path, key), root)
        merged[key] = value
    return merged
