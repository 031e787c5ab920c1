"""What a job is told so that ``AppRun.run_from_env()`` of TorchX just works in it.

Beside the store, whose tracker comes by itself, a job gets the trackers that a profile names:

    [cluster.torchx_trackers]
    mlflow = { factory = "nemo_runspec.torchx_tracker.mlflow:create_tracker", config = "http://…" }
    fsspec = { factory = "torchx.tracker.backend.fsspec:create", config = "/shared/fsspec.conf" }

and those of ``.torchxconfig``, where TorchX itself looks for it (of the sections
``[torchx:tracker]`` and ``[tracker:NAME]``; the profile's win). Nothing here counts in a key.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_runspec.exceptions import ConfigError
from nemo_runspec.execution.environment import is_shell_name
from nemo_runspec.torchx_names import (
    IN_JOB,
    JOB_ID_VARIABLE,
    PARENT_VARIABLE,
    STORE_FACTORY,
    STORE_TRACKER,
    TRACKERS_VARIABLE,
    config_variable,
    factory_variable,
    pipeline_handle,
    run_handle,
)
from nemo_runspec.utils import find_repository_root

PROFILE_KEY = "torchx_trackers"
FILE_NAME = ".torchxconfig"
FILE_VARIABLE = "TORCHXCONFIG"

_UNRECORDED = "unrecorded"
_SECTION = "torchx:tracker"
_SETTING_PREFIX = "tracker:"
_KEYS = ("config", "factory")


@dataclass(frozen=True)
class NamedTracker:
    """A tracker that somebody asked for.

    Args:
        name: what it is called; its setting's variable is named after it.
        factory: what makes it: an entry point of ``torchx.tracker``, or ``module:function``.
        config: what the factory is given; None for nothing.
    """

    name: str
    factory: str
    config: str | None = None


@dataclass(frozen=True)
class TorchxJob:
    """A job as TorchX's trackers know it.

    Args:
        folder: the name of its folder.
        run_id: the id in its record; None where no store records it.
        pipeline: the id of the pipeline that it is part of, if it is part of one.
        store: the root of the store that records it; None where none does.
        holds_tracker: whether its code has :mod:`nemo_runspec.torchx_tracker`.
    """

    folder: str
    run_id: str | None = None
    pipeline: str | None = None
    store: str | None = None
    holds_tracker: bool = False


def torchx_variables(
    job: TorchxJob, trackers: Mapping[str, NamedTracker], environ: Mapping[str, str]
) -> dict[str, str]:
    """The variables by which TorchX knows a job, its parent and its trackers.

    The parent is what ``TORCHX_PARENT_RUN_ID`` says around the launcher, as with TorchX's own
    runner, else the pipeline. The store's tracker comes first: its answers are those that
    ``AppRun`` gives. A job without our tracker's code gets the named trackers as TorchX would
    name them, and no other.

    Args:
        job: the job.
        trackers: from :func:`named_trackers`.
        environ: the launcher's variables.
    """
    variables = {JOB_ID_VARIABLE: run_handle(job.folder, job.run_id or _UNRECORDED)}
    parent = environ.get(PARENT_VARIABLE)
    if parent or job.pipeline:
        variables[PARENT_VARIABLE] = parent or pipeline_handle(str(job.pipeline))
    if not job.holds_tracker:
        return {**variables, **_as_torchx_names_them(trackers.values())}
    ours = {}
    if job.store is not None:
        ours[STORE_TRACKER] = NamedTracker(STORE_TRACKER, STORE_FACTORY, job.store)
    chosen = {**ours, **trackers}
    for tracker in chosen.values():
        variables[factory_variable(tracker.name)] = tracker.factory
        if tracker.config:
            variables[config_variable(tracker.name)] = tracker.config
    if chosen:
        variables[TRACKERS_VARIABLE] = ",".join(f"{IN_JOB}:{name}" for name in chosen)
    return variables


def named_trackers(
    profile: Mapping[str, Any], environ: Mapping[str, str], start: Path | None = None
) -> dict[str, NamedTracker]:
    """The trackers that ``.torchxconfig`` and a profile name, by name.

    Args:
        profile: ``run.env`` as plain data.
        environ: the launcher's variables; as for TorchX, ``TORCHXCONFIG`` names the one file to
            read, ``TORCHX_TRACKERS`` the trackers whatever the file says, and
            ``TORCHX_TRACKER_<NAME>_CONFIG`` the setting of one.
        start: the working directory; default: this process's.

    Raises:
        ConfigError: a file cannot be read, or the profile's table is none.
    """
    sections = _sections(environ, start or Path.cwd())
    listed = sections.get(_SECTION, {})
    told = environ.get(TRACKERS_VARIABLE)
    if told:
        names = [name.removeprefix(f"{IN_JOB}:") for name in told.split(",") if name.strip()]
        # In a job that starts another one, what made its own tracker.
        found = {name: environ.get(factory_variable(name)) for name in names}
        listed = {name: found[name] or listed.get(name) or name for name in names}
    trackers = {}
    for key, factory in listed.items():
        setting = sections.get(f"{_SETTING_PREFIX}{key}", {}).get("config")
        name, factory = _named(key, factory or key)
        config = environ.get(config_variable(name)) or setting
        trackers[name] = NamedTracker(name, factory, config or None)
    for tracker in _of_profile(profile.get(PROFILE_KEY)):
        trackers[tracker.name] = tracker
    return trackers


def _named(key: str, factory: str) -> tuple[str, str]:
    """A tracker's name and factory; where it was named by its factory, one that can be a name."""
    if factory in (STORE_TRACKER, STORE_FACTORY):
        return STORE_TRACKER, STORE_FACTORY
    return re.sub(r"\W+", "_", key), factory


