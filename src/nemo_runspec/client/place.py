"""The store that is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.job_context import job_context
from nemo_runspec.artifacts.settings import ArtifactsSettings, environment_settings
from nemo_runspec.artifacts.view import StoreView, open_view, tracking_is_off
from nemo_runspec.exceptions import ArtifactError
from nemo_runspec.store.model import Manifest
from nemo_runspec.store.names import ArtifactReference
from nemo_runspec.store.store import Store

_chosen: list[StoreView] = []


class ClientError(ArtifactError, LookupError):
    """What was asked for is not there."""


def choose(root: str | None, storage_options: Mapping[str, Any] | None) -> None:
    """Say which store is looked at where a call names none; None: that of ``env.toml`` again."""
    _chosen[:] = [] if root is None else [_open(root, storage_options)]


def view_of(root: str | Store | None) -> StoreView:
    """The store of a call: the one it names, the chosen one, the job's, or that of ``env.toml``.

    Raises:
        TrackingOffError: ``env.toml`` says that there is none.
        ClientError: there is nothing where the call says.
        EnvError: ``env.toml`` is broken.
        StoreError: no store can be there.
    """
    if isinstance(root, Store):
        return StoreView(root)
    if root is not None:
        return _open(root, None)
    if _chosen:
        return _chosen[0]
    context = job_context()
    if context is not None and context.root is not None:
        return open_view(ArtifactsSettings(root=context.root), context) or tracking_is_off()
    return open_view(environment_settings()) or tracking_is_off()


def newest(view: StoreView, name: str) -> Manifest:
    """The highest version of an artifact: of one's own in the namespace first, then the team's.

    It may be revoked.

    Raises:
        ArtifactNotFoundError: there is none; it says what there is.
    """
    names = [name]
    if view.namespace is not None and not name.startswith(f"{view.namespace}/"):
        names.insert(0, f"{view.namespace}/{name}")
    found = view.store.latest_manifests(names)
    for each in names:
        if each in found:
            return found[each]
    return view.store.resolve(ArtifactReference(name))  # says what there is instead


def _open(root: str, storage_options: Mapping[str, Any] | None) -> StoreView:
    settings = environment_settings()
    options = storage_options
    if options is None and settings.root is not None and _scheme(settings.root) == _scheme(root):
        options = settings.storage_options
    if not _scheme(root) and not Path(root).expanduser().is_dir():
        raise ClientError(f"there is no store at {root}; name the folder that has _store.json")
    told = replace(settings, root=root, is_default=False, storage_options=options)
    return open_view(told) or tracking_is_off()


def _scheme(root: str) -> str:
    return root.partition("://")[0] if "://" in root else ""
