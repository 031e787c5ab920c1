"""``env.toml``: where jobs run, and what a team has in common.

A table is an execution profile, chosen by ``--run`` or ``--batch``, except for the reserved ones
(``[wandb]``, ``[cli]``, ``[cache]``, ``[artifacts]``). ``extends`` names a parent profile: tables
merge deeply, lists are replaced, the profile's own values win.

The file is the first ``env.toml`` from the working directory upwards, no further than the
repository's root (see :func:`nemo_runspec.utils.find_repository_root`); the environment variable
``NEMOTRON_ENV_FILE`` names another.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_runspec._names import hint
from nemo_runspec.exceptions import EnvError, ProfileError
from nemo_runspec.utils import deep_merge, describe_omegaconf_error, find_repository_root
from runspec.typos import typo_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from omegaconf import DictConfig

    # No recipe depends on the command line for reading its profile.
    from nemo_runspec.cli_context import GlobalContext  # pants: no-infer-dep

__all__ = [
    "ENV_FILE_NAME",
    "ENV_FILE_VARIABLE",
    "PROFILE_KEYS",
    "RESERVED_SECTIONS",
    "find_env_file",
    "get_artifacts_config",
    "get_cache_config",
    "get_cli_config",
    "get_git_cache_dir",
    "get_wandb_config",
    "list_profiles",
    "load_env_file",
    "load_env_profile",
    "normalize_artifacts",
    "parse_env",
    "profile_executor",
]

ENV_FILE_NAME = "env.toml"
ENV_FILE_VARIABLE = "NEMOTRON_ENV_FILE"
RESERVED_SECTIONS = frozenset({"artifacts", "cache", "cli", "wandb"})

_COMMON_KEYS = frozenset(
    {
        "container",
        "container_image",
        "env_vars",
        "executor",
        "extends",
        "gpus_per_node",
        "mounts",
        "nodes",
        "nproc_per_node",
        "ntasks_per_node",
        "parallel",
        "pre_ray_start_commands",
        "run_command",
        "startup_commands",
        "torchx_trackers",
        "workdir",
    }
)
_SLURM_KEYS = frozenset(
    {
        "account",
        "batch_partition",
        "build_cache_dir",
        "build_gpus_per_node",
        "build_image",
        "build_include_gpus",
        "build_partition",
        "build_time",
        "comment",
        "constraint",
        "cpus_per_gpu",
        "cpus_per_task",
        "exclude",
        "exclusive",
        "gpus_per_task",
        "gres",
        "host",
        "identity",
        "mem",
        "mem_per_cpu",
        "mem_per_gpu",
        "partition",
        "qos",
        "remote_job_dir",
        "requeue_on",
        "reservation",
        "retries",
        "retry_delay",
        "run_partition",
        "sbatch",
        "segments",
        "setup_lines",
        "signal",
        "srun_args",
        "supervisor",
        "supervisor_time",
        "time",
        "timeout",
        "tunnel",
        "user",
    }
)
_RAY_KEYS = frozenset(
    {
        "entrypoint_memory",
        "entrypoint_num_cpus",
        "entrypoint_num_gpus",
        "entrypoint_resources",
        "tls_ca_file",
        "tls_verify",
        "token_variable",
    }
)
PROFILE_KEYS = _COMMON_KEYS | _SLURM_KEYS | _RAY_KEYS

# Handed to NeMo-Run's executors of these names, which have keys of their own.
_FOREIGN_EXECUTORS = frozenset({"dgxcloud", "lepton"})
# Resolved where the mount is made: until then the text says what will be mounted.
_LATE_RESOLVER = "${auto_mount:"

_TOML_POSITION = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)$")

_logger = logging.getLogger(__name__)


def find_env_file(start_dir: Path | None = None) -> Path | None:
    """The ``env.toml`` that counts in a folder.

    Args:
        start_dir: where to begin; default: the working directory.

    Returns:
        The first one from there upwards, no further than the repository's root; None when there
        is none.
    """
    start = (start_dir or Path.cwd()).absolute()
    root = find_repository_root(start)
    for folder in (start, *start.parents):
        candidate = folder / ENV_FILE_NAME
        if candidate.is_file():
            return candidate
        if folder == root:
            return None
    return None


def load_env_file(config_path: Path | str | None = None) -> dict[str, Any]:
    """Read ``env.toml``.

    Args:
        config_path: the file; default: what ``NEMOTRON_ENV_FILE`` names, else what
            :func:`find_env_file` finds.

    Returns:
        All its tables; nothing when there is no file.

    Raises:
        EnvError: the file that was named does not exist, cannot be read, or is no TOML.
    """
    path = _env_path(config_path)
    if path is None:
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise EnvError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise EnvError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EnvError(_broken_toml(path, text, str(error))) from error


def list_profiles(tables: Mapping[str, Any]) -> list[str]:
    """The names of the execution profiles among the tables of an ``env.toml``, sorted."""
    return sorted(
        name
        for name, table in tables.items()
        if isinstance(table, Mapping) and name not in RESERVED_SECTIONS
    )


def profile_executor(name: str, tables: Mapping[str, Any]) -> str | None:
    """The executor of a profile, or of what it extends; None where none of them says."""
    seen: set[str] = set()
    table = tables.get(name)
    while isinstance(table, Mapping) and name not in seen:
        if isinstance(table.get("executor"), str):
            return str(table["executor"])
        seen.add(name)
        name = str(table.get("extends"))
        table = tables.get(name)
    return None


def load_env_profile(name: str, config_path: Path | str | None = None) -> DictConfig:
    """A profile with everything it extends, interpolations unresolved.

    Args:
        name: the profile.
        config_path: as for :func:`load_env_file`.

    Returns:
        The merged profile, without ``extends``.

    Raises:
        ProfileError: there is no such profile or parent, parents form a circle, or a key is a
            misspelling of a known one. Other keys are free: ``${…}`` may refer to them.
        EnvError: as for :func:`load_env_file`.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    path = _env_path(config_path)
    if path is None:
        raise ProfileError(
            f"no profile {name!r}: there is no {ENV_FILE_NAME} from {Path.cwd()} upwards; "
            f"write one, or name it in {ENV_FILE_VARIABLE}"
        )
    profile = _merged_profile(name, load_env_file(path), path, ())
    _check_keys(name, profile, path)
    try:
        return OmegaConf.create(profile)
    except OmegaConfBaseException as error:
        raise ProfileError(
            f"{path}: profile {name!r}: {describe_omegaconf_error(error)}"
        ) from error


