"""What is lost when the data of a version is deleted, and what making it again takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from nemo_runspec.costs.past import Cost
from nemo_runspec.lineage.graph import in_order
from nemo_runspec.lineage.marks import read_aliases
from nemo_runspec.lineage.nodes import spent_of
from nemo_runspec.lineage.words import as_cost
from nemo_runspec.store.lineage import VersionId, ancestors, descendants, made_from
from nemo_runspec.store.model import Manifest
from nemo_runspec.store.store import Store
from nemo_runspec.store.survey import survey


class Again(str, Enum):
    """Whether a version can be made again."""

    YES = "yes"
    """Its recipe, commit, config and inputs are known."""
    PERHAPS = "perhaps"
    """It was made from a working tree with changes: as long as somebody has those."""
    NO = "no"


@dataclass(frozen=True)
class Fate:
    """What becomes of a version when its data is not there.

    Attributes:
        manifest: the version.
        again: whether it can be made again.
        why: what speaks against it; empty for :attr:`Again.YES`.
        is_there: whether its data is there now, as far as the store knows.
        cost: what making it took.
    """

    manifest: Manifest
    again: Again
    why: str
    is_there: bool
    cost: Cost


@dataclass(frozen=True)
class Impact:
    """What stands on a version.

    Attributes:
        subject: the version itself.
        below: the versions that were made from it, in the order in which they would be made.
        first: what has to be made again before it, as its data is gone: in that order.
        aliases: that mean the version or one below, ``name:alias`` with ``name:vN``.
        keys: the keys that the version answers: a build with one of them would be made anew.
    """

    subject: Fate
    below: tuple[Fate, ...]
    first: tuple[Fate, ...]
    aliases: Mapping[str, str]
    keys: tuple[str, ...]

    def types(self) -> Counter[str]:
        """How many versions of each class were made from it."""
        return Counter(each.manifest.type for each in self.below)


def impact_of(store: Store, name: str, version: int) -> Impact:
    """What stands on a version, from the manifests of the whole store.

    Args:
        store: the store.
        name: the artifact's name.
        version: the version's number.

    Raises:
        ArtifactNotFoundError: there is no such artifact.
        ArtifactVersionNotFoundError: it has no such version.
        StoreError: the store cannot be read, or a manifest is broken.
    """
    seen = survey(store)
    manifests = store.manifests(seen.versions)
    subject = (name, version)
    if subject not in manifests:
        store.manifest(name, version)  # says what there is instead
    below = [(each.name, each.version) for each in descendants(manifests, name, version)]
    above = list(ancestors(manifests, [subject, *below]))
    order = _in_order(sorted({*above, subject, *below}), manifests)
    fates = _fates(order, manifests, seen.gone, subject)
    wanted = {subject, *below}
    aliases = read_aliases(store, seen, {each for each, _ in wanted})
    return Impact(
        subject=fates[subject],
        below=tuple(fates[one] for one in order if one in wanted and one != subject),
        first=tuple(_first(order, manifests, fates, subject)),
        aliases={
            f"{each}:{alias}": f"{each}:v{number}"
            for (each, number), found in sorted(aliases.items())
            if (each, number) in wanted
            for alias in found
        },
        keys=tuple(_keys(store, seen.keys.get(name, ()), subject)),
    )


def _in_order(
    versions: Sequence[VersionId], manifests: Mapping[VersionId, Manifest]
) -> list[VersionId]:
    ids = {f"{name}:v{number}": (name, number) for name, number in versions}
    above = {
        one: [f"{name}:v{number}" for name, number in made_from(manifests[version])]
        for one, version in ids.items()
        if version in manifests
    }
    return [ids[one] for one in in_order(list(ids), above)]


def _fates(
    order: Sequence[VersionId],
    manifests: Mapping[VersionId, Manifest],
    gone: frozenset[VersionId],
    subject: VersionId,
) -> dict[VersionId, Fate]:
    """The fate of each, those above it known by then."""
    fates: dict[VersionId, Fate] = {}
    for one in order:
        manifest = manifests.get(one)
        if manifest is None:
            continue  # another store has it
        again, why = _own_fate(manifest)
        for above in made_from(manifest):
            fate = fates.get(above)
            if fate is None:
                if above not in manifests:
                    again, why = _worse(again, why, Again.NO, f"{_text(above)} is in another store")
            elif above == subject or not fate.is_there:
                what = "cannot be made again" if fate.again is Again.NO else "may not be the same"
                if fate.again is not Again.YES:
                    again, why = _worse(again, why, fate.again, f"{_text(above)} {what}")
        fates[one] = Fate(manifest, again, why, one not in gone, as_cost(spent_of(manifest)))
    return fates


def _own_fate(manifest: Manifest) -> tuple[Again, str]:
    run = manifest.run
    if manifest.key is None or not (run.get("recipe") or run.get("address")):
        return Again.NO, "it was logged by hand: what makes it is not known"
    if not run.get("commit"):
        return Again.NO, "the commit that it was made from is not known"
    if run.get("dirty"):
        return Again.PERHAPS, f"commit {str(run['commit'])[:10]} had changes that were not in it"
    return Again.YES, ""


def _worse(again: Again, why: str, other: Again, reason: str) -> tuple[Again, str]:
    order = (Again.YES, Again.PERHAPS, Again.NO)
    return (other, reason) if order.index(other) > order.index(again) else (again, why)


def _first(
    order: Sequence[VersionId],
    manifests: Mapping[VersionId, Manifest],
    fates: Mapping[VersionId, Fate],
    subject: VersionId,
) -> list[Fate]:
    """What of the inputs is gone itself, and of theirs, down to what is there."""
    needed: set[VersionId] = set()
    waiting = [subject]
    while waiting:
        for above in made_from(manifests[waiting.pop()]):
            fate = fates.get(above)
            if fate is not None and not fate.is_there and above not in needed | {subject}:
                needed.add(above)
                waiting.append(above)
    return [fates[one] for one in order if one in needed]


def _keys(store: Store, keys: Sequence[str], subject: VersionId) -> list[str]:
    name, version = subject
    records = store.find_keys([(name, key) for key in keys])
    return sorted(key for (_, key), record in records.items() if record.version == version)


def _text(one: VersionId) -> str:
    return f"{one[0]}:v{one[1]}"
