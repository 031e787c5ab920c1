"""What a job said about a version beside making it: metrics, cards.

``{name}/v{N}/_attached/{label}``, files that may be written after the version is complete. They are
no part of it: nothing that identifies a version is made of them, and no reader of versions looks
at them.
"""

from __future__ import annotations

from collections.abc import Sequence

from nemo_runspec.store.backend import Backend
from nemo_runspec.store.errors import StoreError
from nemo_runspec.store.names import check_label

MOST_BYTES = 32 * 1024 * 1024
"""How long one attachment may be."""
MOST_ATTACHMENTS = 200
"""How many a version may have."""

_FOLDER = "_attached"


class Attachments:
    """The attachments of one complete version.

    Args:
        backend: the store's.
        name: the artifact's name, checked.
        version: the version's number.
    """

    def __init__(self, backend: Backend, name: str, version: int) -> None:
        self._backend = backend
        self._reference = f"{name}:v{version}"
        self._folder = f"{name}/v{version}/{_FOLDER}"

    def labels(self) -> list[str]:
        """Their labels, sorted."""
        # Others than labels are somebody's temporary files.
        return [each for each in self._backend.children(self._folder) if each[0] not in "._"]

    def read(self, label: str) -> bytes | None:
        """One of them; None when there is none of that label.

        Raises:
            StoreNameError: nothing can be called that.
        """
        return self._backend.read(self._path(label))

    def read_all(self) -> dict[str, bytes]:
        """All of them by label: a listing, then all at once."""
        found = self._backend.read_many([f"{self._folder}/{each}" for each in self.labels()])
        return {path.rpartition("/")[2]: body for path, body in sorted(found.items())}

    def write(self, label: str, body: bytes) -> None:
        """Attach something; what had the label before is replaced, whole.

        Raises:
            StoreNameError: nothing can be called that.
            StoreError: it is empty or too long, the version has too many already, or the store
                cannot be written.
        """
        path = self._path(label)
        if not body:
            raise StoreError(f"{self._reference}: {label} is empty; attach something")
        if len(body) > MOST_BYTES:
            raise StoreError(
                f"{self._reference}: {label} is {len(body):,} bytes long, more than the "
                f"{MOST_BYTES:,} that an attachment may be; write it to the artifact's own folder"
            )
        self._check_number(label)
        self._backend.write(path, body)

    def _check_number(self, label: str) -> None:
        labels: Sequence[str] = self.labels()
        if label not in labels and len(labels) >= MOST_ATTACHMENTS:
            raise StoreError(
                f"{self._reference} has {len(labels)} attachments, as many as a version may have; "
                f"{label} is one too many"
            )

    def _path(self, label: str) -> str:
        return f"{self._folder}/{check_label(label, 'an attachment')}"