def parse_env(ctx: GlobalContext, *, config_path: Path | str | None = None) -> DictConfig | None:
    """The profile that the command line chose, ready to use.

    Args:
        ctx: the command line; its ``profile`` comes from ``--run`` or ``--batch``.
        config_path: as for :func:`load_env_file`.

    Returns:
        The profile with its interpolations resolved (``${auto_mount:…}`` stays: it is resolved
        where the mount is made), or None when none was chosen.

    Raises:
        ProfileError: as for :func:`load_env_profile`, or an interpolation cannot be resolved.
        EnvError: as for :func:`load_env_file`.
    """
    if not ctx.profile:
        return None
    from omegaconf import OmegaConf

    profile = load_env_profile(ctx.profile, config_path)
    origin = f"{_env_path(config_path)}: profile {ctx.profile!r}"
    values: dict[str, Any] = _resolved(profile, origin, "")
    return OmegaConf.create(values)


def get_wandb_config(config_path: Path | str | None = None) -> DictConfig | None:
    """``[wandb]`` (project, entity, name, group, job_type, tags), or None without that table."""
    return _section("wandb", config_path)


def get_cli_config(config_path: Path | str | None = None) -> DictConfig | None:
    """``[cli]`` (theme), or None without that table."""
    return _section("cli", config_path)


def get_cache_config(config_path: Path | str | None = None) -> DictConfig | None:
    """``[cache]`` (git_dir), or None without that table."""
    return _section("cache", config_path)


def get_artifacts_config(config_path: Path | str | None = None) -> DictConfig | None:
    """``[artifacts]`` in its one spelling (``manifest.root``, ``wandb``), or None without it.

    Raises:
        EnvError: as for :func:`load_env_file`, or an unknown ``backend``.
    """
    from omegaconf import OmegaConf

    section = _section("artifacts", config_path)
    if section is None:
        return None
    plain: Any = OmegaConf.to_container(section, resolve=False)
    origin = f"{_env_path(config_path)}: [artifacts]"
    return OmegaConf.create(normalize_artifacts(plain, origin))


def get_git_cache_dir(config_path: Path | str | None = None) -> Path:
    """The folder that keeps clones of git repositories; it exists on return.

    It is ``[cache] git_dir``. Where that cannot be made (a cluster's path, seen from a laptop), or
    nothing is set, it is ``nemo-runspec/git`` in the user's cache folder
    (``XDG_CACHE_HOME``, else ``~/.cache``).
    """
    cache = _section("cache", config_path)
    configured = cache.get("git_dir") if cache is not None else None
    if configured:
        folder = Path(str(configured)).expanduser()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            _logger.warning(
                "[cache] git_dir %s cannot be used (%s); using the default", folder, error.strerror
            )
        else:
            return folder
    home = os.environ.get("XDG_CACHE_HOME")
    default = (Path(home) if home else Path.home() / ".cache") / "nemo-runspec" / "git"
    default.mkdir(parents=True, exist_ok=True)
    return default


