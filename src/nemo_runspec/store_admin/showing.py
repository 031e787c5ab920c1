"""``nemo-runspec store show``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from nemo_runspec.artifacts.cards import cards_of
from nemo_runspec.artifacts.metrics import METRICS, last_values, read_metrics
from nemo_runspec.artifacts.plain import plain_json
from nemo_runspec.command_line import FORMAT, Command, Given
from nemo_runspec.store import Manifest
from nemo_runspec.store.lineage import Revocation, revoked_ancestor
from nemo_runspec.store_admin.data import Data, DataError
from nemo_runspec.store_admin.opening import Place, find_readable, made_by, open_place
from nemo_runspec.store_admin.text import human_size, human_time, print_fields, print_json

COMMAND = Command(
    "store show",
    "NAME[:vN|:ALIAS]",
    (
        "Shows one version, by default the latest: where its data is, who made it from what, its "
        "key and what that was made of, who accepted other keys for it, its aliases and their "
        "history, the metrics and cards of its job, whether it was revoked or its data is gone.",
    ),
    (FORMAT,),
    at_least=1,
    at_most=1,
    examples=("store show sft-model", "store show sft-model:prod --format json"),
)


# Shown by --format json alone.
_FOR_PROGRAMS = frozenset({"digested"})


def run(given: Given) -> int:
    """Shows a version."""
    place = open_place(given)
    manifest = find_readable(place, given.arguments[0])
    document = describe(place, manifest)
    if given.value("--format") == "json":
        print_json(document)
    else:
        print(manifest.reference)
        print_fields(_fields(document))
    return 0


def describe(place: Place, manifest: Manifest) -> dict[str, Any]:
    """All that is known of a version, as JSON has it."""
    store, name, version = place.store, manifest.name, manifest.version
    accepted = {
        key: dict(record.accepted)
        for key, record in sorted(store.keys(name).items())
        if record.version == version and record.accepted is not None
    }
    records = {alias: store.alias_record(name, alias) or {} for alias in store.aliases(name)}
    histories = {alias: _history(record) for alias, record in records.items()}
    attached = store.attached(name, version)
    document: dict[str, Any] = {
        "name": name,
        "version": version,
        "is_latest": store.latest(name) == version,
        "type": manifest.type,
        "path": manifest.path,
        "size": _size(place, manifest),
        "created_at": manifest.created_at,
        "by": made_by(manifest),
        "producer": manifest.producer,
        "used_artifacts": list(manifest.used_artifacts),
        "inputs": list(manifest.inputs),
        "content": manifest.content,
        "key": manifest.key,
        "accepted_keys": accepted,
        "aliases": {
            alias: history
            for alias, history in sorted(histories.items())
            if any(entry.get("version") == version for entry in history)
        },
        "revoked": _revoked(revoked_ancestor(store, name, version)),
        "gone": store.gone(name, version),
        "run": dict(manifest.run),
        "metadata": dict(manifest.metadata),
        "metrics": {
            metric: plain_json(value)
            for metric, value in last_values(read_metrics(attached.get(METRICS))).items()
        },
        "cards": [each.title for each in cards_of(attached)],
        "parts": None if manifest.parts is None else dict(manifest.parts),
        "extra": dict(manifest.extra),
    }
    return document


def _history(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an alias pointed to, the last entry being what it points to now."""
    entries = record.get("history") or [record]
    known = ("version", "by", "at", "reason")
    return [{key: each[key] for key in known if each.get(key) is not None} for each in entries]


def _revoked(found: Revocation | None) -> dict[str, str] | None:
    if found is None:
        return None
    stone = found.tombstone
    return {
        "reference": found.reference,
        "by": stone.by,
        "at": stone.at,
        "reason": stone.reason,
    }


def _size(place: Place, manifest: Manifest) -> int | None:
    try:
        return Data(manifest.path, place.options_for(manifest.path)).size()
    except DataError:
        # Shown as unknown: a version can be looked at where its data cannot be reached.
        return None


def _fields(document: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    reference = f"{document['name']}:v{document['version']}"
    revoked = document["revoked"]
    if revoked:
        above = revoked["reference"]
        what = "" if above == reference else f"made from {above}, revoked "
        yield (
            "revoked",
            f"{what}by {revoked['by']}, {human_time(revoked['at'])}: {revoked['reason']}",
        )
    if document["gone"]:
        yield "gone", document["gone"]
    yield "type", document["type"]
    latest = "" if document["is_latest"] else " (not the latest)"
    yield "made", f"{human_time(document['created_at'])} by {document['by']}{latest}"
    facts = document["run"]
    cost = [
        f"{facts[key]:g} {unit if facts[key] != 1 else unit.removesuffix('s') or unit}"
        for key, unit in (("seconds", "s"), ("nodes", "nodes"), ("gpu_hours", "GPU-hours"))
        if isinstance(facts.get(key), (int, float))
    ]
    if cost:
        yield "took", ", ".join(cost)
    for key in ("address", "recipe", "profile", "bundle", "job"):
        if facts.get(key):
            yield key, str(facts[key])
    if facts.get("commit"):
        yield "commit", f"{facts['commit']}{' and changes' if facts.get('dirty') else ''}"
    size = document["size"]
    yield "data", f"{document['path']}{'' if size is None else f' ({human_size(size)})'}"
    yield from ((label, value) for label, value in _origins(document) if value)
    for alias, history in document["aliases"].items():
        yield f"alias {alias}", "; ".join(map(_entry, reversed(history)))
    for key, accepted in document["accepted_keys"].items():
        yield "accepted", f"{key}, by {_who(accepted)}"
    yield from _tree("metadata", document["metadata"])
    yield from _tree("metrics", document["metrics"])
    if document["cards"]:
        yield "cards", ", ".join(document["cards"])
    yield from _tree("key parts", document["parts"])
    yield from _tree("more", {k: v for k, v in document["extra"].items() if k not in _FOR_PROGRAMS})


def _origins(document: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield "made from", ", ".join((*document["used_artifacts"], *document["inputs"]))
    yield "content", document["content"] or ""
    yield "key", document["key"] or ""


def _entry(entry: Mapping[str, Any]) -> str:
    return f"v{entry['version']} by {_who(entry)}"


def _who(entry: Mapping[str, Any]) -> str:
    reason = f": {entry['reason']}" if entry.get("reason") else ""
    by, at = str(entry.get("by", "unknown")), human_time(str(entry.get("at", "")))
    return f"{by}, {at}{reason}"


def _tree(label: str, values: Mapping[str, Any] | None) -> Iterable[tuple[str, str]]:
    if not values:
        return
    yield label, ""
    for key, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield f"  {key}", text
