"""What running pipelines may still read: `store gc` leaves it alone.

A supervisor holds the first lease `pipelines/{n}` that is free for as long as it lives, and the
lease says which artifacts its pipeline is about. Not which versions: what is fresh may be found
anew, what is pinned is read once its job starts, and all of them are versions of these artifacts.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from nemo_runspec.pipeline.world import World
from nemo_runspec.store import Lease, Store, parse_artifact_reference

_PREFIX = "pipelines"
_NAMES = "names"


@contextlib.contextmanager
def in_use(world: World, holder: Mapping[str, Any]) -> Iterator[None]:
    """Keep the versions that a pipeline is about from being freed, until the end of the block.

    Args:
        world: the pipeline's graph and its store.
        holder: who runs it, for others to read.

    Raises:
        StoreError: the store cannot be written.
    """
    told = {**holder, _NAMES: sorted(_names(world))}
    # As many leases as pipelines ever ran at once, so that reading them all takes no time.
    leases = (world.store.acquire(f"{_PREFIX}/{n}", told) for n in itertools.count(1))
    with next(each for each in leases if isinstance(each, Lease)):
        yield


def names_in_use(store: Store) -> frozenset[str]:
    """The artifacts that running pipelines are about, by their names in the store."""
    held = store.lease_holders(_PREFIX)
    return frozenset(name for each in held for name in each.holder.get(_NAMES, ()))


def is_in_use(name: str, names: frozenset[str]) -> bool:
    """Whether an artifact is one of these, or an element of one."""
    return name in names or name.rpartition("/")[0] in names


def _names(world: World) -> set[str]:
    plain = {artifact.name for artifact in world.graph.order}
    for artifact in world.graph.order:
        outside = (each.reference for each in artifact.inputs if each.artifact is None)
        plain.update(parse_artifact_reference(text).name for text in outside)
    return {name for each in plain for name in world.store_names(each)}
