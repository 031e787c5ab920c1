"""Container images as squash files on a cluster: made once, by enroot, on a node of the cluster.

Beside `NAME.sqsh` lies `NAME.sqsh.digest`: one line, the image's digest and the URI that it was
imported from. It is the registry's digest where enroot can tell it, else the squash file's own.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.masking import mask_secrets

__all__ = [
    "build_salloc_args",
    "check_sqsh_exists",
    "container_to_sqsh_name",
    "ensure_squashed_image",
    "get_squash_path",
    "is_squashed",
    "normalize_container_source",
    "read_digest",
    "resolve_build_cache_dir",
    "resolve_build_image",
    "resolve_build_partition",
    "resolve_build_time",
]

DIGEST_SUFFIX = ".digest"
_ARCHIVES = ("docker-archive://", "oci-archive://")
_SCHEMES = ("docker://", "dockerd://", "podman://", *_ARCHIVES)
_DEFAULT_TIME = "04:00:00"


def resolve_build_partition(env_config: Mapping[str, Any] | None) -> str | None:
    """Where images are built: `build_partition`, else `run_partition`, else `partition`."""
    env = env_config or {}
    keys = ("build_partition", "run_partition", "partition")
    return next((str(env[key]) for key in keys if env.get(key)), None)


def resolve_build_time(env_config: Mapping[str, Any] | None, default: str = _DEFAULT_TIME) -> str:
    """How long a build may take: `build_time`, else `time`, else the default, as `HH:MM:SS`."""
    env = env_config or {}
    return str(env.get("build_time") or env.get("time") or default)


def resolve_build_image(env_config: Mapping[str, Any] | None, default: str) -> str:
    """The image that a build itself runs in: `build_image`, else the default."""
    return str((env_config or {}).get("build_image") or default)


def resolve_build_cache_dir(env_config: Mapping[str, Any] | None, default: Path | str) -> Path:
    """Where builds keep what they can use again: `build_cache_dir`, else the default."""
    return Path(str((env_config or {}).get("build_cache_dir") or default))


def build_salloc_args(
    env_config: Mapping[str, Any] | None,
    *,
    default_time: str = _DEFAULT_TIME,
    include_gpus: bool = True,
) -> list[str]:
    """The options of the allocation of one node that a build runs in.

    Args:
        env_config: the profile.
        default_time: its time limit where the profile has none.
        include_gpus: ask for the GPUs of the profile (`build_gpus_per_node`, else
            `gpus_per_node`): partitions of GPU nodes may refuse jobs without.
    """
    env = env_config or {}
    gpus = env.get("build_gpus_per_node", env.get("gpus_per_node")) if include_gpus else None
    options = {
        "account": env.get("account"),
        "partition": resolve_build_partition(env),
        "nodes": 1,
        "ntasks-per-node": 1,
        "gpus-per-node": gpus or None,
        "time": resolve_build_time(env, default_time),
    }
    return [f"--{name}={value}" for name, value in options.items() if value is not None]


def is_squashed(container: str) -> bool:
    """Whether an image is a squash file already: a path, or a name that ends so."""
    return container.startswith(("/", "./", "~")) or container.endswith(".sqsh")


def normalize_container_source(container: str) -> str:
    """The image as a URI that enroot imports; `docker://` where it does not say."""
    return container if container.startswith(_SCHEMES) else f"docker://{container}"


def container_to_sqsh_name(container: str) -> str:
    """The file name of an image's squash file: `nvcr.io/a/b:1.2` is `nvcr_io_a_b_1_2.sqsh`.

    Of an archive it is the file's own name that counts, not where it lies.
    """
    uri = normalize_container_source(container)
    scheme = next(scheme for scheme in _SCHEMES if uri.startswith(scheme))
    name = uri.removeprefix(scheme)
    if scheme in _ARCHIVES:
        name = name.rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") + ".sqsh"


def get_squash_path(container_image: str, remote_job_dir: str) -> str:
    """Where the squash file of an image lies."""
    return f"{remote_job_dir}/{container_to_sqsh_name(container_image)}"


def check_sqsh_exists(tunnel: Any, remote_path: str) -> bool:
    """Whether a squash file is there.

    Args:
        tunnel: runs a command on the cluster: NeMo-Run's, or anything with its `run`.
        remote_path: the file.
    """
    return bool(tunnel.run(f"test -f {shlex.quote(remote_path)}", hide=True, warn=True).ok)


def read_digest(tunnel: Any, remote_path: str) -> tuple[str, str] | None:
    """The digest of a squash file's image and the URI it came from; None if nobody wrote them."""
    command = f"cat {shlex.quote(remote_path + DIGEST_SUFFIX)}"
    done = tunnel.run(command, hide=True, warn=True)
    words = str(done.stdout or "").split(maxsplit=1) if done.ok else []
    return (words[0], words[1].strip()) if len(words) == 2 else None


