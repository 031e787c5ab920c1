"""Composing configs: YAML with ``defaults:``, a profile, overrides; and the ``${…}`` resolvers.

The names come from the modules of this package, each imported when one of its names is first
used: OmegaConf and Pydantic take their time to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nemo_runspec.config.dataclass_config import load_omegaconf_yaml, omegaconf_to_dataclass
    from nemo_runspec.config.loader import (
        apply_dotlist_overrides,
        build_job_config,
        extract_train_config,
        find_config_file,
        generate_job_dir,
        load_config,
        parse_config,
        save_configs,
    )
    from nemo_runspec.config.pydantic_loader import RecipeSettings, parse_config_and_overrides
    from nemo_runspec.config.pydantic_loader import load_config as load_pydantic_config
    from nemo_runspec.config.resolvers import (
        ResolverMode,
        clear_artifact_cache,
        clear_git_mounts,
        get_git_mounts,
        register_auto_mount_resolver,
        register_manifest_resolver,
        register_resolvers,
        register_resolvers_from_config,
    )

__all__ = [
    "RecipeSettings",
    "ResolverMode",
    "apply_dotlist_overrides",
    "build_job_config",
    "clear_artifact_cache",
    "clear_git_mounts",
    "extract_train_config",
    "find_config_file",
    "generate_job_dir",
    "get_git_mounts",
    "load_config",
    "load_omegaconf_yaml",
    "load_pydantic_config",
    "omegaconf_to_dataclass",
    "parse_config",
    "parse_config_and_overrides",
    "register_auto_mount_resolver",
    "register_manifest_resolver",
    "register_resolvers",
    "register_resolvers_from_config",
    "save_configs",
]

_RESOLVERS = "nemo_runspec.config.resolvers"
_PYDANTIC = "nemo_runspec.config.pydantic_loader"
_DATACLASS = "nemo_runspec.config.dataclass_config"
_ELSEWHERE = {
    "RecipeSettings": (_PYDANTIC, "RecipeSettings"),
    "ResolverMode": (_RESOLVERS, "ResolverMode"),
    "clear_artifact_cache": (_RESOLVERS, "clear_artifact_cache"),
    "clear_git_mounts": (_RESOLVERS, "clear_git_mounts"),
    "get_git_mounts": (_RESOLVERS, "get_git_mounts"),
    "load_omegaconf_yaml": (_DATACLASS, "load_omegaconf_yaml"),
    "load_pydantic_config": (_PYDANTIC, "load_config"),
    "omegaconf_to_dataclass": (_DATACLASS, "omegaconf_to_dataclass"),
    "parse_config_and_overrides": (_PYDANTIC, "parse_config_and_overrides"),
    "register_auto_mount_resolver": (_RESOLVERS, "register_auto_mount_resolver"),
    "register_manifest_resolver": (_RESOLVERS, "register_manifest_resolver"),
    "register_resolvers": (_RESOLVERS, "register_resolvers"),
    "register_resolvers_from_config": (_RESOLVERS, "register_resolvers_from_config"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _ELSEWHERE.get(name, ("nemo_runspec.config.loader", name))
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value