def normalize_artifacts(section: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """An ``artifacts`` section in its one spelling.

    The older ``backend = "file"``, ``root = PATH`` means the same as ``manifest.root = PATH``,
    which wins where both are there.

    Args:
        section: the section as plain data.
        origin: what to name in an error: the file and the table.

    Raises:
        EnvError: a ``backend`` other than ``file``, or a ``manifest`` that is no table.
    """
    normal = {key: value for key, value in section.items() if key not in ("backend", "root")}
    backend = section.get("backend", "file")
    if backend != "file":
        raise EnvError(f"{origin}: backend {backend!r} is unknown; {hint(str(backend), ['file'])}")
    manifest = normal.get("manifest", {})
    if manifest is not None and not isinstance(manifest, Mapping):
        raise EnvError(f"{origin}: manifest must be a table with root, not {manifest!r}")
    if "root" in section and manifest is not None and "root" not in manifest:
        normal["manifest"] = {**manifest, "root": section["root"]}
    return normal


def _env_path(config_path: Path | str | None) -> Path | None:
    if config_path is not None:
        path, origin = Path(config_path), ""
    elif variable := os.environ.get(ENV_FILE_VARIABLE):
        path, origin = Path(variable).expanduser(), f", which {ENV_FILE_VARIABLE} names"
    else:
        return find_env_file()
    if not path.is_file():
        raise EnvError(f"{path}{origin}: there is no such file")
    return path


def _broken_toml(path: Path, text: str, message: str) -> str:
    position = _TOML_POSITION.search(message)
    if position is None:
        return f"{path}: {message}"
    line = position["line"] or len(text.splitlines())
    return f"{path}:{line}: {message[: position.start()]}"


def _section(name: str, config_path: Path | str | None) -> DictConfig | None:
    tables = load_env_file(config_path)
    if name not in tables:
        return None
    from omegaconf import OmegaConf

    if not isinstance(tables[name], Mapping):
        raise EnvError(f"{_env_path(config_path)}: [{name}] must be a table, not {tables[name]!r}")
    values: dict[str, Any] = tables[name]
    return OmegaConf.create(values)


def _merged_profile(
    name: str, tables: Mapping[str, Any], path: Path, chain: tuple[str, ...]
) -> dict[str, Any]:
    profiles = list_profiles(tables)
    if name in chain:
        circle = " -> ".join((*chain[chain.index(name) :], name))
        raise ProfileError(f"{path}: profiles extend each other in a circle: {circle}")
    if name not in profiles:
        wanted = f"profile {chain[-1]!r} extends unknown profile" if chain else "no profile"
        reserved = " (a reserved table)" if name in RESERVED_SECTIONS else ""
        raise ProfileError(
            f"{path}: {wanted} {name!r}{reserved}; {hint(name, profiles, kind='Profiles')}"
        )
    own = dict(tables[name])
    parent = own.pop("extends", None)
    if parent is None:
        return own
    if not isinstance(parent, str):
        raise ProfileError(
            f"{path}: profile {name!r}: extends must be the name of one profile, not {parent!r}"
        )
    return deep_merge(_merged_profile(parent, tables, path, (*chain, name)), own)


def _check_keys(name: str, profile: Mapping[str, Any], path: Path) -> None:
    if profile.get("executor") in _FOREIGN_EXECUTORS:
        return
    text = str(profile)
    for key in profile:
        meant = typo_of(key, PROFILE_KEYS)
        if meant is not None and f"${{{key}" not in text:
            raise ProfileError(
                f"{path}: profile {name!r}: unknown key {key!r}; did you mean {meant!r}?"
            )


def _resolved(node: Any, origin: str, location: str) -> Any:
    from omegaconf import DictConfig, ListConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not isinstance(node, (DictConfig, ListConfig)):
        return node
    raw: Any = OmegaConf.to_container(node, resolve=False)
    keys = list(range(len(raw))) if isinstance(raw, list) else list(raw)
    values = []
    for key in keys:
        written = raw[key]
        where = f"{location}[{key}]" if isinstance(raw, list) else f"{location}.{key}".lstrip(".")
        if isinstance(written, str) and _LATE_RESOLVER in written:
            values.append(written)
            continue
        try:
            value = node[key]
        except OmegaConfBaseException as error:
            raise ProfileError(f"{origin}: {where}: {describe_omegaconf_error(error)}") from error
        values.append(_resolved(value, origin, where))
    if isinstance(raw, list):
        return values
    return dict(zip(keys, values, strict=True))
