"""What the store asks of a kind of file system, whichever it is.

A backend knows files by their path below the root, parts separated by ``/``. It raises
:class:`~nemo_runspec.store.errors.StoreError` and nothing else when the root does not do what was
asked. What a path may be is checked before it comes here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

Change = Callable[[bytes | None], bytes | None]


class Reader(Protocol):
    """The files of a root, as they are now or at one moment."""

    def read(self, path: str) -> bytes | None:
        """The whole of a file, or None when there is none."""

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Those of these files that there are; all at once where asking takes its time."""

    def children(self, folder: str, prefix: str = "") -> list[str]:
        """The names in a folder that begin so, files and folders; sorted."""

    def files(self, folder: str, limit: int | None = None) -> list[str] | None:
        """The paths of all files below a folder, from the root; None when they exceed ``limit``."""


class Backend(Reader, Protocol):
    """One root on one kind of file system."""

    root: str
    is_local: bool
    request_count: int
    """How many requests were sent to an object store."""

    def exists(self, path: str) -> bool:
        """Whether there is such a file, now."""

    def create(self, path: str, body: bytes, *, whole: bool = True, last: bool = True) -> bool:
        """Write a file that must not be there yet; of several writers one succeeds.

        Args:
            path: the file.
            body: all of it, never empty, and like no other writer's.
            whole: whether it must appear whole and outlive a loss of power; False where only
                that it is there counts (a claim), which is surer on some file systems.
            last: False where another file of the folder is to follow, whose writing will see to it
                that this one's name outlives a loss of power too.

        Returns:
            Whether the file now there is this writer's.
        """

    def write(self, path: str, body: bytes) -> None:
        """Write a file, whole or not at all; the last writer's stays."""

    def update(self, path: str, change: Change) -> bool:
        """Change a file depending on what it holds, nobody else changing it meanwhile.

        Args:
            path: the file.
            change: gets what it holds (None when it is not there), returns what it shall hold or
                None to leave it. Called again when somebody else was faster.

        Returns:
            Whether it was done or needed nothing; False when somebody holds the file for too long.
        """

    def touch(self, path: str, body: bytes) -> None:
        """Say on the store's clock that a file's writer lives; ``body`` is what it holds."""

    def modified(self, path: str) -> float | None:
        """When a file was last written or touched on the store's clock, in seconds."""

    def now(self, folder: str) -> float:
        """The store's clock, in seconds; writes to ``folder`` where there is no other way."""

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""

    def probe(self) -> Mapping[str, Any]:
        """Try what the root can do; writes to it.

        Returns:
            ``exclusive_create``: how a file is created by one of several writers, or False;
            ``compare_and_swap``: how one is changed, or False.
        """


@runtime_checkable
class CommitsWhole(Protocol):
    """A backend that changes many files at once, or none."""

    def commit(self, change: Callable[[Reader], Mapping[str, bytes | None]], message: str) -> bool:
        """Change files; ``change`` is asked again when somebody was faster.

        Args:
            change: gets the files as they are, returns by path what they shall be (None: not
                there); nothing when there is nothing to do.
            message: what was done, for people.

        Returns:
            Whether it was done or needed nothing; False when others were always faster.
        """
