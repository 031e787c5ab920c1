"""``nemo-runspec store gc``."""

from __future__ import annotations

import json
import os
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from nemo_runspec.command_line import FORMAT, STORE, Command, Flag, Given
from nemo_runspec.exceptions import ArtifactError
from nemo_runspec.pipeline.in_use import is_in_use, names_in_use
from nemo_runspec.store import Manifest
from nemo_runspec.store.lineage import VersionId, ancestors
from nemo_runspec.store_admin.bundles import unused_bundles
from nemo_runspec.store_admin.data import Data, DataError, contains, overlap
from nemo_runspec.store_admin.opening import (
    Place,
    acting_user,
    all_manifests,
    now,
    open_place,
)
from nemo_runspec.store_admin.text import (
    human_size,
    human_time,
    parse_time,
    plural,
    print_json,
    print_table,
)

DEFAULT_DAYS = 30

COMMAND = Command(
    "store gc",
    "",
    (
        "Frees the data of versions that nothing needs any more. Only folders that builds made for "
        "themselves are freed, never what was added or written elsewhere. What stays: the latest "
        "version of each artifact, what an alias means, the answer to a key that was recorded in "
        "the last N days, what a running pipeline is about, and all that these were made from.",
        "Also marks versions whose data somebody else deleted, and frees job bundles below "
        ".runspec/jobs that no job uses (not with --store) and numbers that a killed writer took. "
        "The versions themselves stay, with their metadata and lineage.",
        "Without --yes it says what it would do, and changes nothing.",
    ),
    (
        Flag(("--yes", "-y"), "do it"),
        Flag(("--days",), f"how long a key keeps its version; default: {DEFAULT_DAYS}", "N"),
        Flag(("--keep",), "also keep the newest K versions of each artifact", "K"),
        FORMAT,
    ),
    examples=("store gc", "store gc --days 7 --keep 3", "store gc --yes"),
)


@dataclass(frozen=True)
class Garbage:
    """A folder that nothing needs.

    Attributes:
        path: where it is.
        versions: those whose data it holds.
        size: its bytes; None if it cannot be told.
        made: when the newest of the versions was made.
    """

    path: str
    versions: tuple[Manifest, ...]
    size: int | None
    made: str


@dataclass(frozen=True)
class Findings:
    """What there is to do.

    Attributes:
        garbage: folders to free.
        deleted: versions whose data somebody else deleted.
        unseen: versions whose data is not to be seen from here, with the reason.
        claims: numbers that killed writers took.
        bundles: job bundles that no job uses, and their bytes.
        kept: how many versions stay, by reason.
    """

    garbage: tuple[Garbage, ...]
    deleted: tuple[Manifest, ...]
    unseen: tuple[tuple[Manifest, str], ...]
    claims: tuple[VersionId, ...]
    bundles: tuple[tuple[Path, int], ...]
    kept: Mapping[str, int]

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.garbage or self.deleted or self.claims or self.bundles)

    @property
    def size(self) -> int:
        """How many bytes are to be freed."""
        return sum(each.size or 0 for each in self.garbage) + sum(size for _, size in self.bundles)


@dataclass(frozen=True)
class Policy:
    """What is kept.

    Attributes:
        since: keys that were recorded from then on keep their version.
        newest: so many versions of each artifact stay.
    """

    since: datetime
    newest: int


def run(given: Given) -> int:
    """Collects garbage, or says what there is."""
    days = timedelta(days=min(given.number("--days", DEFAULT_DAYS), _MOST_DAYS))
    policy = Policy(datetime.now(timezone.utc) - days, given.number("--keep", 0))
    place = open_place(given)
    found = find_garbage(place, policy, with_bundles=not given.has(STORE.names[0]))
    failures = _collect(place, policy, found) if given.has("--yes") else []
    if given.value("--format") == "json":
        print_json({**_document(found), "done": given.has("--yes"), "failures": failures})
    else:
        _print(found, is_done=given.has("--yes"), failures=failures)
    return 1 if failures else 0


