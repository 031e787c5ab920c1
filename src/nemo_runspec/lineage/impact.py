"""`nemo-runspec impact`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from nemo_runspec.command_line import FORMAT, PROFILE, Command, Given, run_parsed
from nemo_runspec.costs.past import add_up, cost_text
from nemo_runspec.lineage.losing import Again, Fate, Impact, impact_of
from nemo_runspec.masking import mask_secrets
from nemo_runspec.store_admin.opening import find_readable, made_by, open_place
from nemo_runspec.store_admin.text import human_time, plural, print_json, print_table

SCHEMA = "1"
_MOST_SHOWN = 20

IMPACT = Command(
    "impact",
    "NAME[:vN|:ALIAS]",
    (
        "Tells what is lost if the data of a version is deleted: what was made from it, the "
        "aliases and the keys that stand on it, what of that can be made again and for how many "
        "GPU-hours, and what cannot, with the reason. Deletes nothing.",
        "What was made from it keeps its own data; it is what can no longer be made again, or "
        "not without making this one first.",
    ),
    (FORMAT, PROFILE),
    at_least=1,
    at_most=1,
    examples=("impact books:v3", "impact sft-model:prod --format json"),
)


def run_impact(arguments: Sequence[str]) -> int:
    """``nemo-runspec impact``; returns the exit code."""
    return run_parsed(IMPACT, _run, arguments)


def _run(given: Given) -> int:
    place = open_place(given)
    manifest = find_readable(place, given.arguments[0])
    found = impact_of(place.store, manifest.name, manifest.version)
    if given.value("--format") == "json":
        print_json(_document(found))
    else:
        _print(found)
    return 0


def _print(found: Impact) -> None:
    subject = found.subject
    manifest = subject.manifest
    print(f"{manifest.reference}  {manifest.type}")
    path = mask_secrets(manifest.path)
    print(f"  {human_time(manifest.created_at)} by {made_by(manifest)}, at {path}")
    if not subject.is_there:
        print("  its data is gone already")
    print()
    print(_subject_in_words(found))
    if found.keys:
        print(f"It answers {plural(len(found.keys), 'key')}: a build with one would run again.")
    if found.aliases:
        print("Aliases that stand on it:")
        for alias, meant in found.aliases.items():
            print(f"  {alias} is {meant}")
    print()
    if not found.below:
        print("Nothing was made from it.")
        return
    types = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.types().items()))
    print(f"Made from it: {plural(len(found.below), 'version')} ({types})")
    rows = [
        [each.manifest.reference, each.manifest.type, cost_text(each.cost) or "-", _again(each)]
        for each in found.below[:_MOST_SHOWN]
    ]
    print_table(["VERSION", "TYPE", "TOOK", "MADE AGAIN"], rows, right="TOOK")
    if len(found.below) > _MOST_SHOWN:
        print(f"and {len(found.below) - _MOST_SHOWN:,} more; --format json has them all")
    print()
    print(_total(found))


def _subject_in_words(found: Impact) -> str:
    subject = found.subject
    cost = _cost([*found.first, subject])
    if subject.again is Again.NO:
        return f"It cannot be made again: {subject.why}."
    first = ", ".join(each.manifest.reference for each in found.first)
    behind = f", after {first}" if first else ""
    perhaps = "" if subject.again is Again.YES else f", if at all: {subject.why}"
    commit = str(subject.manifest.run.get("commit"))[:10]
    return f"It can be made again from commit {commit}{behind}{perhaps}: {cost}."


def _total(found: Impact) -> str:
    able = [each for each in found.below if each.again is not Again.NO]
    lost = len(found.below) - len(able)
    if not able:
        return "None of these could be made again."
    if found.subject.again is Again.NO:
        text = f"Without it {len(able):,} of these can still be made again: {_cost(able)}"
    else:
        cost = _cost([*found.first, found.subject, *able])
        text = f"Making it and {len(able):,} of these again: {cost}"
    return f"{text}; {lost:,} could not be." if lost else f"{text}."


def _cost(fates: Iterable[Fate]) -> str:
    return add_up(each.cost for each in fates).text()


def _again(fate: Fate) -> str:
    return fate.again.value if fate.again is Again.YES else f"{fate.again.value}: {fate.why}"


def _document(found: Impact) -> dict[str, Any]:
    able = [each for each in (found.subject, *found.below) if each.again is not Again.NO]
    first = () if found.subject.again is Again.NO else found.first
    return {
        "schema": SCHEMA,
        "version": _fate_document(found.subject),
        "made_from_it": [_fate_document(each) for each in found.below],
        "first": [each.manifest.reference for each in found.first],
        "aliases": dict(found.aliases),
        "keys": list(found.keys),
        "gpu_hours": add_up(each.cost for each in (*first, *able)).gpu_hours,
        "lost": [
            each.manifest.reference
            for each in (found.subject, *found.below)
            if each.again is Again.NO
        ],
    }


def _fate_document(fate: Fate) -> dict[str, Any]:
    return {
        "reference": fate.manifest.reference,
        "type": fate.manifest.type,
        "again": fate.again.value,
        "why": fate.why,
        "is_there": fate.is_there,
        "gpu_hours": fate.cost.gpu_hours,
        "seconds": fate.cost.seconds,
    }
