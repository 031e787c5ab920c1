"""The numbers of an artifact's versions: which is the highest, and how the next is taken.

A writer claims the next number by an exclusive create, writes ``metadata.json``, then
``manifest.json`` (from here on the version exists), then moves ``latest``. Claims leave no number
out, so a reader that looks ahead of ``latest`` until there is no claim misses no version whose
writer was killed before the last step.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import uuid
from collections.abc import Collection, Iterator
from datetime import datetime

from nemo_runspec.store.backend import Backend, CommitsWhole, Reader
from nemo_runspec.store.documents import (
    encode,
    latest_text,
    manifest_document,
    read_latest,
    read_manifest,
)
from nemo_runspec.store.errors import StoreError
from nemo_runspec.store.model import Manifest, VersionDraft
from nemo_runspec.store.names import check_name

VERSION_FOLDER = re.compile(r"v([1-9][0-9]{0,17})")

_MOST_CLAIMS = 100_000


class Numbering:
    """The versions of a root, by their numbers.

    Args:
        backend: the root.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def add(self, name: str, draft: VersionDraft, metadata: bytes) -> Manifest:
        """Record a version under the next number.

        Args:
            name: the artifact's name, checked.
            draft: the version.
            metadata: its ``metadata.json``.

        Raises:
            StoreError: the root cannot take it, or the draft cannot be written.
        """
        writer = uuid.uuid4().hex
        if isinstance(self._backend, CommitsWhole):
            return self._add_in_one_commit(self._backend, name, draft, metadata, writer)
        return self._add_step_by_step(name, draft, metadata, writer)

    def _add_step_by_step(
        self, name: str, draft: VersionDraft, metadata: bytes, writer: str
    ) -> Manifest:
        for version in self._next_numbers(name):
            created_at = time_text()
            claim = {
                "writer": writer,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "created_at": created_at,
            }
            manifest = manifest_body(name, version, draft, created_at, writer)
            folder = f"{name}/v{version}"
            # The latter two fail where a writer that knows of no claims took the number.
            if (
                self._backend.create(f"{folder}/_claim", encode(claim, "a claim"), whole=False)
                and self._backend.create(f"{folder}/metadata.json", metadata, last=False)
                and self._backend.create(f"{folder}/manifest.json", manifest)
            ):
                break
        self._advance_latest(name, version)
        return self.parse(name, version, manifest)

    def _add_in_one_commit(
        self, backend: CommitsWhole, name: str, draft: VersionDraft, metadata: bytes, writer: str
    ) -> Manifest:
        added: Manifest | None = None

        def change(at: Reader) -> dict[str, bytes | None]:
            nonlocal added
            last = _hint(at, name)
            while at.read_many([*_files_of(name, last + 1), f"{name}/v{last + 1}/_claim"]):
                last += 1  # somebody's who did not move `latest`
            # A commit of ours whose answer was lost.
            if added is not None and last >= added.version:
                path = f"{name}/v{added.version}/manifest.json"
                if at.read(path) == manifest_body(
                    name, added.version, draft, added.created_at, writer
                ):
                    return {}
            body = manifest_body(name, last + 1, draft, time_text(), writer)
            added = self.parse(name, last + 1, body)
            manifest_path, metadata_path = _files_of(name, last + 1)
            return {
                manifest_path: body,
                metadata_path: metadata,
                f"{name}/latest": latest_text(last + 1),
            }

        if not backend.commit(change, f"Add a version of {name}") or added is None:
            raise StoreError(
                f"{name} is written too often at once in {self._backend.root}; try again later"
            )
        return added

    def _next_numbers(self, name: str) -> Iterator[int]:
        """Numbers to try to claim, in order, none left out that is free."""
        number = _hint(self._backend, name) + 1
        for _ in range(_MOST_CLAIMS):
            yield number
            number += 1
            if not self._backend.is_local:
                number = self._first_free(name, number)
        raise StoreError(
            f"{name} is written too often at once in {self._backend.root}; try again later"
        )

    def _first_free(self, name: str, number: int) -> int:
        """The first number from this one on that seems free: one short listing, mostly.

        Claims leave no number out: one that is there says that all below it are.
        """
        while True:
            decade = f"v{number // 10 or ''}"
            claimed = self._backend.children(name, decade)
            free = next((n for n in range(number, number + 10) if f"v{n}" not in claimed), None)
            if free is None or free // 10 == number // 10:
                return free or number + 10
            number = free

    def _advance_latest(self, name: str, version: int) -> None:
        def change(body: bytes | None) -> bytes | None:
            return None if (read_latest(body) or 0) >= version else latest_text(version)

        # The version is recorded by now: readers look ahead, and the next writer moves `latest`.
        with contextlib.suppress(StoreError):
            self._backend.update(f"{name}/latest", change)

    def newest(self, name: str) -> tuple[int, bytes] | None:
        """The highest complete version and its manifest."""
        latest = read_latest(self._backend.read(f"{name}/latest"))
        if latest is None:
            return self.newest_listed(name)
        best = None
        ahead = range(latest, latest + 2)
        while True:
            paths = [f"{name}/v{n}/{f}" for n in ahead for f in ("manifest.json", "_claim")]
            found = self._backend.read_many(paths)
            for number in ahead:
                manifest = found.get(f"{name}/v{number}/manifest.json")
                if manifest is not None:
                    best = (number, manifest)
                elif number > latest and f"{name}/v{number}/_claim" not in found:
                    return best or self.newest_listed(name)
            ahead = range(ahead.stop, ahead.stop + 2 * len(ahead))

    def newest_listed(self, name: str) -> tuple[int, bytes] | None:
        for number in reversed(numbers_of(self._backend, name)):
            body = self._backend.read(f"{name}/v{number}/manifest.json")
            if body is not None:
                return number, body
        return None

    def latest_manifests(self, names: Collection[str]) -> dict[str, Manifest]:
        """The highest complete version of each of these artifacts that has one."""
        hints = self._backend.read_many([f"{check_name(name)}/latest" for name in names])
        paths = []
        guessed = {}
        for name in names:
            latest = read_latest(hints.get(f"{name}/latest"))
            if latest is not None:
                guessed[name] = latest
                here, ahead = f"{name}/v{latest}", f"{name}/v{latest + 1}"
                paths += [f"{here}/manifest.json", f"{ahead}/manifest.json", f"{ahead}/_claim"]
        bodies = self._backend.read_many(paths)
        found = {}
        for name in names:
            number = guessed.get(name, 0)
            body = bodies.get(f"{name}/v{number}/manifest.json")
            ahead = f"{name}/v{number + 1}"
            if body is None or f"{ahead}/manifest.json" in bodies or f"{ahead}/_claim" in bodies:
                newest = self.newest(name)
                if newest is None:
                    continue
                number, body = newest
            found[name] = self.parse(name, number, body)
        return found

    def parse(self, name: str, version: int, body: bytes) -> Manifest:
        """A version from its ``manifest.json``."""
        where = f"{self._backend.root.rstrip('/')}/{name}/v{version}/manifest.json"
        return read_manifest(name, version, body, where)