def find_garbage(place: Place, policy: Policy, *, with_bundles: bool = True) -> Findings:
    """What nothing needs any more; changes nothing.

    Args:
        place: the store.
        policy: what is kept.
        with_bundles: whether the job bundles of this repository are looked at.

    Raises:
        StoreFormatError: a manifest is broken, so that what it needs is not known.
    """
    manifests = all_manifests(place)
    numbers: dict[str, list[int]] = {}
    for name, version in sorted(manifests):
        numbers.setdefault(name, []).append(version)
    running = names_in_use(place.store)
    own = place.map(lambda each: needed(place, each, numbers[each], policy, running), numbers)
    kept = {
        (name, version): reason
        for name, found in zip(numbers, own, strict=True)
        for version, reason in found.items()
    }
    for one in ancestors(manifests, tuple(kept)):
        if one in manifests:
            kept.setdefault(one, "lineage")

    kept_paths = [manifests[one].path for one in kept]
    folders: dict[str, list[Manifest]] = {}
    deleted: list[Manifest] = []
    unseen: list[tuple[Manifest, str]] = []
    reasons = Counter(kept.values())
    ordered = sorted(manifests)
    marks = place.map(lambda one: place.store.gone(*one), ordered)
    sights = place.map(lambda one: _look(place, manifests[one]), ordered)
    for one, mark, presence in zip(ordered, marks, sights, strict=True):
        manifest, is_marked = manifests[one], mark is not None
        if presence is not None:
            if not is_marked and presence:
                unseen.append((manifest, presence))
            elif not is_marked:
                deleted.append(manifest)
        elif one not in kept:
            if not manifest.extra.get("owned"):
                reasons["not ours to free"] += 1
            elif not _may_be_freed(place, manifest.path):
                reasons["holds the store or this folder"] += 1
            elif _is_unfinished(manifest.path, policy.since):
                reasons["of a build that goes on"] += 1
            elif any(overlap(manifest.path, path) for path in kept_paths):
                reasons["shares its folder with one that stays"] += 1
            else:
                folders.setdefault(manifest.path, []).append(manifest)
    return Findings(
        garbage=tuple(_garbage(place, folders)),
        deleted=tuple(deleted),
        unseen=tuple(unseen),
        claims=tuple(_dead_claims(place, numbers)),
        bundles=tuple(unused_bundles([manifests[one] for one in kept], policy.since))
        if with_bundles
        else (),
        kept=dict(reasons),
    )


def needed(
    place: Place, name: str, versions: Iterable[int], policy: Policy, running: frozenset[str]
) -> dict[int, str]:
    """The versions of an artifact that stay for their own sake, and why, as the store says now."""
    store = place.store
    ordered = sorted(versions)
    found = dict.fromkeys(ordered if is_in_use(name, running) else (), "of a pipeline that runs")
    found.update(
        dict.fromkeys(ordered[len(ordered) - policy.newest :] if policy.newest else (), "newest")
    )
    for record in store.keys(name).values():
        recorded = parse_time(record.created_at)
        if recorded is None or recorded >= policy.since:
            found[record.version] = "key"
    found.update(dict.fromkeys(store.aliases(name).values(), "alias"))
    latest = store.latest(name)
    if latest is not None:
        found[latest] = "latest"
    return found


def _look(place: Place, manifest: Manifest) -> str | None:
    """None when a version's data is there, "" when it was deleted, else why nobody can tell."""
    data = Data(manifest.path, place.options_for(manifest.path))
    try:
        if data.exists():
            return None
    except DataError as error:
        return str(error)
    host = manifest.run.get("host")
    if data.local is None or host == socket.gethostname() or data.local.parent.is_dir():
        return ""
    # A folder of another machine, or a mount that this one lacks, is not deleted.
    return f"{manifest.path} is not on this machine{f'; it was made on {host}' if host else ''}"


def _is_unfinished(path: str, since: datetime) -> bool:
    """Whether a path lies in the output folder of a build that is at work or can be resumed."""
    local = Data(path).local
    for folder in () if local is None else (local, *local.parents):
        if folder.name.isdecimal():
            # As nemo_runspec.pipeline.outputs keeps it.
            marker = folder.with_name(f"{folder.name}.json")
            try:
                document = json.loads(marker.read_text(encoding="utf-8"))
                changed = datetime.fromtimestamp(marker.stat().st_mtime, timezone.utc)
            except (OSError, ValueError):
                continue
            if isinstance(document, dict) and "recorded" in document:
                return document["recorded"] is None and changed >= since
    return False


def _may_be_freed(place: Place, path: str) -> bool:
    """Whether removing a folder takes nothing with it that is no version's data."""
    return not any(contains(path, each) for each in (place.store.root, os.getcwd()))


