"""The config pipeline: YAML, profile and command line in; job config and train config out.

1. :func:`parse_config`: the recipe's YAML with its ``defaults:`` and the overrides.
2. :func:`build_job_config`: the same with a ``run`` section: where and how it runs, and how it
   came about.
3. :func:`extract_train_config`: what the script sees.
4. :func:`generate_job_dir`, :func:`save_configs`: both on disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nemo_runspec.config.compose import find_config_file, load_config
from nemo_runspec.config.overrides import apply_dotlist_overrides
from nemo_runspec.config.plain import to_plain
from nemo_runspec.config.resolvers import find_artifact_references
from nemo_runspec.env import get_artifacts_config, get_wandb_config, normalize_artifacts
from nemo_runspec.exceptions import ConfigError, EnvError
from nemo_runspec.jobs import JobPaths, create_job_folder, jobs_root
from nemo_runspec.masking import mask_secrets
from nemo_runspec.utils import (
    deep_merge,
    describe_omegaconf_error,
    find_repository_root,
    resolve_run_interpolations,
    rewrite_paths_for_remote,
    write_atomically,
)

if TYPE_CHECKING:
    from nemo_runspec.cli_context import GlobalContext

__all__ = [
    "apply_dotlist_overrides",
    "build_job_config",
    "extract_train_config",
    "find_config_file",
    "generate_job_dir",
    "load_config",
    "parse_config",
    "save_configs",
]

RUN_SECTION = "run"
ARTIFACTS_SECTION = "artifacts"
# What a recipe needs is the recipe's to say; a profile gives what is left open.
_YAML_WINS = ("container_image", "nodes", "gpus_per_node", "ntasks_per_node", "nproc_per_node")
_IMAGE = "container_image"
_OLDER_IMAGE = "container"
_INTERPOLATION_START = re.compile(r"(?P<slashes>\\*)\$\{")


def parse_config(ctx: GlobalContext, config_dir: Path | str, default_config: str) -> DictConfig:
    """The config that the command line asks for, with its overrides.

    Args:
        ctx: the command line: ``config`` names the config, ``dotlist`` holds the overrides.
        config_dir: the recipe's config folder.
        default_config: the config when none is named, by name or by path from `config_dir`.

    Returns:
        The composed config, interpolations unresolved.

    Raises:
        ConfigError: see :func:`find_config_file`, :func:`load_config` and
            :func:`apply_dotlist_overrides`.
    """
    path = find_config_file(
        ctx.config or default_config, config_dir, in_working_dir=bool(ctx.config)
    )
    return apply_dotlist_overrides(load_config(path), ctx.dotlist, origin=str(path))


def build_job_config(
    train_config: DictConfig,
    ctx: GlobalContext,
    recipe_name: str,
    script_path: Path | str,
    argv: Sequence[str],
    *,
    env_profile: DictConfig | None = None,
) -> DictConfig:
    """The whole job as one config: the train config plus a ``run`` section.

    ``run`` gets mode, profile, env, cli (argv, dotlist, passthrough, config), recipe (name,
    script) and wandb (``[wandb]`` of env.toml over what the YAML says). ``run.env`` is the profile
    over the YAML's ``run.env``: tables merge, mounts are concatenated, but the YAML wins for
    container_image, nodes, gpus_per_node, ntasks_per_node and nproc_per_node. The image's older
    key ``container`` means the same, and ``run.env.container_image`` holds it in either case.
    ``artifacts`` is ``[artifacts]`` of env.toml below what the YAML says. Overrides of the
    command line apply last, to all of it.

    Args:
        train_config: from :func:`parse_config`.
        ctx: the command line.
        recipe_name: such as ``nano3/pretrain``.
        script_path: the recipe's script.
        argv: the command line as it was typed.
        env_profile: from :func:`nemo_runspec.env.parse_env`; None for a local run without one.

    Returns:
        A new config; interpolations of the YAML stay unresolved.

    Raises:
        ConfigError: a section of the YAML has the wrong shape.
        EnvError: env.toml is broken.
    """
    job = to_plain(train_config)
    run = _mapping(job.get(RUN_SECTION), RUN_SECTION)
    env = _mapping(run.get("env"), "run.env")
    updates: dict[str, Any] = {
        "mode": ctx.mode,
        "profile": ctx.profile,
        "env": _merged_env(train_config, env, env_profile),
        "cli": {
            "argv": [_escaped(item) for item in argv],
            "dotlist": [_escaped(item) for item in ctx.dotlist],
            "passthrough": [_escaped(item) for item in ctx.passthrough],
            "config": ctx.config,
        },
        "recipe": {"name": recipe_name, "script": str(script_path)},
    }
    wandb = get_wandb_config()
    if wandb is not None:
        below = _mapping(run.get("wandb"), "run.wandb")
        updates["wandb"] = deep_merge(below, _resolved_section(wandb, "wandb"))
    job[RUN_SECTION] = {**run, **updates}

    artifacts = get_artifacts_config()
    if artifacts is not None or job.get(ARTIFACTS_SECTION) is not None:
        own = normalize_artifacts(
            _mapping(job.get(ARTIFACTS_SECTION), ARTIFACTS_SECTION), "the config's artifacts"
        )
        team = {} if artifacts is None else _resolved_section(artifacts, ARTIFACTS_SECTION)
        job[ARTIFACTS_SECTION] = deep_merge(team, own)
    return apply_dotlist_overrides(OmegaConf.create(job), ctx.dotlist)


def extract_train_config(job_config: DictConfig, *, for_remote: bool = False) -> DictConfig:
    """What the script sees of a job config.

    It is the job config without the job's own sections: ``run`` holds only the artifact
    references, and every ``${run.a.b}`` elsewhere is replaced by its value. ``${art:…}`` is kept
    for the job to resolve, and so are ``artifacts`` and all other interpolations.

    Args:
        job_config: from :func:`build_job_config`.
        for_remote: point paths into this checkout at the job's copy of it (see
            :func:`nemo_runspec.utils.rewrite_paths_for_remote`).

    Returns:
        A new config.

    Raises:
        ConfigError: values of ``run`` refer to each other in a circle.
    """
    plain = to_plain(job_config)
    references = find_artifact_references(plain, RUN_SECTION)
    run = _mapping(plain.pop(RUN_SECTION, None), RUN_SECTION)
    train: dict[str, Any] = resolve_run_interpolations(plain, run)
    if for_remote:
        train = rewrite_paths_for_remote(train, find_repository_root() or Path.cwd())
    if references:
        train = {**train, RUN_SECTION: resolve_run_interpolations(references, run)}
    return OmegaConf.create(train)


def generate_job_dir(recipe_name: str, base_dir: Path | str | None = None) -> Path:
    """Make a new job folder, ``.runspec/jobs/{timestamp}-{name}``.

    Args:
        recipe_name: such as ``nano3/pretrain``; what cannot stand in a file's name becomes ``-``.
        base_dir: the folder that holds ``.runspec``; default: the repository's root, outside of
            a repository the working directory.

    Returns:
        The folder, which is new: two jobs of one second never share one.
    """
    root = jobs_root() if base_dir is None else Path(base_dir) / ".runspec" / "jobs"
    return create_job_folder(recipe_name, root)


def save_configs(
    job_config: DictConfig, train_config: DictConfig, job_dir: Path | str
) -> tuple[Path, Path]:
    """Write ``job.yaml`` (for people: secrets masked) and ``train.yaml`` (for the script).

    Each appears whole or not at all. ``train.yaml`` can be read by its owner alone: the script
    needs what secrets it holds.

    Args:
        job_config: from :func:`build_job_config`.
        train_config: from :func:`extract_train_config`.
        job_dir: the job's folder; made if it is missing.

    Returns:
        The paths of ``job.yaml`` and ``train.yaml``.
    """
    folder = Path(job_dir)
    folder.mkdir(parents=True, exist_ok=True)
    paths = JobPaths(folder)
    masked_job = OmegaConf.create(mask_secrets(to_plain(job_config)))
    write_atomically(paths.job_config, OmegaConf.to_yaml(masked_job), durable=False)
    train = OmegaConf.to_yaml(train_config)
    write_atomically(paths.train_config, train, private=True, durable=False)
    return paths.job_config, paths.train_config


def _merged_env(
    config: DictConfig, own: dict[str, Any], env_profile: DictConfig | None
) -> dict[str, Any]:
    if env_profile is None:
        return _with_image(own)
    profile = _with_image(to_plain(env_profile))
    own = _with_image(own)
    merged = deep_merge(own, profile)
    mounts = [*_mounts(own, config, "run.env.mounts"), *_mounts(profile, env_profile, "mounts")]
    if mounts:
        merged["mounts"] = mounts
    won = {key: own[key] for key in _YAML_WINS if own.get(key) is not None}
    merged.update(won)
    if _IMAGE in won and _OLDER_IMAGE in merged:
        merged[_OLDER_IMAGE] = won[_IMAGE]
    return merged


def _with_image(env: dict[str, Any]) -> dict[str, Any]:
    if env.get(_IMAGE) is None and env.get(_OLDER_IMAGE) is not None:
        return {**env, _IMAGE: env[_OLDER_IMAGE]}
    return env


def _mounts(env: Mapping[str, Any], config: DictConfig, location: str) -> list[Any]:
    mounts = env.get("mounts")
    if isinstance(mounts, str) and mounts.startswith("${"):
        try:
            mounts = OmegaConf.select(config, location)
        except OmegaConfBaseException as error:
            raise ConfigError(f"{location}: {describe_omegaconf_error(error)}") from error
        if OmegaConf.is_config(mounts):
            mounts = OmegaConf.to_container(mounts, resolve=False)
    if mounts is None:
        return []
    if not isinstance(mounts, list):
        raise ConfigError(f"{location} must be a list such as [/data:/data], not {mounts!r}")
    return mounts


def _escaped(argument: str) -> str:
    # A command line is a record: nothing in it is to be resolved once more.
    return _INTERPOLATION_START.sub(r"\g<slashes>\g<slashes>\\${", argument)


def _resolved_section(section: DictConfig, name: str) -> dict[str, Any]:
    try:
        plain = OmegaConf.to_container(section, resolve=True)
    except OmegaConfBaseException as error:
        raise EnvError(
            f"env.toml: [{name}]: {error.full_key}: {describe_omegaconf_error(error)}"
        ) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _mapping(value: Any, location: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{location} of the config must be a mapping, not {value!r}")
    return value
