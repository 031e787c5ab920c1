"""`key=value` overrides of a config whose key cannot be meant.

The library refuses them when a job is composed (`nemo_runspec.config.overrides`, which this follows
as far as a config is known here); this says it before anything is built. What is in doubt passes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Optional

from runspec.typos import typo_of

# Sections that env.toml and the command line fill too.
_OPEN_SECTIONS = ("artifacts", "run", "wandb")
_INDEX = re.compile(r"\[([^\[\]]*)\]")
_SHOWN = 12


def override_path(text: str) -> tuple[str, ...]:
    """Return the keys of an override's path: `a`, `b` and `0` of `a.b[0]=1`."""
    key = text.lstrip("+").partition("=")[0]
    return tuple(_INDEX.sub(r".\1", key).lstrip(".").split("."))


def unknown_key(config: Mapping[Any, Any], override: str) -> Optional[str]:
    """Return what is wrong with the key of an override, None if nothing is.

    Args:
        config: the composed config, interpolations unresolved.
        override: as written.
    """
    path = override_path(override)
    if override.startswith("+") or path[0] in _OPEN_SECTIONS:
        return None
    node: Any = config
    for depth, segment in enumerate(path):
        if not isinstance(node, Mapping):
            # A list, or an interpolation that stands for a mapping.
            return None
        by_name = {str(key): value for key, value in node.items()}
        if segment in by_name:
            node = by_name[segment]
            continue
        place = f"{'.'.join(path[:depth])!r} of the config" if depth else "the config"
        if not depth and not _overlays_a_recipe(config):
            return f"{place} has no key {segment!r}; {_known(segment, by_name)}"
        known = {*by_name, *(() if depth else _OPEN_SECTIONS)}
        meant = typo_of(segment, known)
        return meant and f"{place} has no key {segment!r}; did you mean {meant!r}?"
    return None


def _overlays_a_recipe(config: Mapping[Any, Any]) -> bool:
    sections = (config, *config.values())
    return any(isinstance(section, Mapping) and "_target_" in section for section in sections)


def _known(wanted: str, there: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(wanted, there, n=1)
    more = ", …" if len(there) > _SHOWN else ""
    listed = f"keys: {', '.join(sorted(there)[:_SHOWN])}{more}" if there else "it is empty"
    return f"did you mean {close[0]!r}?" if close else listed