def ensure_squashed_image(
    tunnel: Any,
    container_image: str,
    remote_job_dir: str,
    env_config: Mapping[str, Any],
    *,
    force: bool = False,
) -> str:
    """The squash file of an image, made on a node of the cluster if it is not there.

    The file gets its name when it is complete: neither a job that starts meanwhile nor a second
    call ever sees half of one.

    Args:
        tunnel: runs a command on the cluster.
        container_image: the image, or the URI of one. A squash file is taken as it is.
        remote_job_dir: folder of squash files.
        env_config: the profile; `build_partition`, `build_time`, and with `build_include_gpus`
            its GPUs, say where it is made.
        force: make it anew.

    Returns:
        Its path.

    Raises:
        ExecutionError: it cannot be made, or is not there.
    """
    if is_squashed(container_image):
        if not check_sqsh_exists(tunnel, container_image):
            raise ExecutionError(f"container_image: no file {container_image!r} on the cluster")
        return container_image
    target = get_squash_path(container_image, remote_job_dir)
    source = normalize_container_source(container_image)
    if not force and check_sqsh_exists(tunnel, target):
        known = read_digest(tunnel, target)
        if known is not None and known[1] != source:
            raise ExecutionError(
                f"{target} was made of {mask_secrets(known[1])}, not of {mask_secrets(source)}; "
                "move it away, or replace it with --force-squash"
            )
        _say(f"image: {target}")
        return target
    gpus = bool(env_config.get("build_include_gpus"))
    options = build_salloc_args(env_config, include_gpus=gpus)
    command = shlex.join(
        ["salloc", *options, "srun", "--export=ALL", "bash", "-c", _import_script(source, target)]
    )
    _say(f"image: {target} is made of {mask_secrets(source)}; this takes minutes")
    _say(f"  salloc {mask_secrets(shlex.join(options))}")
    done = tunnel.run(command, hide=False, warn=True)
    if not done.ok:
        said = str(getattr(done, "stderr", "") or "").strip().splitlines()
        why = f": {mask_secrets(said[-1])}" if said else ""
        raise ExecutionError(f"{target} could not be made of {mask_secrets(source)}{why}")
    return target


def _import_script(source: str, target: str) -> str:
    folder, quoted = shlex.quote(str(Path(target).parent)), shlex.quote(target)
    return "\n".join(
        [
            "set -eu",
            f"folder={folder} target={quoted} source={shlex.quote(source)}",
            # The default ones belong to root on many nodes.
            'export ENROOT_RUNTIME_PATH="$folder/.enroot" ENROOT_CACHE_PATH="$folder/.enroot/cache"'
            ' ENROOT_DATA_PATH="$folder/.enroot/data"',
            'mkdir -p "$ENROOT_CACHE_PATH" "$ENROOT_DATA_PATH"',
            'new="$target.new.${SLURM_JOB_ID:-$$}"',
            'trap \'rm -f "$new" "$new.digest"\' EXIT',
            'enroot import --output "$new" "$source"',
            'digest="$(enroot digest "$source" 2>/dev/null | grep -Eo "sha256:[0-9a-f]{64}" '
            '| head -n 1 || true)"',
            'if [ -z "$digest" ]; then digest="sha256:$(sha256sum "$new" | cut -d" " -f1)"; fi',
            'printf "%s  %s\\n" "$digest" "$source" > "$new.digest"',
            # Between the two moves there is a file without a digest, never with a wrong one.
            f'rm -f "$target{DIGEST_SUFFIX}"',
            'mv "$new" "$target"',
            f'mv "$new.digest" "$target{DIGEST_SUFFIX}"',
        ]
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