def _garbage(place: Place, folders: Mapping[str, list[Manifest]]) -> Iterator[Garbage]:
    # A folder within another goes with it.
    outer: list[str] = []
    for path in sorted(folders, key=lambda each: (each.count("/"), each)):
        if not any(contains(each, path) for each in outer):
            outer.append(path)
    for path in outer:
        inside = [m for each, found in folders.items() if contains(path, each) for m in found]
        versions = tuple(sorted(inside, key=lambda each: (each.name, each.version)))
        size = Data(path, place.options_for(path)).size()
        yield Garbage(path, versions, size, max(each.created_at for each in versions))


def _dead_claims(place: Place, numbers: Mapping[str, Iterable[int]]) -> Iterator[VersionId]:
    for name in numbers:
        for version in place.store.dead_claims(name, _CLAIM_SECONDS):
            yield name, version


_MOST_DAYS = 100_000
# What a writer does between its claim and its manifest takes less than a second.
_CLAIM_SECONDS = 86_400.0


def _collect(place: Place, policy: Policy, found: Findings) -> list[str]:
    """Does it; gives back what could not be done."""
    store = place.store
    failures: list[str] = []
    for manifest in found.deleted:
        store.mark_gone(
            manifest.name, manifest.version, f"deleted by somebody; noticed by {acting_user()}"
        )
    for garbage in found.garbage:
        # Somebody may have promoted one of them meanwhile, or begun to build with it.
        again = [m for m in garbage.versions if _is_needed_now(place, m, policy)]
        if again:
            failures.append(f"{garbage.path}: stays, {again[0].reference} is needed now")
            continue
        # The mark first: half a folder must never look like a version's data.
        for manifest in garbage.versions:
            why = f"freed by store gc of {acting_user()}, {now()}"
            store.mark_gone(manifest.name, manifest.version, why)
        try:
            Data(garbage.path, place.options_for(garbage.path)).remove()
        except DataError as error:
            failures.append(str(error))
    for name, version in found.claims:
        store.drop_claim(name, version)
    for bundle, _ in found.bundles:
        try:
            Data(str(bundle)).remove()
        except DataError as error:
            failures.append(str(error))
    return failures


def _is_needed_now(place: Place, manifest: Manifest, policy: Policy) -> bool:
    try:
        versions = place.store.versions(manifest.name)
        running = names_in_use(place.store)
        return manifest.version in needed(place, manifest.name, versions, policy, running)
    except ArtifactError:
        return True


def _print(found: Findings, *, is_done: bool, failures: Iterable[str]) -> None:
    if found.garbage:
        print("freed:" if is_done else "to be freed:")
        rows = [
            [
                ", ".join(each.reference for each in garbage.versions),
                human_time(garbage.made),
                human_size(garbage.size),
                garbage.path,
            ]
            for garbage in found.garbage
        ]
        print_table(["VERSION", "MADE", "SIZE", "FOLDER"], rows, right="SIZE", whole="MADE")
    if found.deleted:
        print("marked as gone:" if is_done else "to be marked as gone, somebody deleted the data:")
        for manifest in found.deleted:
            print(f"  {manifest.reference}  {manifest.path}")
    for manifest, reason in found.unseen:
        print(f"left alone: {manifest.reference}: {reason}")
    for name, version in found.claims:
        print(f"number of a killed writer: {name} v{version}")
    for bundle, size in found.bundles:
        print(f"bundle that no job uses: {bundle} ({human_size(size)})")
    for failure in failures:
        print(f"not done: {failure}")
    if found.kept:
        parts = (f"{number:,} {reason}" for reason, number in sorted(found.kept.items()))
        print(f"{plural(sum(found.kept.values()), 'version')} kept: {', '.join(parts)}")
    if found.is_clean:
        print("nothing to free")
    elif is_done:
        print(f"freed {human_size(found.size)}")
    else:
        print(f"{human_size(found.size)} to be freed; `nemo-runspec store gc --yes` does it")


def _document(found: Findings) -> dict[str, Any]:
    return {
        "size": found.size,
        "garbage": [
            {
                "path": garbage.path,
                "versions": [each.reference for each in garbage.versions],
                "size": garbage.size,
                "made": garbage.made,
            }
            for garbage in found.garbage
        ],
        "deleted": [each.reference for each in found.deleted],
        "unseen": [{"version": each.reference, "reason": why} for each, why in found.unseen],
        "claims": [f"{name}:v{version}" for name, version in found.claims],
        "bundles": [{"path": str(path), "size": size} for path, size in found.bundles],
        "kept": dict(found.kept),
    }
