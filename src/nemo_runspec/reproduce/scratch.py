"""A store of its own for making a version again: it has what that was made from, and no more.

The versions keep their names and numbers, and their data stays where it is: only their documents
are copied. So configs that pin ``data:v3`` find it, ``latest`` and aliases mean what was used, and
what is made anew is recorded here, never in the store that it was made for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.settings import ArtifactsSettings
from nemo_runspec.env import load_env_file
from nemo_runspec.relay.env_file import toml_text
from nemo_runspec.store import KeyRecord, Manifest, Store, open_store
from nemo_runspec.store.documents import encode, exported_document, latest_text
from nemo_runspec.store.lineage import VersionId, made_from
from nemo_runspec.store_admin.opening import Place
from nemo_runspec.utils import write_atomically


@dataclass(frozen=True)
class Scratch:
    """The store and its surroundings.

    Attributes:
        store: the store.
        env_file: an `env.toml` that is today's, but for its store.
        versions: what it was given, by name and number: the version itself, then what was used for
            it, the nearest first.
    """

    store: Store
    env_file: Path
    versions: Mapping[VersionId, Manifest]

    def accept(self, name: str, key: str) -> bool:
        """Let the version that was used stand for a key; False where none of that name was.

        Args:
            name: the artifact's name, without a namespace.
            key: what a build of it would have now.
        """
        for used in list(self.versions.values())[1:]:
            if used.name == name or used.name.endswith(f"/{name}"):
                self.store.set_key(used.name, key, _record(used))
                return True
        return False


def make_scratch(place: Place, manifest: Manifest, folder: Path) -> Scratch:
    """A store with what a version was made from, and the version itself without its key.

    Args:
        place: where they are.
        manifest: the version.
        folder: an empty folder, in which the store and what is built go.

    Raises:
        StoreError: a version cannot be read, or the folder not be written.
    """
    root = folder / "artifacts"
    store = open_store(str(root), create=True)
    versions = dict(_closure(place.store, manifest))
    for version, each in versions.items():
        _copy(place.store, each, root / each.name / f"v{version[1]}")
    own_elements = f"{manifest.name}/"
    for (name, number), each in versions.items():
        newest = max(other for other_name, other in versions if other_name == name)
        (root / name / "latest").write_bytes(latest_text(newest))
        is_made_again = (name, number) == (manifest.name, manifest.version)
        if each.key is not None and not is_made_again and not name.startswith(own_elements):
            store.set_key(name, each.key, _record(each))
    nearest: dict[str, int] = {}
    for name, number in list(versions)[1:]:
        nearest.setdefault(name, number)
    for name, number in nearest.items():
        for alias in place.store.aliases(name):
            # Whatever it means today: then it meant what was used.
            store.set_alias(name, alias, number, by="reproduce", reason="as it was")
    env_file = folder / "env.toml"
    write_atomically(env_file, toml_text(_tables(place, manifest, folder)), private=True)
    return Scratch(store, env_file, versions)


def _closure(store: Store, manifest: Manifest) -> Iterator[tuple[VersionId, Manifest]]:
    """A version and all that it was made from, as far as this store has it."""
    seen = {(manifest.name, manifest.version)}
    yield (manifest.name, manifest.version), manifest
    level = [manifest]
    while level:
        wanted = dict.fromkeys(v for each in level for v in made_from(each) if v not in seen)
        seen.update(wanted)
        found = store.manifests(list(wanted))
        yield from found.items()
        level = list(found.values())


def _copy(store: Store, manifest: Manifest, folder: Path) -> None:
    folder.mkdir(parents=True)
    metadata = store.metadata(manifest.name, manifest.version)
    (folder / "metadata.json").write_bytes(encode(metadata, f"metadata of {manifest.reference}"))
    document = exported_document(manifest)
    (folder / "manifest.json").write_bytes(encode(document, manifest.reference))


def _record(manifest: Manifest) -> KeyRecord:
    return KeyRecord(
        version=manifest.version,
        identity=manifest.identity,
        path=manifest.path,
        content=manifest.content,
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _tables(place: Place, manifest: Manifest, folder: Path) -> dict[str, Any]:
    """The tables of today's `env.toml`, with another store and no tracker."""
    settings: ArtifactsSettings = place.settings
    artifacts: dict[str, Any] = {
        "manifest": {"root": str(folder / "artifacts")},
        "output_root": str(folder / "outputs"),
        "external_hash_limit": settings.external_hash_limit,
        "wandb": False,
    }
    if settings.namespace and manifest.name.startswith(f"{settings.namespace}/"):
        artifacts["namespace"] = settings.namespace
    return {**load_env_file(), "artifacts": artifacts}
