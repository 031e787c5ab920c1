"""How artifacts, their versions, aliases and keys may be called."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nemo_runspec.exceptions import ConfigError
from nemo_runspec.store.errors import StoreNameError
from runspec.references import MAX_SEGMENT, REFERENCE, is_artifact_name

_VERSION = re.compile(r"v?[0-9]+")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

ALLOWED = (
    "a name is letters, digits, '.', '_', '-', in parts separated by '/'; no part begins with '_' "
    "or '.', or is 'latest', 'keys', 'aliases' or a version like 'v3'"
)


@dataclass(frozen=True)
class ArtifactReference:
    """``name[:version]``; ``version`` is ``latest``, ``vN`` or an alias such as ``prod``."""

    name: str
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"

    @property
    def number(self) -> int | None:
        """N of ``vN``; None for ``latest`` and an alias."""
        return int(self.version[1:]) if is_version(self.version) else None

    @property
    def alias(self) -> str | None:
        """The alias; None for ``latest`` and ``vN``."""
        return None if self.version == "latest" or is_version(self.version) else self.version


def parse_artifact_reference(text: str) -> ArtifactReference:
    """Read ``name[:version]``; a version is ``vN``, ``N``, ``latest`` (the default) or an alias.

    Raises:
        ConfigError: the text is no reference.
    """
    match = REFERENCE.fullmatch(text)
    if match is None or not is_artifact_name(match["name"]):
        raise ConfigError(
            f"{text!r} is no artifact reference; write name, name:v3, name:latest or "
            f"name:an-alias ({ALLOWED})"
        )
    version = match["version"] or match["alias"] or "latest"
    if _VERSION.fullmatch(version):
        version = f"v{version.removeprefix('v').lstrip('0') or '0'}"
    return ArtifactReference(match["name"], version)


def is_version(text: str) -> bool:
    """Whether a text is ``v`` and digits."""
    return text.startswith("v") and _VERSION.fullmatch(text) is not None


def check_name(name: str) -> str:
    """The name of an artifact, if it may be called that.

    Raises:
        StoreNameError: it may not; the message says what a name is.
    """
    if not is_artifact_name(name):
        raise StoreNameError(f"{name!r} cannot be the name of an artifact; {ALLOWED}")
    return name


def check_label(label: str, kind: str) -> str:
    """An alias, key or run id, if it may be called that.

    Args:
        label: the text.
        kind: what it is, for the message: ``an alias``, ``a key`` …

    Raises:
        StoreNameError: it may not.
    """
    taken = kind == "an alias" and (label == "latest" or _VERSION.fullmatch(label) is not None)
    if taken or not _LABEL.fullmatch(label) or len(label) > MAX_SEGMENT:
        raise StoreNameError(
            f"{label!r} cannot be {kind}; write letters, digits, '.', '_', '-'"
            f"{', not latest or a version' if taken else ''}"
        )
    return label


def check_lease_id(lease_id: str) -> str:
    """The name of a lease: parts as in a name, separated by ``/``, none of them reserved.

    Raises:
        StoreNameError: it is none.
    """
    if any(not _LABEL.fullmatch(part) or len(part) > MAX_SEGMENT for part in lease_id.split("/")):
        raise StoreNameError(
            f"{lease_id!r} cannot be the name of a lease; write letters, digits, '.', '_', '-', "
            "in parts separated by '/'"
        )
    return lease_id
