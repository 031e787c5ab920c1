"""The artifacts that a config names: what a reference looks like, and where one counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# The longest part of a name: a file name has at most 255 bytes, and temporary files add to it.
MAX_SEGMENT = 200

# What the launcher puts below `run`; no artifact goes by these keys.
JOB_KEYS = frozenset({"cli", "env", "mode", "output_dir", "profile", "recipe", "wandb"})

_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
# `name[:version]`; the version is `latest`, `vN`, `N` or an alias such as `prod`.
REFERENCE = re.compile(
    rf"(?P<name>{_SEGMENT}(?:/{_SEGMENT})*)"
    r"(?::(?:(?P<version>latest|v?[0-9]+)|(?P<alias>[A-Za-z][A-Za-z0-9._-]*)))?"
)
_RESERVED = re.compile(r"latest|keys|aliases|v[0-9]+|_.*", re.DOTALL)
_NAME = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_ART_KEY = re.compile(r"\$\{art:\s*[\"']?([^,}\s\"']+)")


def is_artifact_name(text: str) -> bool:
    """Tell whether an artifact can have this name.

    It is letters, digits, `.`, `_`, `-`, in parts separated by `/`; no part begins with `_` or `.`,
    or is `latest`, `keys`, `aliases` or a version like `v3`.
    """
    return _NAME.fullmatch(text) is not None and not any(
        _RESERVED.fullmatch(part) or len(part) > MAX_SEGMENT for part in text.split("/")
    )


def is_artifact_reference(value: object) -> bool:
    """Tell whether a value is an artifact reference to look at, whatever else the config says.

    It ends in `:latest` or `:vN`, or its name holds `Artifact`. `name:N` alone does not count
    (`redis:7`, `host:8080` look the same), nor does an alias (`redis:alpine`), nor do times, URLs
    and image names, which begin with a registry's host (`nvcr.io/…`).
    """
    match = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return False
    host, slash, _ = match["name"].partition("/")
    if slash and "." in host:
        return False
    version = match["version"] or ""
    return version == "latest" or version.startswith("v") or "Artifact" in match["name"]


def find_artifact_references(config: Any, artifacts_key: str = "run") -> dict[str, str]:
    """Return the artifacts that a config names.

    Args:
        config: the config as plain data, interpolations unresolved.
        artifacts_key: the section to look in; dots separate its parts.

    Returns:
        By key, the text of each reference. A value counts when it is one
        (`is_artifact_reference`), or when some `${art:KEY}` of the config says that it is
        (`data: nano3-data`, `data: nano3-data:7`, `data: nano3-data:prod`,
        `data: ${oc.env:DATA}`).
    """
    section = config
    for part in artifacts_key.split("."):
        section = section.get(part) if isinstance(section, Mapping) else None
    if not isinstance(section, Mapping):
        return {}
    used = _art_keys(config)
    return {
        str(key): value
        for key, value in section.items()
        if isinstance(value, str)
        and key not in JOB_KEYS
        and (
            is_artifact_reference(value)
            or (key in used and ("${" in value or REFERENCE.fullmatch(value)))
        )
    }


def _art_keys(node: Any) -> set[str]:
    if isinstance(node, str):
        return set(_ART_KEY.findall(node))
    if isinstance(node, Mapping):
        return {key for item in node.values() for key in _art_keys(item)}
    if isinstance(node, list):
        return {key for item in node for key in _art_keys(item)}
    return set()
