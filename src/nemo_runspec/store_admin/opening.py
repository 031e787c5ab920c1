"""The store that a command is about, and what it says there in the user's name."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, TypeVar

from nemo_runspec._names import hint
from nemo_runspec.artifacts.settings import (
    ArtifactsSettings,
    environment_origin,
    environment_settings,
    user_name,
)
from nemo_runspec.command_line import STORE, Given
from nemo_runspec.exceptions import (
    ArtifactNotFoundError,
    ArtifactVersionNotFoundError,
    UsageError,
)
from nemo_runspec.store import (
    ArtifactReference,
    Manifest,
    Store,
    open_store,
    parse_artifact_reference,
)
from nemo_runspec.store.lineage import VersionId
from nemo_runspec.store.survey import ask_many, survey

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Place:
    """A store and how it is used from here.

    Args:
        store: the store.
        settings: what env.toml says of it; the root is the store's.
    """

    store: Store
    settings: ArtifactsSettings

    @property
    def namespace(self) -> str | None:
        """What stands before the names of the user's own artifacts; None without one."""
        return self.settings.namespace

    @property
    def is_empty_default(self) -> bool:
        """Whether nothing was ever recorded in the default place."""
        return self.settings.is_default and not os.path.isdir(self.store.root)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """What a function that asks the store says of each item, in order.

        An object store is asked about many at once: each answer takes its time.
        """
        return ask_many(self.store, function, items)

    def options_for(self, path: str) -> Mapping[str, Any]:
        """How to reach the data at ``path``: as the store, if it is on the same filesystem."""
        scheme = path.partition("://")[0]
        is_same = self.store.root.startswith(f"{scheme}://")
        return (self.settings.storage_options or {}) if is_same else {}


def open_place(given: Given, *, create: bool = False) -> Place:
    """The store that ``--store`` or ``env.toml`` names, else the repository's own.

    Args:
        given: the command line.
        create: whether the command may make the first entry of a store.

    Raises:
        UsageError: artifacts are not recorded here.
        EnvError: ``env.toml`` is wrong.
        StoreError: it can be no store.
    """
    settings = environment_settings()
    named = given.value(STORE.names[0])
    if named is not None:
        settings = replace(settings, root=named, is_default=False)
    if settings.root is None:
        raise UsageError(
            f"{environment_origin()} has no root, so there is no store; name one with "
            f"{STORE.names[0]} {STORE.value}"
        )
    root = settings.root
    if "://" not in root:
        root = os.path.abspath(os.path.expanduser(root))
        if not create and not settings.is_default and not os.path.isdir(root):
            raise UsageError(f"{root}: there is no such folder, so there is no store")
    store = open_store(
        root,
        shared=settings.shared,
        storage_options=settings.storage_options or None,
        create=create or settings.is_default,
    )
    return Place(store, replace(settings, root=root))


def acting_user() -> str:
    """Who does this, as the store remembers it: ``user@host``."""
    return f"{user_name()}@{socket.gethostname()}"


def made_by(manifest: Manifest) -> str:
    """Who made a version: ``user@host``, as much of it as is known, or ``-``."""
    user, host = manifest.run.get("user"), manifest.run.get("host")
    return "@".join(str(each) for each in (user, host) if each) or "-"


def now() -> str:
    """This moment, ISO 8601 with zone."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def exact_reference(text: str, command: str) -> ArtifactReference:
    """A reference that says which version it means.

    Raises:
        UsageError: it says none.
        ConfigError: it is no reference.
    """
    reference = parse_artifact_reference(text)
    if ":" not in text:
        raise UsageError(f"{command}: which version of {text}? Write {text}:vN")
    return reference


def version_of(place: Place, reference: ArtifactReference) -> int:
    """The number of the version that a reference names, revoked or not; its name is taken as it is.

    Raises:
        ArtifactNotFoundError: there is no such artifact; it says what there is.
        ArtifactVersionNotFoundError: it has no such version or alias; it says what there is.
    """
    store, name = place.store, reference.name
    versions = store.versions(name)
    if not versions:
        raise not_found(place, name)
    if reference.number is not None:
        if reference.number in versions:
            return reference.number
        listed = f"v{versions[0]}" + (f" to v{versions[-1]}" if len(versions) > 1 else "")
        message = f"{name} has no version v{reference.number} in {store.root}; it has {listed}"
        raise ArtifactVersionNotFoundError(name, reference.version, message)
    if reference.alias is None:
        return versions[-1]
    aliases = store.aliases(name)
    if reference.alias not in aliases:
        known = hint(reference.alias, [*aliases, "latest"], kind="It has")
        message = f"{name} has no alias {reference.alias!r} in {store.root}; {known}"
        raise ArtifactVersionNotFoundError(name, reference.version, message)
    return aliases[reference.alias]


def find_readable(place: Place, text: str) -> Manifest:
    """The version that a reference means when it is read: one's own first, then the team's.

    Raises:
        ConfigError: it is no reference.
        ArtifactNotFoundError: there is no such artifact.
        ArtifactVersionNotFoundError: there is no such version of it.
        StoreError: the version's manifest cannot be read.
    """
    reference = parse_artifact_reference(text)
    if place.namespace and not reference.name.startswith(f"{place.namespace}/"):
        own = replace(reference, name=f"{place.namespace}/{reference.name}")
        # What is not one's own is the team's.
        with contextlib.suppress(ArtifactNotFoundError, ArtifactVersionNotFoundError):
            return place.store.manifest(own.name, version_of(place, own))
    return place.store.manifest(reference.name, version_of(place, reference))


def all_manifests(place: Place) -> dict[VersionId, Manifest]:
    """Every version of the store.

    Raises:
        StoreFormatError: a manifest is broken: what it was made from is not known.
    """
    if place.is_empty_default:
        return {}
    return place.store.manifests(survey(place.store).versions)


def not_found(place: Place, name: str) -> ArtifactNotFoundError:
    """That there is no such artifact, with what was probably meant."""
    if place.is_empty_default:
        return ArtifactNotFoundError(
            name, f"no artifact {name!r}: nothing was recorded in {place.store.root} yet"
        )
    return ArtifactNotFoundError(
        name, f"no artifact {name!r} in {place.store.root}; {_few(name, place.store.names())}"
    )


def _few(name: str, known: Iterable[str]) -> str:
    """What there is instead; of many names only those that are like it."""
    names = list(known)
    if len(names) <= _MOST_NAMES:
        return hint(name, names)
    # A name with another namespace is often what was meant.
    last = name.rpartition("/")[2]
    like = [each for each in names if each.rpartition("/")[2] == last][:_MOST_NAMES]
    return hint(name, like) if like else "`nemo-runspec store ls` lists what there is"


_MOST_NAMES = 12
