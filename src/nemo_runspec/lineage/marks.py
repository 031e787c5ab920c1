"""What was said of versions after they were made: revoked, gone, accepted, aliases, attachments."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from nemo_runspec.artifacts.cards import cards_of
from nemo_runspec.artifacts.metrics import Series, read_metrics
from nemo_runspec.artifacts.notes import METRICS
from nemo_runspec.lineage.model import Card, Mark
from nemo_runspec.masking import mask_secrets
from nemo_runspec.store.lineage import VersionId, made_from
from nemo_runspec.store.model import Manifest
from nemo_runspec.store.store import Store
from nemo_runspec.store.survey import Survey, ask_many


@dataclass(frozen=True)
class Marks:
    """What was said of some versions, each by version; what was not said is not there.

    Attributes:
        revoked: who refused it, or the nearest one that it was made from.
        gone: why its data is no more there.
        accepted: who let it stand for a key that it was not made with; the newest of them.
        aliases: that mean it now.
        series: the metrics that its job logged, by name: (step, value, at) each, in order.
        cards: the pages that its job attached.
    """

    revoked: Mapping[VersionId, Mark] = field(default_factory=dict)
    gone: Mapping[VersionId, str] = field(default_factory=dict)
    accepted: Mapping[VersionId, Mark] = field(default_factory=dict)
    aliases: Mapping[VersionId, tuple[str, ...]] = field(default_factory=dict)
    series: Mapping[VersionId, Mapping[str, Series]] = field(default_factory=dict)
    cards: Mapping[VersionId, tuple[Card, ...]] = field(default_factory=dict)


def read_marks(
    store: Store,
    seen: Survey,
    wanted: Collection[VersionId],
    known: Mapping[VersionId, Manifest],
) -> Marks:
    """What was said of some versions; asked only where the survey says that there is something.

    Args:
        store: the store.
        seen: what there is of their artifacts.
        wanted: the versions.
        known: their manifests, and those of all that they were made from.

    Raises:
        StoreError: the store cannot be read, or a file of it is broken.
    """
    marked = sorted(seen.gone.intersection(wanted))
    reasons = ask_many(store, lambda one: store.gone(*one), marked)
    attached = sorted(seen.attached.keys() & set(wanted))
    said = ask_many(store, lambda one: read_notes(store, one), attached)
    return Marks(
        revoked=refusals(store, known),
        gone={
            one: mask_secrets(why)
            for one, why in zip(marked, reasons, strict=True)
            if why is not None
        },
        accepted=_accepted(store, seen, wanted, known),
        aliases=read_aliases(store, seen, {name for name, _ in wanted}),
        series={one: series for one, (series, _) in zip(attached, said, strict=True)},
        cards={one: cards for one, (_, cards) in zip(attached, said, strict=True)},
    )


def refusals(store: Store, known: Mapping[VersionId, Manifest]) -> dict[VersionId, Mark]:
    """The versions that were revoked, and those made from one, each with the nearest revocation.

    Args:
        store: the store.
        known: manifests; of each version, those of all that it was made from, too.
    """
    revoked = sorted(one for one in store.revoked_versions() if one in known)
    if not revoked:
        return {}
    below: dict[VersionId, list[VersionId]] = {}
    for one, manifest in known.items():
        for above in made_from(manifest):
            below.setdefault(above, []).append(one)
    found: dict[VersionId, Mark] = {}
    stones = ask_many(store, lambda one: store.is_revoked(*one), revoked)
    for (name, version), stone in zip(revoked, stones, strict=True):
        if stone is not None:
            reference = f"{name}:v{version}"
            found[name, version] = Mark(stone.by, stone.at, mask_secrets(stone.reason), reference)
    # Level by level, so that the nearest is told.
    waiting = deque(found)
    while waiting:
        here = waiting.popleft()
        for one in below.get(here, ()):
            if one not in found:
                found[one] = found[here]
                waiting.append(one)
    return found


def read_aliases(
    store: Store, seen: Survey, names: Collection[str]
) -> dict[VersionId, tuple[str, ...]]:
    """The aliases of some artifacts by the version that each means now."""
    having = sorted(seen.aliases.keys() & set(names))
    found: dict[VersionId, list[str]] = {}
    for name, aliases in zip(having, ask_many(store, store.aliases, having), strict=True):
        for alias, version in sorted(aliases.items()):
            found.setdefault((name, version), []).append(alias)
    return {one: tuple(each) for one, each in found.items()}


def read_notes(store: Store, one: VersionId) -> tuple[dict[str, Series], tuple[Card, ...]]:
    """The metrics and the pages that a version's job attached to it."""
    attached = store.attached(*one)
    cards = tuple(Card(each.title, each.kind, each.body) for each in cards_of(attached))
    return read_metrics(attached.get(METRICS)), cards


def _accepted(
    store: Store,
    seen: Survey,
    wanted: Collection[VersionId],
    known: Mapping[VersionId, Manifest],
) -> dict[VersionId, Mark]:
    names = {name for name, _ in wanted}
    # The key that a version was made with needs nobody's word, as long as its data is there.
    own = {(name, m.key) for (name, n), m in known.items() if (name, n) not in seen.gone}
    asked = [
        (name, key)
        for name in sorted(seen.keys.keys() & names)
        for key in seen.keys[name]
        if (name, key) not in own
    ]
    found: dict[VersionId, Mark] = {}
    for (name, _), record in store.find_keys(asked).items():
        said, one = record.accepted, (name, record.version)
        if said is None:
            continue
        by, at, reason = (str(said.get(key, "unknown")) for key in ("by", "at", "reason"))
        mark = Mark(by, at, mask_secrets(reason), f"{name}:v{record.version}")
        if one not in found or found[one].at < mark.at:
            found[one] = mark
    return found
