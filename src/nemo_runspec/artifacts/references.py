"""The artifacts that a config names, and the fields of one that was found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nemo_runspec._names import hint
from nemo_runspec.exceptions import ConfigError
from nemo_runspec.store.names import REFERENCE

# What build_job_config puts below `run`; no artifact goes by these keys.
JOB_KEYS = frozenset({"cli", "env", "mode", "profile", "recipe", "wandb"})

_ART_KEY = re.compile(r"\$\{art:\s*[\"']?([^,}\s\"']+)")


@dataclass(frozen=True)
class ResolvedArtifact:
    """An artifact that was found.

    Attributes:
        name: its name in the store.
        version: the version that the reference meant, ``vN``.
        path: where its data is: a path or a URL.
        type: the class that logged it.
        iteration: the training step of a checkpoint.
        metadata: its ``metadata.json``.
    """

    name: str
    version: str
    path: str
    type: str | None = None
    iteration: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        """``name:vN``."""
        return f"{self.name}:{self.version}"


def is_artifact_reference(value: object) -> bool:
    """Whether a value is an artifact reference to look at, whatever else the config says.

    It ends in ``:latest`` or ``:vN``, or its name holds ``Artifact``. ``name:N`` alone does not
    count (``redis:7``, ``host:8080`` look the same), nor does an alias (``redis:alpine``), nor do
    times, URLs and image names, which begin with a registry's host (``nvcr.io/…``).
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
    """The artifacts that a config names.

    Args:
        config: the config as plain data, interpolations unresolved.
        artifacts_key: the section to look in; dots separate its parts.

    Returns:
        By key, the text of each reference. A value counts when it is one
        (:func:`is_artifact_reference`), or when some ``${art:KEY}`` of the config says that it is
        (``data: nano3-data``, ``data: nano3-data:7``, ``data: nano3-data:prod``,
        ``data: ${oc.env:DATA}``).
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


def artifact_field(artifact: ResolvedArtifact, name: str) -> Any:
    """A field of an artifact, in its native type.

    ``metadata.X`` is X in ``metadata.json``. Any other name is looked for among path, version,
    name, type and iteration, then at the top level of ``metadata.json``, then in its
    ``metadata``.

    Raises:
        ConfigError: there is no such field; the message lists those there are.
    """
    nested = artifact.metadata.get("metadata")
    inner = nested if isinstance(nested, Mapping) else {}
    own = {
        "path": artifact.path,
        "version": artifact.version,
        "name": artifact.name,
        "type": artifact.type,
        "iteration": artifact.iteration,
    }
    facts = {key: value for key, value in own.items() if value is not None}
    prefix, _, rest = name.partition(".")
    layers = [artifact.metadata, inner] if prefix == "metadata" and rest else []
    wanted = rest if layers else name
    for layer in layers or [facts, artifact.metadata, inner]:
        if wanted in layer:
            return layer[wanted]
    known = {*facts, *map(str, artifact.metadata), *map(str, inner)} - {"metadata"}
    raise ConfigError(
        f"artifact '{artifact.name}:{artifact.version}' has no field {name!r}; "
        f"{hint(wanted, known, kind='Fields')}"
    )


def _art_keys(node: Any) -> set[str]:
    if isinstance(node, str):
        return set(_ART_KEY.findall(node))
    if isinstance(node, Mapping):
        return {key for item in node.values() for key in _art_keys(item)}
    if isinstance(node, list):
        return {key for item in node for key in _art_keys(item)}
    return set()