def _as_torchx_names_them(trackers: Any) -> dict[str, str]:
    variables = {}
    factories = []
    for tracker in trackers:
        if tracker.name == STORE_TRACKER or tracker.factory == STORE_FACTORY:
            continue  # the job has no code for it
        factories.append(tracker.factory)
        variable = f"TORCHX_TRACKER_{tracker.factory.upper()}_CONFIG"
        if tracker.config and is_shell_name(variable):
            variables[variable] = tracker.config
    return {**variables, TRACKERS_VARIABLE: ",".join(factories)} if factories else {}


def _of_profile(table: Any) -> Iterator[NamedTracker]:
    where = f"run.env.{PROFILE_KEY}"
    if table is None:
        return
    if not isinstance(table, Mapping):
        raise ConfigError(f'{where}: {table!r} is no table; write {PROFILE_KEY}.NAME = "FACTORY"')
    for name, value in table.items():
        said = value if isinstance(value, Mapping) else {"factory": value}
        unknown = sorted(set(map(str, said)) - set(_KEYS))
        factory, config = said.get("factory"), said.get("config")
        if unknown or not isinstance(factory, str) or not isinstance(config, (str, type(None))):
            raise ConfigError(
                f'{where}.{name}: {value!r} is no tracker; write "module:function", or '
                '{ factory = "module:function", config = "…" }'
            )
        yield NamedTracker(*_named(str(name), factory), config)


def _sections(environ: Mapping[str, str], start: Path) -> dict[str, dict[str, str]]:
    """The sections of all files; of two that set a key, the first counts, as for TorchX."""
    merged: dict[str, dict[str, str]] = {}
    for path in _files(environ, start):
        parser = configparser.ConfigParser()
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        try:
            parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
            found = {name: dict(parser.items(name)) for name in parser.sections()}
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        except (configparser.Error, UnicodeDecodeError) as error:
            text = " ".join(str(error).split())
            raise ConfigError(f"{path}: is no configuration of TorchX: {text}") from error
        for name, values in found.items():
            merged[name] = {**values, **merged.get(name, {})}
    return merged


def _files(environ: Mapping[str, str], start: Path) -> list[Path]:
    named = environ.get(FILE_VARIABLE)
    if named is not None:
        path = Path(named)
        if not path.is_file():
            raise ConfigError(f"{FILE_VARIABLE}={named}: there is no such file")
        return [path]
    # TorchX's own order. It looks in the working directory alone; ours may be below the root.
    folders = [Path(environ["HOME"])] if environ.get("HOME") else []
    folders.append(start)
    root = find_repository_root(start)
    if root is not None and root != start:
        folders.append(root)
    found = [folder / FILE_NAME for folder in folders]
    return [path for path in dict.fromkeys(found) if os.access(path, os.R_OK) and path.is_file()]
