"""The resolvers that need no artifact: ``${auto_mount:…}`` and ``${manifest:…}``.

``${auto_mount:git+URL@REF[,TARGET]}``
    A git repository that the job needs, to be mounted at TARGET. :func:`get_git_mounts` tells
    the launcher which ones were asked for.

``${manifest:DIR,KEY}``
    A value of the ``manifest.json`` in a folder.
"""

from __future__ import annotations

from typing import Any

from nemo_runspec._omegaconf import register_manifest_resolver, register_resolver
from nemo_runspec.exceptions import ConfigError

__all__ = [
    "AUTO_MOUNT_PREFIX",
    "clear_git_mounts",
    "get_git_mounts",
    "register_auto_mount_resolver",
    "register_manifest_resolver",
]

AUTO_MOUNT_PREFIX = "__auto_mount__:"

_git_mounts: dict[str, dict[str, str]] = {}


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
