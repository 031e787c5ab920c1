"""Helpers for commands that run NeMo Evaluator's launcher with a recipe's config.

They know its config (`deployment`, `execution`, `evaluation`, `export`) and import none of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_runspec.exceptions import UsageError

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = [
    "collect_evaluator_images",
    "ensure_wandb_host_env",
    "get_non_task_args",
    "inject_wandb_env_mappings",
    "logged_in_key",
    "maybe_auto_squash_evaluator",
    "needs_wandb",
    "parse_task_flags",
    "save_eval_configs",
]

_TASK_FLAGS = ("-t", "--task")
_WANDB_VARIABLES = ("WANDB_API_KEY", "WANDB_PROJECT", "WANDB_ENTITY")
_IMAGES = ("deployment.image", "execution.proxy.image")
# Where the launcher looks for variables to hand on, by the name they have here.
_MAPPINGS = ("evaluation.env_vars", "execution.env_vars.export")


def parse_task_flags(passthrough: Sequence[str]) -> list[str] | None:
    """The tasks of `-t TASK`, `--task TASK` and `--task=TASK`, in order; None without any.

    Raises:
        UsageError: the last flag has no task.
    """
    return [task for task, _ in _split(passthrough) if task is not None] or None


def get_non_task_args(passthrough: Sequence[str]) -> list[str]:
    """The arguments that are no task flags."""
    return [argument for task, argument in _split(passthrough) if task is None]


def _split(arguments: Sequence[str]) -> Iterator[tuple[str | None, str]]:
    """Each argument, with the task that it names or None."""
    rest = iter(arguments)
    for argument in rest:
        if argument in _TASK_FLAGS:
            task = next(rest, None)
            if task is None:
                raise UsageError(f"{argument} needs a task, such as {argument} mmlu")
            yield task, task
        elif argument.startswith("--task="):
            yield argument.partition("=")[2], argument
        else:
            yield None, argument


def needs_wandb(cfg: Any) -> bool:
    """Whether an evaluation sends results to W&B: an export destination, or `export.wandb`."""
    node = _as_config(cfg)
    destinations = _select(node, "execution.auto_export.destinations") or []
    return "wandb" in destinations or _select(node, "export.wandb") is not None


def ensure_wandb_host_env() -> None:
    """Sets WANDB_PROJECT and WANDB_ENTITY of this process from `[wandb]` of env.toml, if unset.

    The launcher reads what it hands on from the environment when it submits. WANDB_API_KEY comes
    from the environment, else from where `wandb login` left it.
    """
    from nemo_runspec.env import get_wandb_config

    config = get_wandb_config()
    for key, variable in (("project", "WANDB_PROJECT"), ("entity", "WANDB_ENTITY")):
        if config is not None and config.get(key):
            os.environ.setdefault(variable, str(config[key]))
    if "WANDB_API_KEY" not in os.environ:
        secret = logged_in_key(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
        if secret is not None:
            os.environ["WANDB_API_KEY"] = secret


def logged_in_key(base_url: str) -> str | None:
    """What `wandb login` wrote to the netrc file for this server; None if it did not."""
    import netrc
    from urllib.parse import urlsplit

    file = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        found = netrc.netrc(str(file)).authenticators(urlsplit(base_url).hostname or "")
    except FileNotFoundError:
        return None
    except (OSError, netrc.NetrcParseError) as error:
        # Its text may be a line of the file.
        print(f"note: {file} cannot be read ({type(error).__name__})", file=sys.stderr)
        return None
    return found[2] if found else None


def inject_wandb_env_mappings(cfg: DictConfig) -> None:
    """Tells the launcher which W&B variables of this process its containers get.

    The config is changed: `evaluation.env_vars` and `execution.env_vars.export` name each variable
    (never its value) unless they name it already.
    """
    from omegaconf import DictConfig, OmegaConf, open_dict

    with open_dict(cfg):
        for path in _MAPPINGS:
            if _select(cfg, path) is None:
                OmegaConf.update(cfg, path, {}, force_add=True)
            mapping = OmegaConf.select(cfg, path)
            if not isinstance(mapping, DictConfig):
                raise UsageError(f"{path}: {mapping!r} is no table of variables")
            for variable in _WANDB_VARIABLES:
                if variable not in mapping:
                    mapping[variable] = variable


def collect_evaluator_images(cfg: Any) -> list[tuple[str, str]]:
    """The container images of an evaluation: where in the config, and which."""
    node = _as_config(cfg)
    found = [(path, _select(node, path)) for path in _IMAGES]
    return [(path, image) for path, image in found if isinstance(image, str) and image]


def maybe_auto_squash_evaluator(
    job_config: DictConfig, *, mode: str, dry_run: bool, force_squash: bool
) -> None:
    """Makes squash files of the images, for Slurm over ssh, and writes their paths in the config.

    Args:
        job_config: the whole job config; `run.env` is the profile. It is changed.
        mode: `run` or `batch` act, `local` does nothing.
        dry_run: do nothing on the cluster.
        force_squash: make them anew.

    Raises:
        ExecutionError: an image cannot be made; MissingNemoRunError: no NeMo-Run here.
    """
    from omegaconf import OmegaConf, open_dict

    from nemo_runspec.execution.create import connect_tunnel
    from nemo_runspec.execution.nemo_run_profile import plain_profile
    from nemo_runspec.squash import ensure_squashed_image, is_squashed

    profile = plain_profile(OmegaConf.select(job_config, "run.env"))
    over_ssh = profile.get("executor") == "slurm" and profile.get("tunnel") == "ssh"
    images = [(p, i) for p, i in collect_evaluator_images(job_config) if not is_squashed(i)]
    if mode not in ("run", "batch") or dry_run or not over_ssh or not images:
        return
    tunnel = connect_tunnel(profile)
    try:
        for path, image in images:
            file = ensure_squashed_image(
                tunnel, image, str(profile["remote_job_dir"]), profile, force=force_squash
            )
            with open_dict(job_config):
                OmegaConf.update(job_config, path, file, merge=False)
    finally:
        tunnel.cleanup()


def save_eval_configs(
    job_config: DictConfig, recipe_name: str, *, for_remote: bool = False
) -> tuple[Path, Path]:
    """Writes `job.yaml`, and `eval.yaml`: what the launcher gets.

    The latter has no `run` section, `${run.…}` stands resolved, other interpolations as they are.

    Args:
        job_config: the whole job config.
        recipe_name: names the job's folder.
        for_remote: point paths into this checkout at the job's copy of it.

    Returns:
        The two files.
    """
    from omegaconf import OmegaConf

    from nemo_runspec.config import generate_job_dir, save_configs
    from nemo_runspec.utils import (
        find_repository_root,
        resolve_run_interpolations,
        rewrite_paths_for_remote,
    )

    plain: Any = OmegaConf.to_container(job_config, resolve=False)
    run = plain.pop("run", {}) or {}
    if for_remote:
        plain = rewrite_paths_for_remote(plain, find_repository_root() or Path.cwd())
    evaluation = OmegaConf.create(resolve_run_interpolations(plain, run))
    job, train = save_configs(job_config, evaluation, generate_job_dir(recipe_name))
    return job, train.rename(train.with_name("eval.yaml"))


def _as_config(cfg: Any) -> Any:
    from omegaconf import OmegaConf

    return cfg if OmegaConf.is_config(cfg) else OmegaConf.create(cfg)


def _select(node: Any, path: str) -> Any:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.select(node, path, throw_on_missing=False)
    except OmegaConfBaseException:
        # A text where a table was expected on the way, or `${…}` that only the job can resolve.
        return None
