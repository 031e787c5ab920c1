"""The ``artifacts`` section of a config or of ``env.toml``: where versions are recorded.

    [artifacts]
    wandb = true
    namespace = "user/{user}"
    output_root = "/lustre/team/outputs"

    [artifacts.manifest]
    root = "/lustre/team/artifacts"
    shared = "group"

Where nothing names a root it is ``.runspec/artifacts`` in the repository; ``root = null`` turns
the tracking off.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from nemo_runspec._names import hint
from nemo_runspec.env import (
    ENV_FILE_NAME,
    ENV_FILE_VARIABLE,
    find_env_file,
    get_artifacts_config,
    load_env_file,
    normalize_artifacts,
)
from nemo_runspec.exceptions import EnvError
from nemo_runspec.utils import describe_omegaconf_error, find_repository_root
from runspec.typos import typo_of

OutputCheck = Literal["exists", "stat", "content"]
EXTERNAL_HASH_LIMIT = 64 << 20

_KEYS = frozenset(
    {
        "backend",
        "check",
        "external_hash_limit",
        "manifest",
        "namespace",
        "output_root",
        "root",
        "wandb",
    }
)
_MANIFEST_KEYS = frozenset({"root", "shared", "storage_options"})


@dataclass(frozen=True)
class ArtifactsSettings:
    """What the section says.

    Attributes:
        root: the store's root: a path or a URL; None when versions are not recorded.
        is_default: nothing named the root.
        wandb: whether Weights & Biases is asked for.
        namespace: what stands before the names of one's own versions, the user's name filled in.
        shared: ``group`` when files are to be group-writable.
        storage_options: for the root's filesystem.
        output_root: where builds write; None leaves it to the profile.
        check: how outputs are looked at before a version counts as fresh.
        external_hash_limit: bytes up to which the content of local external inputs counts; above
            it their names, sizes and times do.
    """

    root: str | None
    is_default: bool = False
    wandb: bool = False
    namespace: str | None = None
    shared: Literal["group"] | None = None
    storage_options: Mapping[str, Any] | None = None
    output_root: str | None = None
    check: OutputCheck = "exists"
    external_hash_limit: int = EXTERNAL_HASH_LIMIT


def default_root(start: Path | None = None) -> str:
    """Where versions are recorded when nothing is configured.

    Args:
        start: where to begin to look for the repository; default: the working directory.

    Returns:
        ``.runspec/artifacts`` in the repository, outside of any in `start` itself.
    """
    here = (start or Path.cwd()).absolute()
    return str((find_repository_root(here) or here) / ".runspec" / "artifacts")


def user_name(environ: Mapping[str, str] | None = None) -> str:
    """Who runs this: the account's name, or its number where it has none."""
    environment = os.environ if environ is None else environ
    for variable in ("LOGNAME", "USER"):
        if environment.get(variable):
            return environment[variable]
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container without an entry for the account; KeyError before Python 3.13.
        return str(os.getuid())


def environment_origin() -> str:
    """What a message about ``[artifacts]`` of ``env.toml`` begins with: the file and the table."""
    return f"{os.environ.get(ENV_FILE_VARIABLE) or find_env_file() or ENV_FILE_NAME}: [artifacts]"


def environment_settings() -> ArtifactsSettings:
    """What ``[artifacts]`` of ``env.toml`` says; the default store without it.

    Raises:
        EnvError: the file cannot be read, or the table says what it cannot say.
    """
    origin = environment_origin()
    section: Any = load_env_file().get("artifacts")
    if "${" in str(section):
        # Not otherwise: OmegaConf takes its time to import.
        section = _resolved(origin)
    if section is not None and not isinstance(section, Mapping):
        raise EnvError(f"{origin} must be a table, not {section!r}")
    return artifacts_settings(section, origin=origin)


def artifacts_settings(
    section: Mapping[str, Any] | None,
    *,
    origin: str = "the config's artifacts",
    start: Path | None = None,
    user: str | None = None,
) -> ArtifactsSettings:
    """Read an ``artifacts`` section, in its newer or older spelling.

    Args:
        section: the section as plain data, interpolations resolved; None where there is none.
        origin: what to name in an error: the file and the table.
        start: where the default root is looked for; default: the working directory.
        user: fills ``{user}`` of the namespace; default: who runs this.

    Raises:
        EnvError: a value has the wrong shape, or a key is a misspelling of a known one.
    """
    _check_keys(section or {}, _KEYS, origin)
    table = normalize_artifacts(section or {}, origin)
    manifest = table.get("manifest", {})
    _check_keys(manifest or {}, _MANIFEST_KEYS, f"{origin}: manifest")

    root, is_default = _root(manifest, origin, start)
    shared = (manifest or {}).get("shared")
    if shared not in (None, "group"):
        raise EnvError(f"{origin}: manifest.shared must be group, not {shared!r}")
    options = (manifest or {}).get("storage_options")
    if options is not None and not isinstance(options, Mapping):
        raise EnvError(f"{origin}: manifest.storage_options must be a table, not {options!r}")
    check = table.get("check", "exists")
    if check not in get_args(OutputCheck):
        raise EnvError(
            f"{origin}: check {check!r} is unknown; {hint(str(check), get_args(OutputCheck))}"
        )
    limit = table.get("external_hash_limit", EXTERNAL_HASH_LIMIT)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise EnvError(
            f"{origin}: external_hash_limit must be a number of bytes, 0 or more, not {limit!r}"
        )
    return ArtifactsSettings(
        root=root,
        is_default=is_default,
        wandb=_switch(table.get("wandb"), "wandb", origin),
        namespace=_namespace(table.get("namespace"), origin, user),
        shared=shared,
        storage_options=options,
        output_root=_text(table.get("output_root"), "output_root", origin),
        check=check,
        external_hash_limit=limit,
    )


def _switch(value: Any, key: str, origin: str) -> bool:
    """On or off; as a text, too, which is all that ``${oc.env:…}`` gives."""
    if not isinstance(value, str):
        return bool(value)
    if value.lower() not in ("true", "false"):
        raise EnvError(f"{origin}: {key} must be true or false, not {value!r}")
    return value.lower() == "true"


def _resolved(origin: str) -> Any:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_container(get_artifacts_config() or OmegaConf.create(), resolve=True)
    except OmegaConfBaseException as error:
        raise EnvError(f"{origin}: {describe_omegaconf_error(error)}") from error


def _root(
    manifest: Mapping[str, Any] | None, origin: str, start: Path | None
) -> tuple[str | None, bool]:
    """The store's root, and whether nothing named it."""
    if manifest is None:
        return None, False
    if "root" in manifest:
        return _text(manifest["root"], "manifest.root", origin), False
    return default_root(start), True


def _namespace(value: Any, origin: str, user: str | None) -> str | None:
    text = _text(value, "namespace", origin)
    if text is None:
        return None
    return text.replace("{user}", user or user_name()).strip("/") or None


def _text(value: Any, key: str, origin: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise EnvError(f"{origin}: {key} must be a text, not {value!r}")
    return value


def _check_keys(table: Mapping[str, Any], known: frozenset[str], origin: str) -> None:
    for key in table:
        meant = typo_of(str(key), known)
        if meant is not None:
            raise EnvError(f"{origin}: unknown key {key!r}; did you mean {meant!r}?")
