"""What records artifacts in this process, for all that have something to record.

``setup_artifact_tracking`` sets it; ``Artifact.save``, ``save_value`` and the checkpoint hooks of
training frameworks find it here, and need not know what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from nemo_runspec.store.model import Manifest


class Tracker(Protocol):
    """What records versions: in a store, in Weights & Biases, or in both.

    Its artifacts are :class:`~nemo_runspec.artifacts.types.Artifact`, which itself asks here who
    records it.
    """

    def is_active(self) -> bool:
        """Whether anything is recorded now."""

    def get_run_id(self) -> str | None:
        """The run that what is logged comes from."""

    def use_artifact(self, ref: str, artifact_type: str | None = None) -> Path | str:
        """Where the data of a version is; it counts as used from here on."""

    def log_artifact(
        self, artifact: Any, name: str | None = None, used_refs: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Record an artifact as a new version; says where."""

    def record_artifact(
        self, artifact: Any, name: str | None = None, used_refs: Iterable[str] = ()
    ) -> Manifest | None:
        """As :meth:`log_artifact`; gives the manifest back, where there is one."""

    def log_model_checkpoint(
        self,
        name: str,
        path: str | PathLike[str],
        iteration: int,
        *,
        metadata: Mapping[str, Any] | None = None,
        alias: str | None = None,
    ) -> dict[str, Any]:
        """Record a checkpoint as a new version; says where. W&B alone takes an alias."""


_tracker: list[Tracker] = []
_page: list[Callable[[], str | None]] = []


def get_tracker() -> Tracker | None:
    """The tracker of this process; None before ``setup_artifact_tracking``, or when it is off."""
    return _tracker[0] if _tracker else None


def set_tracker(tracker: Tracker | None) -> None:
    """Make a tracker the one of this process."""
    _tracker[:] = [] if tracker is None else [tracker]


def run_page() -> str | None:
    """The page of this process's run, where something shows it."""
    return _page[0]() if _page else None


def set_run_page(page: Callable[[], str | None] | None) -> None:
    """Say where :func:`run_page` finds the page of the run."""
    _page[:] = [] if page is None else [page]
