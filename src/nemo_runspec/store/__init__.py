"""The store: versions of artifacts, the keys they answer to, aliases, leases.

    from nemo_runspec.store import VersionDraft, open_store

    store = open_store("/lustre/team/artifacts")
    version = store.add_version("nano3/sft-data", VersionDraft(path="/lustre/data/sft"))
    version.reference        # "nano3/sft-data:v1"
    store.latest("nano3/sft-data")   # 1

It knows nothing of configs, recipes and pipelines. See :mod:`nemo_runspec.store.store` for what
holds under concurrent writers.
"""

from __future__ import annotations

from nemo_runspec.store.errors import (
    ArtifactRevokedError,
    StoreError,
    StoreFormatError,
    StoreFullError,
    StoreNameError,
    StoreReadOnlyError,
    StoreUnreachableError,
    StoreUnsupportedError,
)
from nemo_runspec.store.leases import HeldLease, Lease
from nemo_runspec.store.model import KeyRecord, Manifest, Tombstone, VersionDraft
from nemo_runspec.store.names import ArtifactReference, check_name, parse_artifact_reference
from nemo_runspec.store.opening import open_store
from nemo_runspec.store.store import Store

__all__ = [
    "ArtifactReference",
    "ArtifactRevokedError",
    "HeldLease",
    "KeyRecord",
    "Lease",
    "Manifest",
    "Store",
    "StoreError",
    "StoreFormatError",
    "StoreFullError",
    "StoreNameError",
    "StoreReadOnlyError",
    "StoreUnreachableError",
    "StoreUnsupportedError",
    "Tombstone",
    "VersionDraft",
    "check_name",
    "open_store",
    "parse_artifact_reference",
]
