"""What can go wrong with a store; each is one line that names the root and says what to do."""

from __future__ import annotations

from nemo_runspec.exceptions import ArtifactError


class StoreError(ArtifactError):
    """Base of what can go wrong with a store."""


class StoreNameError(StoreError, ValueError):
    """Something cannot be called that in a store."""


class StoreUnreachableError(StoreError):
    """The root does not answer, does not exist or does not let us in."""


class StoreReadOnlyError(StoreError):
    """The root can be read, not written."""


class StoreFullError(StoreError):
    """There is no room left at the root."""


class StoreUnsupportedError(StoreError):
    """This kind of root cannot hold a store that several may write."""


class StoreFormatError(StoreError):
    """A file of the store is broken, or of a format that this version does not know."""


class ArtifactRevokedError(ArtifactError):
    """The version, or one that it was made from, was revoked.

    Args:
        reference: ``name:vN`` that was asked for.
        revoked: ``name:vN`` that was revoked: the same, or one above it.
        by: who revoked it.
        at: when.
        reason: why.
    """

    def __init__(self, reference: str, revoked: str, by: str, at: str, reason: str) -> None:
        self.reference = reference
        self.revoked = revoked
        made_from = "" if reference == revoked else f" is made from {revoked}, which"
        super().__init__(
            f"{reference}{made_from} was revoked by {by} at {at}: {reason}; use another version"
        )
