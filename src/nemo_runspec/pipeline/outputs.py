"""Output folders: one per artifact, key and generation.

    {output_root}/{name}/{key[:16]}/1          what the job writes to
    {output_root}/{name}/{key[:16]}/1.json     its attempts, and the version that was recorded

The attempts of a build share a folder, so that a job goes on where the last one was ended. Once
what is in it was recorded, nothing writes there again: the next build with that key, a forced one
say, gets the next generation, and no version's data changes under it.

Whoever opens a folder here holds the lease of its name and key: there is one writer at a time.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.settings import ArtifactsSettings
from nemo_runspec.exceptions import EnvError, NemoRunspecError
from nemo_runspec.store.names import check_name
from nemo_runspec.utils import url_scheme, write_atomically

SCHEMA = "1"

_KEY_LENGTH = 16
_MARKER = re.compile(r"(?P<generation>[1-9][0-9]*)\.json")


class OutputError(NemoRunspecError):
    """An output folder cannot be used."""


@dataclass(frozen=True)
class Attempt:
    """One job that was submitted for an output folder.

    Args:
        job: the job's folder.
        handle: the handle's JSON; None when it was not yet known when the submitter ended.
        machine: where it was submitted (`nemo_runspec.execution.supervisor.machine`).
        executor: name of the executor that runs it; None for what no job made.
        pipeline: folder of the pipeline that it was submitted for.
        starts: how many times its executor started it, as far as we know.
    """

    job: str
    handle: str | None
    machine: str
    executor: str | None = None
    pipeline: str | None = None
    starts: int = 1


@dataclass(frozen=True)
class OutputFolder:
    """The output folder of a build, and what is known of it.

    Args:
        folder: the folder, whether it exists yet or not.
        name: the artifact's name.
        key: the build's key.
        generation: its number, from 1.
        attempts: the jobs that were started in it, in order.
        recorded: the number of the version that its content was recorded as; None until then.
    """

    folder: Path
    name: str
    key: str
    generation: int
    attempts: tuple[Attempt, ...] = ()
    recorded: int | None = None

    @property
    def starts(self) -> int:
        """How many times a job was started in it."""
        return sum(attempt.starts for attempt in self.attempts)

    @property
    def marker(self) -> Path:
        """Where its attempts and its version stand."""
        return self.folder.with_name(f"{self.generation}.json")

    def next_generation(self) -> OutputFolder:
        """The folder of the next build with this key."""
        number = self.generation + 1
        return OutputFolder(self.folder.with_name(str(number)), self.name, self.key, number)

    def with_attempt(self, attempt: Attempt) -> OutputFolder:
        """The folder with one more attempt, which is on disk on return."""
        return self._kept(replace(self, attempts=(*self.attempts, attempt)))

    def with_handle(self, handle: str) -> OutputFolder:
        """The folder with the handle of its last attempt, which is on disk on return."""
        return self._with_last(handle=handle)

    def with_starts(self, starts: int) -> OutputFolder:
        """The folder whose last attempt was started so often, which is on disk on return."""
        return self if self.attempts[-1].starts == starts else self._with_last(starts=starts)

    def with_version(self, version: int) -> OutputFolder:
        """The folder as recorded, which is on disk on return."""
        return self._kept(replace(self, recorded=version))

    def holds(self, path: str) -> bool:
        """Whether a path is this folder or lies in it."""
        if url_scheme(path) is not None:
            return False
        # Manifests have paths with links followed.
        inside, folder = os.path.realpath(path), os.path.realpath(self.folder)
        return inside == folder or inside.startswith(f"{folder}/")

    def _with_last(self, **values: Any) -> OutputFolder:
        *before, last = self.attempts
        return self._kept(replace(self, attempts=(*before, replace(last, **values))))

    def _kept(self, changed: OutputFolder) -> OutputFolder:
        document = {
            "schema": SCHEMA,
            "name": changed.name,
            "key": changed.key,
            "attempts": [asdict(attempt) for attempt in changed.attempts],
            "recorded": changed.recorded,
        }
        text = json.dumps(document, indent=1, sort_keys=True) + "\n"
        try:
            changed.marker.parent.mkdir(parents=True, exist_ok=True)
            # After a loss of power here what the store says counts (`Builder` looks there); the
            # jobs of a cluster live through it, and are known from here alone.
            is_elsewhere = any(a.executor not in (None, "local") for a in changed.attempts)
            write_atomically(changed.marker, text, durable=is_elsewhere)
        except OSError as error:
            # That of a full disk names no file.
            raise OutputError(f"{changed.marker}: cannot be written: {error.strerror}") from error
        return changed


def output_root(settings: ArtifactsSettings) -> Path:
    """Where builds write.

    It is `output_root` of the settings; else beside a store that is a folder: `outputs` beside
    `artifacts`, and `NAME-outputs` beside one of another name.

    Raises:
        EnvError: the store is no folder, and nothing names an output root; or it is a URL.
    """
    named = settings.output_root
    if named is not None:
        if url_scheme(named) is not None:
            raise EnvError(
                f"[artifacts] output_root = {named!r}: jobs write to folders; name one that they "
                "and all who use the artifacts can reach"
            )
        return Path(named).expanduser().absolute()
    root = settings.root
    if root is None or url_scheme(root) not in (None, "file"):
        raise EnvError(
            f"the artifact store {root} is no folder, so builds have no place beside it; set "
            "output_root in [artifacts] of env.toml, a folder that all who use them can reach"
        )
    store = Path(root.removeprefix("file://")).expanduser().absolute()
    name = "outputs" if store.name == "artifacts" else f"{store.name}-outputs"
    return store.with_name(name)


def open_output(root: Path, name: str, key: str) -> OutputFolder:
    """The folder that a build with this key writes to now; creates nothing.

    It is the last generation, or the one after it when that was recorded.

    Args:
        root: from `output_root`.
        name: the artifact's name.
        key: the build's key.

    Raises:
        OutputError: a marker cannot be read.
    """
    parent = root / check_name(name) / key[:_KEY_LENGTH]
    try:
        names = [path.name for path in parent.iterdir()]
    except FileNotFoundError:
        names = []
    except OSError as error:
        raise OutputError(f"{parent}: cannot be read: {error.strerror}") from error
    found = [int(match["generation"]) for match in map(_MARKER.fullmatch, names) if match]
    # A folder without a marker is not ours to write to: it may hold a version's data.
    bare = [int(name) for name in names if name.isdecimal()]
    last = max([*found, *bare], default=0)
    if last == 0:
        return OutputFolder(parent / "1", name, key, 1)
    folder = OutputFolder(parent / str(last), name, key, last)
    if last not in found:
        return folder.next_generation()
    known = _read(folder)
    if known is None or known.recorded is not None or known.key != key:
        return folder.next_generation()
    return known


def _read(folder: OutputFolder) -> OutputFolder | None:
    """The folder with what its marker says; None if that is broken: nobody knows what is in it."""
    try:
        document: Mapping[str, Any] = json.loads(folder.marker.read_text(encoding="utf-8"))
        known = {field.name for field in fields(Attempt)}
        attempts = tuple(
            Attempt(**{key: value for key, value in each.items() if key in known})
            for each in document["attempts"]
        )
        recorded = document["recorded"]
        # Two keys that begin alike share the parent, never a folder.
        return replace(
            folder,
            key=str(document["key"]),
            attempts=attempts,
            recorded=None if recorded is None else int(recorded),
        )
    except OSError as error:
        raise OutputError(f"{folder.marker}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
