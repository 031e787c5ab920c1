"""``nemo-runspec store add``."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from nemo_runspec.artifacts import types
from nemo_runspec.artifacts.content import VOLATILE, content_digest, recorded_facts
from nemo_runspec.artifacts.job_context import ContentMode
from nemo_runspec.artifacts.settings import user_name
from nemo_runspec.artifacts.types import Artifact
from nemo_runspec.command_line import Command, Flag, Given
from nemo_runspec.exceptions import UsageError
from nemo_runspec.store import VersionDraft, check_name
from nemo_runspec.store_admin.data import Data
from nemo_runspec.store_admin.opening import Place, open_place
from nemo_runspec.store_admin.text import human_size
from runspec.typos import typo_of

_PRODUCER = "nemo-runspec store add"

METADATA = Flag(
    ("--metadata", "-m"),
    "a field of its metadata; JSON values, else text; again for more fields",
    "KEY=VALUE",
    many=True,
)
CONTENT = Flag(
    ("--content",),
    "how its content is known again: by its bytes (hash, the default), by sizes and times "
    "(stat), not at all (none)",
    "HOW",
    choices=("hash", "stat", "none"),
)
COMMAND = Command(
    "store add",
    "NAME PATH",
    (
        "Records data that is already there, a file, a folder or a URL, as the next version of "
        "NAME. The data stays where it is and is never removed by `store gc`.",
        "With a namespace in [artifacts] of env.toml the version is your own; `promote --to` makes "
        "it the team's. `import data` and `import model` do the same for data whose kind can be "
        "seen from its files.",
    ),
    (
        Flag(("--type", "-t"), "what it is: ModelArtifact, SFTDataArtifact, Artifact, …", "TYPE"),
        METADATA,
        CONTENT,
    ),
    at_least=2,
    at_most=2,
    examples=(
        "store add books /data/books --type Artifact -m tokens=3000000",
        "store add base s3://models/base -t ModelArtifact --content stat",
    ),
)


def run(given: Given) -> int:
    """Adds a version."""
    kind = given.value("--type")
    if kind is None:
        raise UsageError(
            "store add: what is it? Write --type ModelArtifact, SFTDataArtifact, Artifact …"
        )
    if not kind.isidentifier():
        raise UsageError(f"--type needs the name of a class, such as ModelArtifact, not {kind!r}")
    name, path = check_name(given.arguments[0]), absolute(given.arguments[1])
    metadata = metadata_of(given.values.get("--metadata", ()))
    return record_data(given, name, Found(kind, path, metadata, _PRODUCER))


@dataclass(frozen=True)
class Found:
    """Data that is already there.

    Args:
        kind: the name of its class.
        path: where it is: an absolute path or a URL.
        metadata: what is known of it.
        producer: who says so.
    """

    kind: str
    path: str
    metadata: Mapping[str, Any]
    producer: str


def record_data(given: Given, name: str, found: Found) -> int:
    """Records data as the next version of a name, and says which; returns the exit code.

    Args:
        given: the command line, with ``--store`` and ``--content``.
        name: the artifact.
        found: the data.

    Raises:
        UsageError: there is no data, or its class is misspelt.
        ArtifactDataError: the metadata is not what the class needs.
        StoreError: the store cannot be written.
    """
    place = open_place(given, create=True)
    path = found.path
    options = place.options_for(path)
    data = Data(path, options)
    if not data.exists():
        raise UsageError(f"{path}: there is nothing there; add data after it is written")
    artifact = _artifact(found)
    document = artifact.document()
    mode = cast(ContentMode, given.value("--content") or "hash")
    extra: dict[str, Any] = {}
    content = None
    if mode != "none":
        folder, volatile = artifact.output_dir(), {*VOLATILE, *artifact.volatile}
        reach: dict[str, Any] = {
            "base": None,
            "volatile": volatile,
            "storage_options": options or None,
        }
        content = content_digest(folder, document, mode, **reach)
        extra["digested"] = recorded_facts(folder, **reach)
    manifest = place.store.add_version(
        _own_name(place, name),
        VersionDraft(
            path=path,
            type=artifact.type,
            metadata=document["metadata"],
            document=document,
            producer=found.producer,
            content=content,
            run={"user": user_name(), "host": socket.gethostname()},
            extra=extra,
        ),
    )
    print(f"{manifest.reference}  {manifest.path} ({human_size(data.size())})")
    return 0


def _own_name(place: Place, name: str) -> str:
    if place.namespace is None or name.startswith(f"{place.namespace}/"):
        return name
    return check_name(f"{place.namespace}/{name}")


def absolute(path: str) -> str:
    """A path as it is recorded; a URL stays as it is."""
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


def metadata_of(pairs: Sequence[str]) -> dict[str, Any]:
    """The metadata that ``--metadata`` says.

    Raises:
        UsageError: a text is no ``KEY=VALUE``, or a key is there twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--metadata needs KEY=VALUE, not {pair!r}")
        if key in found:
            raise UsageError(f"--metadata says {key} twice")
        found[key] = _value(text)
    return found


def _value(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=str)
    except ValueError:
        return text
    return value


def _artifact(found: Found) -> Artifact:
    """The artifact as a script would log it.

    Raises:
        UsageError: the class is almost certainly a misspelling of one of ours.
        ArtifactDataError: the metadata is not what the class needs.
    """
    known = {name: each for name, each in vars(types).items() if _is_artifact(name, each)}
    meant = typo_of(found.kind, known)
    if meant is not None:
        raise UsageError(f"--type {found.kind}: did you mean {meant}?")
    document = {
        "type": found.kind,
        "path": found.path,
        "producer": found.producer,
        "metadata": {**found.metadata},
    }
    # A class of a recipe's own is known by its name alone.
    cls: type[Artifact] = known.get(found.kind, Artifact)
    return cls.from_document(document, "--metadata")


def _is_artifact(name: str, value: object) -> bool:
    return not name.startswith("_") and isinstance(value, type) and issubclass(value, Artifact)
