"""Shared utilities: ``${run.*}`` templates, paths on another machine, merging, safe writing."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nemo_runspec.exceptions import ConfigError

REPOSITORY_MARKERS = (".git", "pants.toml", "BUILDROOT")
REMOTE_CODE_DIR = "${oc.env:NEMO_RUN_DIR}/code"

_RUN_REFERENCE = re.compile(r"(?P<slashes>\\*)\$\{run\.(?P<path>[^${}:,\s]+)\}")
_RELATIVE_REFERENCE = re.compile(r"\$\{(?P<dots>\.+)(?P<path>[^${}:,\s]+)\}")
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://")
_OMEGACONF_WRAPPER = re.compile(r"^\w+ raised while resolving interpolation: ")


def find_repository_root(start: Path | None = None) -> Path | None:
    """The repository that a folder lies in.

    It is the nearest folder upwards that holds ``.git``, ``pants.toml`` or ``BUILDROOT``. Only
    where there is none does a ``pyproject.toml`` count: in a monorepo that marks a package.

    Args:
        start: where to begin; default: the working directory.

    Returns:
        The folder, or None outside of any repository.
    """
    origin = (start or Path.cwd()).absolute()
    folders = [origin, *origin.parents]
    for markers in (REPOSITORY_MARKERS, ("pyproject.toml",)):
        for folder in folders:
            if any((folder / marker).exists() for marker in markers):
                return folder
    return None


def split_url(location: str) -> tuple[str | None, str]:
    """The scheme of a URL, such as ``s3``, and the rest; None and all of it for a path."""
    match = _URL.match(location)
    return (None, location) if match is None else (match["scheme"], location[match.end() :])


def url_scheme(location: str) -> str | None:
    """The scheme of a URL; None for a path."""
    return split_url(location)[0]


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``over`` on top: mappings merge key by key, all else (lists too) is replaced.

    Returns:
        A new dict; neither argument is changed.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = deep_merge(below, value)
        else:
            merged[key] = value
    return merged


def resolve_run_interpolations(obj: Any, run_data: Mapping[str, Any]) -> Any:
    """Replace every ``${run.a.b}`` by what the ``run`` section holds there.

    A text that is nothing but one reference becomes the value with its type; inside a longer
    text the value is written out (None as nothing). Other interpolations (``${art:…}``,
    ``${oc.env:…}``), escaped ones, and references to what ``run`` does not hold stay as they are.

    Args:
        obj: plain data: dicts, lists and scalars.
        run_data: the ``run`` section as plain data, interpolations unresolved.

    Returns:
        A new structure of the same shape.

    Raises:
        ConfigError: values of ``run`` refer to each other in a circle.
    """
    if isinstance(obj, Mapping):
        return {key: resolve_run_interpolations(item, run_data) for key, item in obj.items()}
    if isinstance(obj, list):
        return [resolve_run_interpolations(item, run_data) for item in obj]
    if isinstance(obj, str) and "${run." in obj:
        return _resolve_text(obj, run_data, ())
    return obj


def _resolve_text(text: str, run_data: Mapping[str, Any], chain: tuple[str, ...]) -> Any:
    whole = _RUN_REFERENCE.fullmatch(text)
    if whole and not whole["slashes"]:
        found, value = _look_up(whole["path"], run_data, chain)
        return value if found else text

    def replace(match: re.Match[str]) -> str:
        if len(match["slashes"]) % 2:
            return match[0]
        found, value = _look_up(match["path"], run_data, chain)
        if not found or isinstance(value, (Mapping, list)):
            return match[0]
        return match["slashes"] + ("" if value is None else str(value))

    return _RUN_REFERENCE.sub(replace, text)


def _look_up(path: str, run_data: Mapping[str, Any], chain: tuple[str, ...]) -> tuple[bool, Any]:
    if path in chain:
        circle = " -> ".join(f"run.{name}" for name in (*chain[chain.index(path) :], path))
        raise ConfigError(f"values refer to each other in a circle: {circle}")
    value: Any = run_data
    keys = path.replace("[", ".").replace("]", "").split(".")
    for key in keys:
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return False, None
    return True, _resolve_value(value, ("run", *keys), run_data, (*chain, path))


def _resolve_value(
    value: Any, location: tuple[str, ...], run_data: Mapping[str, Any], chain: tuple[str, ...]
) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _resolve_value(item, (*location, str(key)), run_data, chain)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            _resolve_value(item, (*location, str(index)), run_data, chain)
            for index, item in enumerate(value)
        ]
    if not isinstance(value, str) or "${" not in value:
        return value

    def make_absolute(match: re.Match[str]) -> str:
        # The value leaves its place, so "beside me" must be spelled out.
        parent = location[: -len(match["dots"])]
        return "${" + ".".join((*parent, match["path"])) + "}"

    return _resolve_text(_RELATIVE_REFERENCE.sub(make_absolute, value), run_data, chain)


def rewrite_paths_for_remote(
    obj: Any, repo_root: Path | str, code_dir: str = REMOTE_CODE_DIR
) -> Any:
    """Point paths into this checkout at the copy of it that a job on another machine has.

    Rewritten are ``${oc.env:PWD}`` (the checkout, when the job was submitted) and absolute paths
    at or below ``repo_root``. ``${oc.env:NEMO_RUN_DIR}`` is left alone: the job has it set.

    Args:
        obj: plain data: dicts, lists and scalars.
        repo_root: the checkout on this machine.
        code_dir: where its files lie in the job.

    Returns:
        A new structure of the same shape.
    """
    if isinstance(obj, Mapping):
        return {k: rewrite_paths_for_remote(v, repo_root, code_dir) for k, v in obj.items()}
    if isinstance(obj, list):
        return [rewrite_paths_for_remote(item, repo_root, code_dir) for item in obj]
    if not isinstance(obj, str):
        return obj
    root = str(repo_root).rstrip("/")
    if root and (obj == root or obj.startswith(f"{root}/")):
        return code_dir + obj[len(root) :]
    return obj.replace("${oc.env:PWD}", code_dir)


def describe_omegaconf_error(error: Exception) -> str:
    """The first line of an OmegaConf error without its wrapping, for use in one of ours."""
    lines = str(error).splitlines() or [type(error).__name__]
    return _OMEGACONF_WRAPPER.sub("", lines[0]).strip("\"'")


def write_atomically(path: Path, text: str, *, private: bool = False, durable: bool = True) -> None:
    """Write a file so that a reader sees all of it or nothing, however the writer ends.

    Args:
        path: the file; its folder exists.
        text: what it will hold, as UTF-8; a surrogate stands for the byte that Python made it of.
        private: readable by its owner alone (0600) instead of what the umask says.
        durable: whether it outlives a loss of power; False where losing it costs no more than
            what was going on, and waiting for the disk would.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666
    )
    try:
        with os.fdopen(
            descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="\n"
        ) as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