def manifest_body(
    name: str, version: int, draft: VersionDraft, created_at: str, writer: str
) -> bytes:
    """What ``manifest.json`` holds of a version about to be recorded.

    Raises:
        StoreError: it cannot be said in JSON.
    """
    document = manifest_document(name, version, draft, created_at=created_at, writer=writer)
    return encode(document, f"a version of {name}")


def _files_of(name: str, version: int) -> tuple[str, str]:
    return f"{name}/v{version}/manifest.json", f"{name}/v{version}/metadata.json"


def _hint(at: Reader, name: str) -> int:
    """A number at or below the highest claimed one, all claimed that are below it."""
    latest = read_latest(at.read(f"{name}/latest"))
    if latest is not None:
        return latest
    for number in reversed(numbers_of(at, name)):
        folder = f"{name}/v{number}"
        if at.read_many([f"{folder}/_claim", f"{folder}/manifest.json"]):
            return number
    return 0


def numbers_of(at: Reader, name: str) -> list[int]:
    """The numbers that have a folder, complete or not, ascending."""
    matches = map(VERSION_FOLDER.fullmatch, at.children(name))
    return sorted(int(match[1]) for match in matches if match is not None)


def time_text() -> str:
    """This moment, ISO 8601 with zone."""
    return datetime.now().astimezone().isoformat(timespec="microseconds")
