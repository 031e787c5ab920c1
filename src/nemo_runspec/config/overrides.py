"""``key=value`` overrides of a config."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nemo_runspec._names import hint
from nemo_runspec.config.plain import MISSING, dereference, to_plain
from nemo_runspec.env import PROFILE_KEYS
from nemo_runspec.exceptions import OverrideError
from nemo_runspec.utils import deep_merge, describe_omegaconf_error
from runspec.typos import typo_of

# Sections that are filled from env.toml and the command line, whether or not a YAML has them.
OPEN_SECTIONS = frozenset({"artifacts", "run", "wandb"})
_KNOWN_KEYS: dict[tuple[str, ...], frozenset[str]] = {
    ("artifacts",): frozenset({"manifest", "wandb"}),
    ("artifacts", "manifest"): frozenset({"root"}),
    ("run",): frozenset({"env", "wandb"}),
    ("run", "env"): PROFILE_KEYS,
}
_INDEX = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True)
class Override:
    """One override: ``text`` as written, the keys of its path, its value as plain data.

    ``adds`` says that it was written as ``+key=value``: a new key is meant.
    """

    text: str
    path: tuple[str, ...]
    value: Any
    adds: bool


def parse_override(text: str) -> Override:
    """Read ``key=value`` (``a.b=1``, ``a.list[0]=x``, ``+a.new=[1, 2]``).

    The value is YAML as OmegaConf reads it: ``1e-4`` is a number, ``null``, ``true``, ``[1, 2]``
    and ``{a: 1}`` are what they look like, quotes make a text, nothing is null.

    Raises:
        OverrideError: no ``=``, an empty key, or a value that is no YAML.
    """
    adds = text.startswith("+")
    key, separator, written = text.removeprefix("+").partition("=")
    path = tuple(_INDEX.sub(r".\1", key).removeprefix(".").split("."))
    if not separator or not all(path):
        raise OverrideError(f"override {text!r} is not of the form key.subkey=value")
    try:
        parsed = OmegaConf.from_dotlist([f"value={written}"])
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error)
        raise OverrideError(
            f"override {text!r}: the value is broken YAML ({problem}); put it in quotes"
        ) from error
    except OmegaConfBaseException as error:
        raise OverrideError(f"override {text!r}: {describe_omegaconf_error(error)}") from error
    plain = OmegaConf.to_container(parsed, resolve=False)
    assert isinstance(plain, dict)
    return Override(text=text, path=path, value=plain["value"], adds=adds)


def apply_dotlist_overrides(
    config: DictConfig, dotlist: Sequence[str], *, origin: str = "the config"
) -> DictConfig:
    """Put ``key=value`` overrides on top of a config, the later ones on top of the earlier.

    A mapping merges into a mapping, anything else replaces. What a key may be:

    - a key that the config has, also below an interpolation or in a list (``a.list[0]=x``);
    - any key below ``run``, ``artifacts`` and ``wandb``, and any new key in a mapping that the
      config has, unless it looks like a misspelling of one that is there: then it is an error;
    - a new key at the top level is an error, for it would go unread, except in a config with a
      ``_target_``, which lists only what differs from the recipe that it names;
    - ``+key=value`` adds whatever the key.

    Args:
        config: a config without a schema, as YAML makes it.
        dotlist: the overrides, in order.
        origin: what to call the config in an error.

    Returns:
        A new config; the given one is not changed.

    Raises:
        OverrideError: an override cannot be read, or its key cannot be meant.
    """
    if not dotlist:
        return config
    plain = to_plain(config)
    for text in dotlist:
        plain = apply_override(plain, parse_override(text), origin)
    try:
        return OmegaConf.create(plain)
    except OmegaConfBaseException as error:
        raise OverrideError(f"{origin}: {describe_omegaconf_error(error)}") from error


def apply_override(
    plain: dict[Any, Any], override: Override, origin: str = "the config"
) -> dict[Any, Any]:
    """Put one override on top of a plain config (see :func:`apply_dotlist_overrides`).

    Returns:
        A new dict that shares what did not change with the given one.

    Raises:
        OverrideError: its key cannot be meant; with ``adds``, only an item that a list lacks.
    """
    changed: dict[Any, Any] = _set(plain, override, (), origin, plain)
    return changed


def _set(
    node: Any, override: Override, done: tuple[str, ...], origin: str, root: dict[Any, Any]
) -> Any:
    if len(done) == len(override.path):
        if isinstance(override.value, Mapping):
            below = dereference(node, done, root)
            if isinstance(below, Mapping):
                return deep_merge(below, override.value)
        return override.value
    node = dereference(node, done, root)
    segment = override.path[len(done)]
    deeper = (*done, segment)
    if isinstance(node, list):
        index = _index(node, segment, override, done, origin)
        changed = _set(node[index], override, deeper, origin, root)
        return [*node[:index], changed, *node[index + 1 :]]
    if not isinstance(node, dict):
        if node is not None and node != MISSING and not override.adds:
            raise OverrideError(
                f"override {override.text!r}: {'.'.join(done)!r} of {origin} is {node!r}, "
                f"no mapping, so it has no key {segment!r}; +{override.text} replaces it"
            )
        node = {}
    key = next((key for key in node if str(key) == segment), segment)
    if key not in node and not override.adds:
        _check_new_key(node, segment, override, done, origin, root)
    return {**node, key: _set(node.get(key), override, deeper, origin, root)}


def _index(
    items: list[Any], segment: str, override: Override, done: tuple[str, ...], origin: str
) -> int:
    if segment.removeprefix("-").isdecimal() and -len(items) <= int(segment) < len(items):
        return int(segment) % len(items)
    raise OverrideError(
        f"override {override.text!r}: {'.'.join(done)!r} of {origin} is a list of {len(items)}, "
        f"which has no item {segment!r}"
    )


def _check_new_key(
    node: Mapping[Any, Any],
    segment: str,
    override: Override,
    done: tuple[str, ...],
    origin: str,
    root: Mapping[Any, Any],
) -> None:
    known = {str(key) for key in node} | _KNOWN_KEYS.get(done, frozenset())
    if not done:
        known |= OPEN_SECTIONS
    if segment in known:
        return
    place = f"{'.'.join(done)!r} of {origin}" if done else origin
    if not done and not _overlays_a_recipe(root):
        raise OverrideError(
            f"override {override.text!r}: {place} has no key {segment!r}; "
            f"{hint(segment, known, kind='Keys')}. +{override.text} adds it"
        )
    meant = typo_of(segment, known)
    if meant is not None:
        raise OverrideError(
            f"override {override.text!r}: {place} has no key {segment!r}; did you mean {meant!r}? "
            f"+{override.text} adds it"
        )


def _overlays_a_recipe(root: Mapping[Any, Any]) -> bool:
    sections = (root, *root.values())
    return any(isinstance(section, Mapping) and "_target_" in section for section in sections)
