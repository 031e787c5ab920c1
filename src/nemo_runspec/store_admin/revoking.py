"""``nemo-runspec revoke``."""

from __future__ import annotations

from nemo_runspec.command_line import FORMAT, Command, Flag, Given
from nemo_runspec.exceptions import UsageError
from nemo_runspec.store.lineage import descendants
from nemo_runspec.store_admin.opening import (
    acting_user,
    all_manifests,
    exact_reference,
    open_place,
    version_of,
)
from nemo_runspec.store_admin.text import human_time, plural, print_json

COMMAND = Command(
    "revoke",
    "NAME:vN",
    (
        "Says that a version must not be used any more, nor anything that was made from it: "
        "configs, plans, promote and art:// refuse them from now on. Lists them, and the aliases "
        "that need another version. Nothing is deleted, and it cannot be taken back.",
    ),
    (Flag(("--reason",), "why; whoever is refused reads it", "TEXT"), FORMAT),
    at_least=1,
    at_most=1,
    examples=("revoke books:v3 --reason 'contains the test set'",),
)


def run(given: Given) -> int:
    """Revokes a version."""
    reference = exact_reference(given.arguments[0], COMMAND.name)
    reason = given.value("--reason")
    if reason is None:
        raise UsageError(f"revoke: why? Write revoke {reference} --reason TEXT")
    place = open_place(given)
    store, name = place.store, reference.name
    version = version_of(place, reference)
    before = store.is_revoked(name, version)
    tombstone = store.revoke(name, version, by=acting_user(), reason=reason)
    below = descendants(all_manifests(place), name, version)
    refused = {(name, version), *((each.name, each.version) for each in below)}
    aliases = [
        f"{each}:{alias}"
        for each in sorted({each for each, _ in refused})
        for alias, number in sorted(store.aliases(each).items())
        if (each, number) in refused
    ]
    if given.value("--format") == "json":
        document = {
            "revoked": f"{name}:v{version}",
            "by": tombstone.by,
            "at": tombstone.at,
            "reason": tombstone.reason,
            "descendants": [each.reference for each in below],
            "aliases": aliases,
        }
        print_json(document)
        return 0
    if before is None:
        print(f"{name}:v{version} is revoked: {reason}")
    else:
        when = human_time(before.at)
        print(f"{name}:v{version} was revoked already by {before.by}, {when}: {before.reason}")
    if below:
        print(f"refused with it, as made from it: {plural(len(below), 'version')}")
        for each in below:
            print(f"  {each.reference}")
    if aliases:
        print("aliases that mean one of these; promote another version:")
        for alias in aliases:
            print(f"  {alias}")
    return 0
