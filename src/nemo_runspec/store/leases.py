"""Leases: who may build something now.

``_leases/{lease_id}/_{n}`` is generation n; whoever creates it (an exclusive create) holds the
lease until n+1 is there. So a dead holder is taken over once, however many try, and one that comes
back to life sees that it lost. Nothing is ever removed, which is what makes it so.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any

from nemo_runspec.store.backend import Backend
from nemo_runspec.store.documents import decode, encode
from nemo_runspec.store.errors import StoreError

DEFAULT_TTL = 120.0
# So many beats may be lost on the way before a holder is taken for dead.
_BEATS_PER_TTL = 6
_GENERATION = re.compile(r"_([1-9][0-9]*)")


@dataclass(frozen=True)
class HeldLease:
    """A lease that somebody else holds.

    Attributes:
        lease_id: the lease.
        holder: who holds it, in the holder's own words; empty when they cannot be read.
        generation: how often it was taken.
        acquired_at: when, ISO 8601 with zone, on the holder's clock.
    """

    lease_id: str
    holder: Mapping[str, Any]
    generation: int
    acquired_at: str


class Lease:
    """A lease that this process holds; use it as a context manager, or call :meth:`beat` often."""

    def __init__(
        self, backend: Backend, lease_id: str, generation: int, document: Mapping[str, Any]
    ) -> None:
        self.lease_id = lease_id
        self.generation = generation
        self.holder: Mapping[str, Any] = document["holder"]
        self._backend = backend
        self._document = document
        self._path = f"{_folder(lease_id)}/_{generation}"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._released = False

    def beat(self) -> None:
        """Say that the holder lives.

        Raises:
            StoreError: the store could not be told; the lease holds until its time is over.
        """
        if not self._released:
            self._backend.touch(self._path, encode(self._document, "a lease"))

    def is_mine(self) -> bool:
        """Whether nobody took it over."""
        return not self._released and _last(self._backend, self.lease_id) == self.generation

    def release(self) -> None:
        """Let others have it, at once. A second call does nothing."""
        if self._released:
            return
        self._stop_beating()
        ended = {**self._document, "released": True}
        self._backend.write(self._path, encode(ended, "a lease"))
        self._released = True  # a store that is away can be told later

    def start_beating(self) -> None:
        """Beat from a thread of its own until :meth:`release`."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._keep_beating, name=f"lease {self.lease_id}", daemon=True
            )
            self._thread.start()

    def __enter__(self) -> Lease:
        self.start_beating()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _keep_beating(self) -> None:
        while not self._stop.wait(self._document["ttl"] / _BEATS_PER_TTL):
            # A store that is away for a while: the next beat may reach it.
            with contextlib.suppress(StoreError):
                self.beat()

    def _stop_beating(self) -> None:
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()


def acquire_lease(
    backend: Backend, lease_id: str, holder: Mapping[str, Any], ttl: float | None
) -> Lease | HeldLease:
    """Takes a lease that is free or whose holder is dead; see ``Store.acquire``."""
    document = {
        "schema": "1",
        "id": uuid.uuid4().hex,
        "holder": dict(holder),
        "machine": _machine(),
        "process": _supervisor().identity(os.getpid()),
        "acquired_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "ttl": DEFAULT_TTL if ttl is None else ttl,
    }
    body = encode(document, "a lease")
    while True:
        generation = _last(backend, lease_id)
        if generation:
            held = _holder(backend, lease_id, generation, writes=True)
            if held is not None:
                return held
        if backend.create(f"{_folder(lease_id)}/_{generation + 1}", body, whole=False):
            return Lease(backend, lease_id, generation + 1, document)


def find_holder(backend: Backend, lease_id: str) -> HeldLease | None:
    """Who holds a lease; writes nothing, so that the age of a beat is by this machine's clock."""
    generation = _last(backend, lease_id)
    return _holder(backend, lease_id, generation, writes=False) if generation else None


def find_holders(backend: Backend, prefix: str) -> list[HeldLease]:
    """Who holds the leases below a prefix, otherwise as :func:`find_holder`, sorted by lease."""
    last: dict[str, int] = {}
    for path in backend.files(_folder(prefix)) or ():
        folder, _, file = path.rpartition("/")
        match = _GENERATION.fullmatch(file)
        if match is not None:
            last[folder] = max(last.get(folder, 0), int(match[1]))
    bodies = backend.read_many([f"{folder}/_{number}" for folder, number in last.items()])
    found = []
    for folder, number in sorted(last.items()):
        body = bodies.get(f"{folder}/_{number}")
        lease_id = folder.removeprefix(_folder(""))
        held = _judge(backend, lease_id, number, body, writes=False)
        if held is not None:
            found.append(held)
    return found


def _holder(backend: Backend, lease_id: str, generation: int, *, writes: bool) -> HeldLease | None:
    body = backend.read(f"{_folder(lease_id)}/_{generation}")
    return _judge(backend, lease_id, generation, body, writes=writes)


def _judge(
    backend: Backend, lease_id: str, generation: int, body: bytes | None, *, writes: bool
) -> HeldLease | None:
    """Who holds a lease, by what the file of its last generation says; None if nobody lives."""
    path = f"{_folder(lease_id)}/_{generation}"
    document: dict[str, Any] = {}
    if body is not None:
        # A holder that was killed while it wrote on a file system without hard links.
        with contextlib.suppress(StoreError):
            document = decode(body, path)
    if document.get("released"):
        return None
    if document.get("machine") == _machine() and isinstance(document.get("process"), dict):
        alive = _supervisor().is_alive(document["process"])
    else:
        beaten = backend.modified(path)
        now = backend.now(_folder(lease_id)) if writes else time.time()
        alive = beaten is not None and now - beaten <= float(document.get("ttl", DEFAULT_TTL))
    if not alive:
        return None
    return HeldLease(
        lease_id, document.get("holder", {}), generation, str(document.get("acquired_at", ""))
    )


def _last(backend: Backend, lease_id: str) -> int:
    matches = map(_GENERATION.fullmatch, backend.children(_folder(lease_id)))
    return max((int(match[1]) for match in matches if match is not None), default=0)


def _folder(lease_id: str) -> str:
    return f"_leases/{lease_id}"


def _supervisor() -> ModuleType:
    # Jobs log versions and take no leases: what a recipe is made of is to be free of how jobs are
    # supervised, or an edit there would make every artifact stale.
    from nemo_runspec.execution import supervisor  # pants: no-infer-dep

    return supervisor


def _machine() -> str:
    # Process numbers mean nothing in another container of the same machine either.
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{_supervisor().machine()} {namespace}".strip()
