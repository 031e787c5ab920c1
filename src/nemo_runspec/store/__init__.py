"""The store: versions of artifacts, the keys they answer to, aliases, leases.

    from nemo_runspec.store import VersionDraft, open_store

    store = open_store("/lustre/team/artifacts")
    version = store.add_version("nano3/sft-data", VersionDraft(path="/lustre/data/sft"))
    version.reference        # "nano3/sft-data:v1"
    store.latest("nano3/sft-data")   # 1

It knows nothing of configs, recipes and pipelines. See :mod:`nemo_runspec.store.store` for what
holds under concurrent writers.

What :mod:`nemo_runspec.client` has to look at a store (``artifact``, ``artifacts``, ``run``,
``runs``, ``latest_run``, ``use``) can be had from here, too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    # A recipe that logs to a store does not depend on it: one that looks at stores imports it.
    from nemo_runspec.client import artifact as artifact  # pants: no-infer-dep
    from nemo_runspec.client import artifacts as artifacts  # pants: no-infer-dep
    from nemo_runspec.client import latest_run as latest_run  # pants: no-infer-dep
    from nemo_runspec.client import run as run  # pants: no-infer-dep
    from nemo_runspec.client import runs as runs  # pants: no-infer-dep
    from nemo_runspec.client import use as use  # pants: no-infer-dep

_CLIENT = "nemo_runspec.client"
_CLIENT_NAMES = frozenset({"artifact", "artifacts", "latest_run", "run", "runs", "use"})

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


def __dir__() -> list[str]:
    return sorted({*globals(), *_CLIENT_NAMES})


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _CLIENT_NAMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            return getattr(importlib.import_module(_CLIENT), name)
        except ModuleNotFoundError as error:
            if error.name != _CLIENT:
                raise
            raise ImportError(
                f"store.{name} needs {_CLIENT}, which this job's bundle does not hold; write "
                f"`from {_CLIENT} import {name}` in the script instead"
            ) from error
