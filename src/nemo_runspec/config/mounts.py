"""The resolvers that need no artifact: ``${auto_mount:…}`` and ``${manifest:…}``.

``${auto_mount:git+URL@REF[,TARGET]}``
    A git repository that the job needs, to be mounted at TARGET. :func:`get_git_mounts` tells
    the launcher which ones were asked for.

``${manifest:DIR,KEY}``
    A value of the ``manifest.json`` in a folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import omegaconf
from omegaconf import OmegaConf

from nemo_runspec._names import hint
from nemo_runspec.exceptions import ConfigError

AUTO_MOUNT_PREFIX = "__auto_mount__:"

_git_mounts: dict[str, dict[str, str]] = {}


def register_resolver(name: str, resolver: Callable[..., Any], *, replace: bool) -> None:
    """Give OmegaConf a resolver, whichever of its versions this is."""
    # 2.4 deprecates register_new_resolver, which the 2.3 of the images in the field needs: there
    # register_resolver is the old one, without `replace`.
    version = tuple(int(part) for part in omegaconf.__version__.split(".")[:2])
    is_new = version >= (2, 4)
    register = OmegaConf.register_resolver if is_new else OmegaConf.register_new_resolver
    register(name, resolver, replace=replace)


def get_git_mounts() -> dict[str, dict[str, str]]:
    """The repositories that ``${auto_mount:…}`` asked for so far.

    Returns:
        By the repository's name: its ``url``, the ``ref`` to check out, and the ``target`` to
        mount it at (empty: the launcher chooses).
    """
    return {name: dict(mount) for name, mount in _git_mounts.items()}


def clear_git_mounts() -> None:
    """Forget the repositories that ``${auto_mount:…}`` asked for."""
    _git_mounts.clear()


def register_auto_mount_resolver(*, replace: bool = True) -> None:
    """Make ``${auto_mount:git+URL@REF[,TARGET]}`` work; calling it again does no harm."""
    register_resolver("auto_mount", _auto_mount, replace=replace)


def register_manifest_resolver(*, replace: bool = True) -> None:
    """Make ``${manifest:DIR,KEY}`` work; calling it again does no harm."""
    register_resolver("manifest", _manifest, replace=replace)


def _auto_mount(spec: Any, target: Any = "") -> str:
    text = str(spec)
    url, _, ref = text.removeprefix("git+").rpartition("@")
    name = url.rstrip("/").rpartition("/")[2].rpartition(":")[2].removesuffix(".git")
    if not text.startswith("git+") or not (url and ref and name):
        raise ConfigError(
            f"auto_mount: {text!r} is not of the form git+URL@REF, "
            "such as git+https://github.com/org/repo.git@main"
        )
    mount = {"url": url, "ref": ref, "target": str(target or "")}
    if _git_mounts.setdefault(name, mount) != mount:
        other = _git_mounts[name]
        raise ConfigError(
            f"auto_mount: two different mounts of a repository named {name!r}: "
            f"{other['url']}@{other['ref']} and {url}@{ref}"
        )
    return f"{AUTO_MOUNT_PREFIX}{name}"


def _manifest(directory: Any, key: Any) -> Any:
    path = Path(str(directory)) / "manifest.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"manifest: there is no {path}; prepare the data first, or mend the folder"
        ) from error
    except OSError as error:
        raise ConfigError(f"manifest: {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"manifest: {path} is no JSON: {error}") from error
    if not isinstance(document, dict) or str(key) not in document:
        keys = document if isinstance(document, dict) else {}
        raise ConfigError(
            f"manifest: {path} has no key {str(key)!r}; {hint(str(key), keys, kind='Keys')}"
        )
    return document[str(key)]
