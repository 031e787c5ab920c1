"""``nemo-runspec store ls``."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Sequence
from typing import Any

from nemo_runspec.command_line import FORMAT, Command, Flag, Given
from nemo_runspec.exceptions import ArtifactError
from nemo_runspec.store import Manifest
from nemo_runspec.store_admin.data import Data
from nemo_runspec.store_admin.opening import Place, made_by, not_found, open_place
from nemo_runspec.store_admin.text import human_size, human_time, print_json, print_table

COMMAND = Command(
    "store ls",
    "[NAME-GLOB …]",
    (
        "Lists the artifacts of the store: the latest version of each, how many there are, the "
        "aliases, when and by whom the latest was made.",
        "With a namespace in [artifacts] of env.toml, sft-model finds the team's sft-model and "
        "your own user/YOU/sft-model.",
    ),
    (Flag(("--size",), "also the size of the latest version's data"), FORMAT),
    at_most=None,
    examples=(
        "store ls",
        "store ls 'nano3/*' --size",
        "store ls --format json --store s3://bucket/artifacts",
    ),
)


def run(given: Given) -> int:
    """Lists artifacts."""
    place = open_place(given)
    names = _matching(place, given.arguments)
    with_size = given.has("--size")
    found = place.map(lambda name: _describe(place, name, with_size), names)
    documents = [each for each in found if isinstance(each, dict)]
    if given.value("--format") == "json":
        print_json(documents)
    elif documents:
        _print(documents, with_size)
    elif given.arguments:
        print(f"nothing in {place.store.root} matches {' '.join(given.arguments)}")
    else:
        print(f"no artifacts in {place.store.root} yet")
    broken = [each for each in found if isinstance(each, ArtifactError)]
    for error in broken:
        print(f"error: {error}", file=sys.stderr)
    return 1 if broken else 0


def _describe(place: Place, name: str, with_size: bool) -> dict[str, Any] | ArtifactError:
    """An artifact, or what is wrong with it: the others are listed all the same."""
    try:
        return _document(place, _latest(place, name), with_size)
    except ArtifactError as error:
        return error


def _document(place: Place, manifest: Manifest, with_size: bool) -> dict[str, Any]:
    document = {
        "name": manifest.name,
        "latest": manifest.version,
        "versions": len(place.store.versions(manifest.name)),
        "aliases": dict(sorted(place.store.aliases(manifest.name).items())),
        "created_at": manifest.created_at,
        "by": made_by(manifest),
        "type": manifest.type,
        "path": manifest.path,
    }
    if with_size:
        document["size"] = Data(manifest.path, place.options_for(manifest.path)).size()
    return document


def _latest(place: Place, name: str) -> Manifest:
    found = place.store.latest_manifests([name])
    if name not in found:
        raise not_found(place, name)
    return found[name]


def _matching(place: Place, patterns: Sequence[str]) -> list[str]:
    names = [] if place.is_empty_default else place.store.names()
    if not patterns:
        return names
    found: set[str] = set()
    for pattern in patterns:
        matches = {name for name in names if _matches(name, pattern, place.namespace)}
        if not matches and not any(char in pattern for char in "*?["):
            raise not_found(place, pattern)
        found |= matches
    return [name for name in names if name in found]


def _matches(name: str, pattern: str, namespace: str | None) -> bool:
    own = name.removeprefix(f"{namespace}/") if namespace else name
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(own, pattern)


def _print(documents: Sequence[dict[str, Any]], with_size: bool) -> None:
    headers = ["NAME", "LATEST", "VERSIONS", "ALIASES", "WHEN", "BY"]
    rows = [
        [
            each["name"],
            f"v{each['latest']}",
            str(each["versions"]),
            ", ".join(f"{alias}=v{version}" for alias, version in each["aliases"].items()) or "-",
            human_time(each["created_at"]),
            each["by"],
        ]
        for each in documents
    ]
    if with_size:
        headers.append("SIZE")
        rows = [[*row, human_size(each["size"])] for row, each in zip(rows, documents, strict=True)]
    print_table(headers, rows, right="LATEST VERSIONS SIZE", whole="WHEN")
