"""Looking at many versions of a store at once: what there is of them, in few listings."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from nemo_runspec.store.lineage import VersionId
from nemo_runspec.store.store import Store
from runspec.references import is_artifact_name

T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE = 32
# From so many artifacts on, the whole store is listed at once: a page holds 1,000 files.
_LISTED_ONE_BY_ONE = 64
_PATH = re.compile(
    r"(?P<name>.+?)/(?:v(?P<number>[1-9][0-9]{0,17})/"
    r"(?:(?P<file>manifest\.json|_gone)|_attached/(?P<label>[^/._][^/]*))"
    r"|(?P<kind>aliases|keys)/(?P<entry>[^/._][^/]*))"
)


@dataclass(frozen=True)
class Survey:
    """What there is of some artifacts, as file names tell it; nothing was read.

    Attributes:
        versions: the complete versions.
        gone: those whose data was marked as gone.
        attached: the labels of what is attached, by version; only those that have any.
        aliases: by artifact; only those that have any.
        keys: the keys that have an answer, by artifact; only those that have any.
    """

    versions: frozenset[VersionId] = frozenset()
    gone: frozenset[VersionId] = frozenset()
    attached: Mapping[VersionId, tuple[str, ...]] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def survey(store: Store, names: Collection[str] | None = None) -> Survey:
    """What there is of some artifacts, or of all.

    Args:
        store: the store.
        names: the artifacts; None for all. Of many an object store is listed as a whole.

    Raises:
        StoreError: the store cannot be read.
    """
    if names is None or (len(names) > _LISTED_ONE_BY_ONE and not store.is_local):
        paths: Iterable[str] = store.paths()
    else:
        listed = ask_many(store, store.paths, sorted(set(names)))
        paths = dict.fromkeys(path for each in listed for path in each)
    return _read(paths, None if names is None else frozenset(names))


def ask_many(store: Store, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """What a function that asks the store says of each item, in order.

    An object store is asked about many at once: each answer takes its time.
    """
    waiting = list(items)
    if store.is_local or len(waiting) < 2:
        return [function(item) for item in waiting]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(function, waiting))


def _read(paths: Iterable[str], names: frozenset[str] | None) -> Survey:
    found: dict[str, set[VersionId]] = {"manifest.json": set(), "_gone": set()}
    attached: dict[VersionId, list[str]] = {}
    labels: dict[str, dict[str, list[str]]] = {"aliases": {}, "keys": {}}
    for path in paths:
        match = _PATH.fullmatch(path)
        if match is None or not _is_meant(match["name"], names):
            continue
        name = match["name"]
        if match["kind"] is not None:
            labels[match["kind"]].setdefault(name, []).append(match["entry"])
            continue
        version = (name, int(match["number"]))
        if match["file"] is not None:
            found[match["file"]].add(version)
        else:
            attached.setdefault(version, []).append(match["label"])
    return Survey(
        versions=frozenset(found["manifest.json"]),
        gone=frozenset(found["_gone"]),
        attached={version: tuple(sorted(each)) for version, each in attached.items()},
        aliases={name: tuple(sorted(each)) for name, each in labels["aliases"].items()},
        keys={name: tuple(sorted(each)) for name, each in labels["keys"].items()},
    )


def _is_meant(name: str, names: frozenset[str] | None) -> bool:
    return is_artifact_name(name) if names is None else name in names
