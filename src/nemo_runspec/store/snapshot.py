"""What a plan needs of a bucket, read ahead in few requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nemo_runspec.store.backend import Backend
from nemo_runspec.store.documents import read_key
from nemo_runspec.store.model import KeyRecord, Manifest
from nemo_runspec.store.numbering import VERSION_FOLDER, Numbering

# A listing answers 1,000 files a page, one page after the other; asking for each artifact's files
# costs three rounds of many requests at once. From so many files an artifact on, ask for each.
_FILES_PER_NAME = 75
_FILES_AT_LEAST = 5000


@dataclass(frozen=True)
class Snapshot:
    """What was read ahead; good for as long as a plan takes.

    Args:
        names: the artifacts that it is about.
        manifests: the highest version of each.
        records: the keys that are the likeliest to be asked for.
        listed: the keys that there are, of ``names``; None when they were not listed.
    """

    names: frozenset[str] = frozenset()
    manifests: dict[str, Manifest] = field(default_factory=dict)
    records: dict[tuple[str, str], KeyRecord] = field(default_factory=dict)
    listed: frozenset[tuple[str, str]] | None = None

    def is_absent(self, name: str, key: str) -> bool:
        """Whether there is no such key, for certain."""
        return name in self.names and self.listed is not None and (name, key) not in self.listed


def read_snapshot(backend: Backend, numbering: Numbering, names: frozenset[str]) -> Snapshot:
    """Read what a plan over some artifacts needs.

    Args:
        backend: the store's.
        numbering: the store's.
        names: the artifacts, checked.
    """
    paths = backend.files("", max(_FILES_AT_LEAST, _FILES_PER_NAME * len(names)))
    listed: frozenset[tuple[str, str]] | None = None
    if paths is None:
        manifests = numbering.latest_manifests(names)
    else:
        newest, keys = _find_in_listing(paths, names)
        listed = frozenset(keys)
        bodies = backend.read_many(
            [f"{name}/v{version}/manifest.json" for name, version in newest.items()]
        )
        manifests = {}
        for name, version in newest.items():
            body = bodies.get(f"{name}/v{version}/manifest.json")
            if body is not None:
                manifests[name] = numbering.parse(name, version, body)
    # The key that the highest version was made with is the likeliest to be asked for.
    likely = {
        f"{name}/keys/{manifest.key}": (name, manifest.key)
        for name, manifest in manifests.items()
        if manifest.key is not None and (listed is None or (name, manifest.key) in listed)
    }
    records = {
        likely[path]: read_key(body, f"{backend.root.rstrip('/')}/{path}")
        for path, body in backend.read_many(list(likely)).items()
    }
    return Snapshot(names, manifests, records, listed)


def _find_in_listing(
    paths: Sequence[str], names: frozenset[str]
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The highest complete version and the keys of these artifacts, from all paths of a root."""
    newest: dict[str, int] = {}
    keys = []
    for path in paths:
        folder, _, file = path.rpartition("/")
        name, _, last = folder.rpartition("/")
        if name not in names:
            continue
        match = VERSION_FOLDER.fullmatch(last) if file == "manifest.json" else None
        if match is not None:
            newest[name] = max(newest.get(name, 0), int(match[1]))
        elif last == "keys":
            keys.append((name, file))
    return newest, keys
