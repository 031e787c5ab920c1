"""OmegaConf resolvers: artifacts, git repositories, and manifests.

``${art:KEY[,FIELD]}``
    A field (default: ``path``) of the artifact that the config's ``run`` section names under KEY::

        run:
          data: nano3-pretrain-data:latest
        blend: ${art:data,path}/blend.json

``${auto_mount:…}`` and ``${manifest:…}`` come from :mod:`nemo_runspec.config.mounts`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from omegaconf import DictConfig, OmegaConf

from nemo_runspec._names import hint
from nemo_runspec.config.compose import load_config
from nemo_runspec.config.mounts import (
    clear_git_mounts,
    get_git_mounts,
    register_auto_mount_resolver,
    register_manifest_resolver,
    register_resolver,
)
from nemo_runspec.exceptions import ArtifactNotFoundError, ConfigError

__all__ = [
    "ArtifactReference",
    "ResolvedArtifact",
    "ResolverMode",
    "artifact_field",
    "clear_artifact_cache",
    "clear_git_mounts",
    "find_artifact_references",
    "get_git_mounts",
    "is_artifact_reference",
    "parse_artifact_reference",
    "register_auto_mount_resolver",
    "register_manifest_resolver",
    "register_resolvers",
    "register_resolvers_from_config",
]

ResolverMode = Literal["active_run", "pre_init", "local"]

# What build_job_config puts below `run`; no artifact goes by these keys.
JOB_KEYS = frozenset({"cli", "env", "mode", "profile", "recipe", "wandb"})

_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_REFERENCE = re.compile(rf"(?P<name>{_NAME}(?:/{_NAME})*)(?::(?P<version>latest|v?[0-9]+))?")
_ART_KEY = re.compile(r"\$\{art:\s*[\"']?([^,}\s\"']+)")


@dataclass(frozen=True)
class ArtifactReference:
    """``name[:version]``, as written in a config; ``version`` is ``latest`` or ``vN``."""

    name: str
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


@dataclass(frozen=True)
class ResolvedArtifact:
    """An artifact that was found.

    Attributes:
        name: its name.
        version: the version that the reference meant, ``vN``.
        path: where its data is.
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


@dataclass(frozen=True)
class _Registered:
    reference: ArtifactReference
    mode: ResolverMode


_registered: dict[str, _Registered] = {}
_found: dict[_Registered, ResolvedArtifact] = {}


def parse_artifact_reference(text: str) -> ArtifactReference:
    """Read ``name[:version]``; a version is ``vN``, ``N`` or ``latest`` (the default).

    Raises:
        ConfigError: the text is no reference.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{text!r} is no artifact reference; write name, name:v3 or name:latest "
            "(a name is letters, digits, '.', '_', '-', in parts separated by '/')"
        )
    version = match["version"] or "latest"
    return ArtifactReference(match["name"], f"v{version}" if version.isdecimal() else version)


def is_artifact_reference(value: object) -> bool:
    """Whether a value is an artifact reference to look at, whatever else the config says.

    It ends in ``:latest`` or ``:vN``, or its name holds ``Artifact``. ``name:N`` alone does not
    count (``redis:7``, ``host:8080`` look the same), nor do times, URLs and image names, which
    begin with a registry's host (``nvcr.io/…``).
    """
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
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
        (``data: nano3-data``, ``data: nano3-data:7``, ``data: ${oc.env:DATA}``).
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
            or (key in used and ("${" in value or _REFERENCE.fullmatch(value)))
        )
    }


def register_resolvers(
    artifacts: Mapping[str, str] | None = None,
    *,
    replace: bool = True,
    mode: ResolverMode | None = None,
) -> list[str]:
    """Make ``${art:…}`` and ``${manifest:…}`` work.

    Args:
        artifacts: by KEY, the reference that ``${art:KEY}`` stands for. They add to those
            registered before.
        replace: whether resolvers of these names that somebody else registered are replaced.
        mode: how artifacts are looked up: ``active_run`` (W&B, in the run that is going on),
            ``pre_init`` (W&B, before there is one) or ``local`` (manifests; the default).

    Returns:
        The W&B qualified names of the artifacts, for lineage; none without W&B.

    Raises:
        ConfigError: an unknown mode, or a value of ``artifacts`` is no reference.
    """
    modes: tuple[ResolverMode, ...] = get_args(ResolverMode)
    chosen = mode or "local"
    if chosen not in modes:
        raise ConfigError(f"unknown resolver mode {chosen!r}; {hint(chosen, modes, kind='Modes')}")
    for key, text in (artifacts or {}).items():
        _registered[key] = _Registered(parse_artifact_reference(text), chosen)
    register_resolver("art", _art, replace=replace)
    register_manifest_resolver(replace=replace)
    return []


def register_resolvers_from_config(
    config: DictConfig | Path | str,
    artifacts_key: str = "run",
    mode: ResolverMode | None = None,
    *,
    replace: bool = True,
) -> list[str]:
    """Make the ``${art:…}`` of a config work.

    Args:
        config: the config, or the path of its YAML file.
        artifacts_key: the section that names the artifacts.
        mode: as for :func:`register_resolvers`.
        replace: as for :func:`register_resolvers`.

    Returns:
        As :func:`register_resolvers`.
    """
    if isinstance(config, (str, Path)):
        config = load_config(config)
    plain = OmegaConf.to_container(config, resolve=False)
    section = OmegaConf.select(config, artifacts_key)
    keys = find_artifact_references(plain, artifacts_key)
    return register_resolvers({key: section[key] for key in keys}, replace=replace, mode=mode)


def clear_artifact_cache() -> None:
    """Forget which artifacts were registered and found."""
    _registered.clear()
    _found.clear()


def _art_keys(node: Any) -> set[str]:
    if isinstance(node, str):
        return set(_ART_KEY.findall(node))
    if isinstance(node, Mapping):
        return {key for item in node.values() for key in _art_keys(item)}
    if isinstance(node, list):
        return {key for item in node for key in _art_keys(item)}
    return set()


def _art(key: Any, field_name: Any = "path") -> Any:
    registered = _registered.get(str(key))
    if registered is None:
        raise ArtifactNotFoundError(
            str(key),
            f"the run section names no artifact {str(key)!r}; "
            f"{hint(str(key), _registered, kind='Artifacts')}",
        )
    if registered not in _found:
        _found[registered] = _find_artifact(registered.reference, registered.mode)
    return artifact_field(_found[registered], str(field_name))


def _find_artifact(reference: ArtifactReference, mode: ResolverMode) -> ResolvedArtifact:
    """The one place where artifacts are looked up."""
    raise ArtifactNotFoundError(
        reference.name,
        f"artifact {str(reference)!r} cannot be looked up ({mode}): this version of "
        "nemo_runspec reads no artifact store; write the path in the config instead",
    )


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
