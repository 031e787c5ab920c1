"""What the keys of a profile mean to NeMo-Run's executors docker, dgxcloud and lepton."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nemo_runspec._names import hint
from nemo_runspec.config.mounts import AUTO_MOUNT_PREFIX
from nemo_runspec.env import PROFILE_KEYS
from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.nemo_run_library import nemo_run

EXECUTOR_NAMES = ("local", "docker", "slurm", "dgxcloud", "lepton")

_CLASSES = {"docker": "DockerExecutor", "dgxcloud": "DGXCloudExecutor", "lepton": "LeptonExecutor"}
_REQUIRED = {
    "docker": (),
    "dgxcloud": (
        "base_url",
        "kube_apiserver_url",
        "client_id",
        "client_secret",
        "project_name",
        "pvc_nemo_run_dir",
    ),
    "lepton": ("nemo_run_dir", "node_group"),
}
# Names of NeMo-Run before 0.10, and of commands written for it.
_ALIASES = {
    "app_id": "client_id",
    "app_secret": "client_secret",
    "dgxcloud_max_args_chars": "MAX_ARGS_CHARS",
}
# Not for a profile to say: the job's, or NeMo-Run's own business.
_NOT_KEYS = frozenset(
    {"env_vars", "experiment_dir", "experiment_id", "job_dir", "packager", "volumes", "num_gpus"}
)
_DROPPED_KEYS = frozenset({"lustre_mount", "workspace", "existing_ray_cluster"})


def plain_profile(env: Any) -> dict[str, Any]:
    """A profile as plain data, its interpolations resolved.

    Args:
        env: a mapping or an OmegaConf node; None is an empty profile.

    Raises:
        ExecutionError: it is no table, or an interpolation cannot be resolved.
    """
    if env is None:
        return {}
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from nemo_runspec.config.mounts import register_auto_mount_resolver
    from nemo_runspec.utils import describe_omegaconf_error

    register_auto_mount_resolver()
    try:
        node = env if OmegaConf.is_config(env) else OmegaConf.create(dict(env))
        profile: Any = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        raise ExecutionError(f"run.env: {describe_omegaconf_error(error)}") from error
    if not isinstance(profile, dict):
        raise ExecutionError(f"run.env: {profile!r} is no table")
    return {str(key): value for key, value in profile.items()}


def image_of(profile: Mapping[str, Any], default: str | None) -> str | None:
    """The image to run in: `container_image`, else the older `container`, else the default."""
    return profile.get("container_image") or profile.get("container") or default or None


def nodes_and_gpus(profile: Mapping[str, Any], resources: Any | None) -> tuple[int, int | None]:
    """Nodes, and GPUs of each; None where that is not a number: all that there are."""
    nodes = profile.get("nodes") or getattr(resources, "nodes", None) or 1
    gpus = profile.get("gpus_per_node", getattr(resources, "gpus_per_node", None))
    return int(nodes), int(gpus) if str(gpus).isdecimal() else None


def executor_arguments(
    name: str, profile: Mapping[str, Any], default_image: str | None, resources: Any | None
) -> dict[str, Any]:
    """The arguments of NeMo-Run's executor class that a profile stands for.

    Args:
        name: `docker`, `dgxcloud` or `lepton`.
        profile: plain data.
        default_image: the image where the profile has none.
        resources: the recipe's `resources`, where the profile says nothing.

    Raises:
        ExecutionError: a key is missing, or is none that anybody knows.
    """
    own = {_ALIASES.get(key, key): value for key, value in profile.items()}
    fields = _fields(name)
    _check_keys(name, profile, fields)
    missing = [key for key in _REQUIRED[name] if not own.get(key)]
    if missing:
        raise ExecutionError(f"executor {name!r}: the profile needs {', '.join(missing)}")
    image = image_of(own, default_image)
    if image is None:
        raise ExecutionError(
            f"executor {name!r} runs jobs in a container; give container_image in the profile, or "
            "image in the script's [tool.runspec]"
        )
    foreign = {key: own[key] for key in fields if key in own and key not in PROFILE_KEYS}
    arguments = {**foreign, "container_image": image, "retries": int(own.get("retries") or 0)}
    nodes, gpus = nodes_and_gpus(own, resources)
    if name == "docker":
        if nodes > 1:
            raise ExecutionError(f"executor 'docker' runs on this machine: nodes = {nodes} are not")
        if gpus:
            arguments = {"runtime": "nvidia", **arguments, "num_gpus": gpus}
        # NeMo-Run has docker remove a container that has ended, and docker then restarts none.
        del arguments["retries"]
        arguments["ntasks_per_node"] = _processes(own, gpus)
        arguments["volumes"] = [_volume(text) for text in _mounts(own)]
        return arguments
    arguments |= {"nodes": nodes, "gpus_per_node": gpus or 0}
    arguments["nprocs_per_node"] = int(own.get("nprocs_per_node") or _processes(own, gpus))
    if name == "lepton":
        arguments["mounts"] = _mounts(own)
        wrong = [m for m in arguments["mounts"] if not {"path", "mount_path"} <= set(_keys(m))]
        if wrong:
            raise ExecutionError(
                f"executor 'lepton': mounts: {wrong[0]!r} needs the keys path and mount_path"
            )
    return arguments


def _fields(name: str) -> list[str]:
    made = getattr(nemo_run(f"executor {name!r}"), _CLASSES[name])
    names = [field.name for field in dataclasses.fields(made) if field.init]
    return [field for field in names if field not in _NOT_KEYS and not field.startswith("_")]


def _check_keys(name: str, profile: Mapping[str, Any], fields: list[str]) -> None:
    own = sorted({*fields, *(a for a, key in _ALIASES.items() if key in fields)})
    for key in profile:
        if key not in {*own, *PROFILE_KEYS, *_DROPPED_KEYS}:
            listed = hint(key, own, kind="Beside the keys of any profile there are")
            raise ExecutionError(f"executor {name!r}: unknown key {key!r} in the profile; {listed}")


def _processes(profile: Mapping[str, Any], gpus: int | None) -> int:
    return int(profile.get("nproc_per_node") or profile.get("ntasks_per_node") or gpus or 1)


def _mounts(profile: Mapping[str, Any]) -> list[Any]:
    return [
        mount
        for mount in profile.get("mounts") or []
        if not (isinstance(mount, str) and mount.startswith(AUTO_MOUNT_PREFIX))
    ]


def _keys(mount: Any) -> list[str]:
    return list(mount) if isinstance(mount, Mapping) else []


def _volume(mount: Any) -> str:
    """`SOURCE:TARGET[:OPTIONS]` with variables and `~` of the source expanded, as an absolute path.

    A source without a slash or dot is a named volume of docker's.
    """
    source, colon, target = str(mount).partition(":")
    expanded = os.path.expandvars(source)
    if not colon or "$" in expanded:
        why = "has no :TARGET" if not colon else f"names a variable that is not set: {source}"
        raise ExecutionError(f"executor 'docker': mounts: {mount!r} {why}")
    if "/" in expanded or expanded.startswith((".", "~")):
        expanded = str(Path(expanded).expanduser().absolute())
    return f"{expanded}:{target}"
