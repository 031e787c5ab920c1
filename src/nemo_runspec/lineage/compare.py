"""What two versions differ in, and what those that they were made from differ in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nemo_runspec.artifacts.metrics import last_values
from nemo_runspec.lineage.marks import read_notes
from nemo_runspec.lineage.nodes import numbers
from nemo_runspec.lineage.words import commit_in_words
from nemo_runspec.masking import mask_secrets
from nemo_runspec.pipeline.reason import Category, Reason, diff_parts
from nemo_runspec.store.lineage import VersionId, made_from
from nemo_runspec.store.model import Manifest
from nemo_runspec.store.store import Store

_FACTS = ("user", "host", "profile", "nodes", "gpus", "seconds", "gpu_hours")
# Of a chain of inputs; what is above that is told by comparing two versions of it.
_MOST_PAIRS = 50


@dataclass(frozen=True)
class Pair:
    """Two versions, the newer as it was asked for first.

    Attributes:
        new: the version that is explained.
        old: the one that it is compared with.
        reasons: what of the one's key was otherwise in the other's, most telling first.
    """

    new: Manifest
    old: Manifest
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Change:
    """A fact or a number of two versions; None where one lacks it."""

    old: Any
    new: Any


@dataclass(frozen=True)
class Comparison:
    """Two versions, side by side.

    Attributes:
        pair: them.
        above: the pairs of versions that they were made from and that differ, nearest first.
        metrics: numbers that differ, by name.
        facts: of their jobs, those that differ: commit, user, host, profile, what it took.
        same_content: whether the data is the same; None where nobody knows.
    """

    pair: Pair
    above: tuple[Pair, ...] = ()
    metrics: Mapping[str, Change] = field(default_factory=dict)
    facts: Mapping[str, Change] = field(default_factory=dict)
    same_content: bool | None = None


def compare(store: Store, new: Manifest, old: Manifest) -> Comparison:
    """Compare two versions, of one artifact or of two.

    Args:
        store: the store that has them.
        new: the version to explain.
        old: the version to compare it with.

    Raises:
        StoreError: a manifest above them, or what is attached to them, cannot be read.
    """
    first = _pair(new, old)
    above: list[Pair] = []
    seen: set[tuple[VersionId, VersionId]] = set()
    waiting = deque([first])
    while waiting and len(above) < _MOST_PAIRS:
        here = waiting.popleft()
        wanted = [each for each in _inputs_that_differ(here) if each not in seen]
        seen.update(wanted)
        manifests = store.manifests({one for both in wanted for one in both})
        for after, before in wanted:
            if after in manifests and before in manifests:
                pair = _pair(manifests[after], manifests[before])
                above.append(pair)
                waiting.append(pair)
    contents = (new.content, old.content)
    return Comparison(
        first,
        tuple(above),
        _changes(_metrics(store, old), _metrics(store, new)),
        _changes(_facts(old), _facts(new)),
        None if None in contents else contents[0] == contents[1],
    )


def _pair(new: Manifest, old: Manifest) -> Pair:
    by_hand = [each for each in (new, old) if each.parts is None]
    if by_hand:
        return Pair(new, old, tuple(_unknown(new, old, by_hand)))
    reasons = diff_parts(
        old.parts or {}, new.parts or {}, old_explain=old.explain, new_explain=new.explain
    )
    return Pair(new, old, tuple(reasons))


def _unknown(new: Manifest, old: Manifest, by_hand: list[Manifest]) -> Iterator[Reason]:
    for name, (before, after) in _used_by_both(new, old).items():
        yield Reason(Category.INPUT, name, before, after)
    for each in by_hand:
        why = f"{each.reference} was logged by hand: what else it was made from is not known"
        yield Reason(Category.UNKNOWN, why)


def _used_by_both(new: Manifest, old: Manifest) -> dict[str, tuple[str | None, str | None]]:
    """The inputs that differ, by name: their versions."""
    was, is_now = _versions_by_name(old), _versions_by_name(new)
    return {
        name: (was.get(name), is_now.get(name))
        for name in dict.fromkeys((*is_now, *was))
        if was.get(name) != is_now.get(name)
    }


def _versions_by_name(manifest: Manifest) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for name, version in made_from(manifest):
        found.setdefault(name, []).append(f"v{version}")
    return {name: ", ".join(versions) for name, versions in found.items()}


def _inputs_that_differ(pair: Pair) -> list[tuple[VersionId, VersionId]]:
    """What both were made from in different versions that do not count as the same."""
    was, is_now = dict(_single(pair.old)), dict(_single(pair.new))
    same = _same_identities(pair)
    return [
        ((name, is_now[name]), (name, was[name]))
        for name in is_now
        if name in was
        and was[name] != is_now[name]
        and not any(name == each or name.endswith(f"/{each}") for each in same)
    ]


def _single(manifest: Manifest) -> Iterator[tuple[str, int]]:
    """The artifacts that a version uses one version of."""
    versions: dict[str, list[int]] = {}
    for name, version in made_from(manifest):
        versions.setdefault(name, []).append(version)
    return ((name, each[0]) for name, each in versions.items() if len(each) == 1)


def _same_identities(pair: Pair) -> set[str]:
    """The inputs that count as the same in both: other versions of the same content."""
    was, is_now = _identities(pair.old), _identities(pair.new)
    return {name for name, identity in is_now.items() if was.get(name) == identity}


def _identities(manifest: Manifest) -> dict[str, Any]:
    return {str(each[1]): each[2] for each in (manifest.parts or {}).get("inputs") or ()}


def _metrics(store: Store, manifest: Manifest) -> dict[str, float]:
    series, _ = read_notes(store, (manifest.name, manifest.version))
    return {**numbers(mask_secrets(manifest.metadata)), **last_values(series)}


def _facts(manifest: Manifest) -> dict[str, Any]:
    run = manifest.run
    commit = commit_in_words(run)
    told = {key: run[key] for key in _FACTS if run.get(key) is not None}
    return {**({"commit": commit} if commit else {}), **told}


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Change]:
    return {
        key: Change(old.get(key), new.get(key))
        for key in dict.fromkeys((*new, *old))
        if old.get(key) != new.get(key)
        # NaN differs from itself.
        and not (old.get(key) != old.get(key) and new.get(key) != new.get(key))
    }
