"""OmegaConf resolvers: artifacts, git repositories, and manifests.

``${art:KEY[,FIELD]}``
    A field (default: ``path``) of the artifact that the config's ``run`` section names under KEY;
    :mod:`nemo_runspec.artifacts.resolver` looks it up::

        run:
          data: nano3-pretrain-data:latest
        blend: ${art:data,path}/blend.json

``${auto_mount:…}`` and ``${manifest:…}`` come from :mod:`nemo_runspec.config.mounts`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nemo_runspec.artifacts.references import ResolvedArtifact, artifact_field
from nemo_runspec.artifacts.resolver import (
    ResolverMode,
    clear_artifact_cache,
    register_config_artifacts,
    register_resolvers,
)
from nemo_runspec.config.compose import load_config
from nemo_runspec.config.mounts import (
    clear_git_mounts,
    get_git_mounts,
    register_auto_mount_resolver,
    register_manifest_resolver,
)
from nemo_runspec.store.names import ArtifactReference, parse_artifact_reference
from runspec.references import find_artifact_references, is_artifact_reference

if TYPE_CHECKING:
    from omegaconf import DictConfig

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


def register_resolvers_from_config(
    config: DictConfig | Path | str,
    artifacts_key: str = "run",
    mode: ResolverMode | None = None,
    *,
    replace: bool = True,
) -> list[str]:
    """Make the ``${art:…}`` of a config work.

    They are looked up in the store of the job, else in that of the config's ``artifacts``.

    Args:
        config: the config, or the path of its YAML file.
        artifacts_key: the section that names the artifacts.
        mode: as for :func:`register_resolvers`.
        replace: as for :func:`register_resolvers`.

    Returns:
        As :func:`register_resolvers`.

    Raises:
        ConfigError: as :func:`register_resolvers`, or the file is no config.
        EnvError: the ``artifacts`` section is broken.
    """
    if isinstance(config, (str, Path)):
        config = load_config(config)
    return register_config_artifacts(config, artifacts_key, mode, replace=replace)
