"""``nemo-runspec store add``."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
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

COMMAND = Command(
    "store add",
    "NAME PATH",
    (
        "Records data that is already there, a file, a folder or a URL, as the next version of "
        "NAME. The data stays where it is and is never removed by `store gc`.",
        "With a namespace in [artifacts] of env.toml the version is your own; `promote --to` makes "
        "it the team's.",
    ),
    (
        Flag(("--type", "-t"), "what it is: ModelArtifact, SFTDataArtifact, Artifact, …", "TYPE"),
        Flag(
            ("--metadata", "-m"),
            "a field of its metadata; JSON values, else text; again for more fields",
            "KEY=VALUE",
            many=True,
        ),
        Flag(
            ("--content",),
            "how its content is known again: by its bytes (hash, the default), by sizes and times "
            "(stat), not at all (none)",
            "HOW",
            choices=("hash", "stat", "none"),
        ),
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
    name, path = check_name(given.arguments[0]), _absolute(given.arguments[1])
    metadata = _metadata(given.values.get("--metadata", ()))
    place = open_place(given, create=True)
    options = place.options_for(path)
    data = Data(path, options)
    if not data.exists():
        raise UsageError(f"{path}: there is nothing there; add data after it is written")
    artifact = _artifact(kind, path, metadata)
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
            producer=_PRODUCER,
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


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


def _metadata(pairs: Sequence[str]) -> dict[str, Any]:
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


def _artifact(kind: str, path: str, metadata: Mapping[str, Any]) -> Artifact:
    """The artifact as a script would log it.

    Raises:
        UsageError: the class is almost certainly a misspelling of one of ours.
        ArtifactDataError: the metadata is not what the class needs.
    """
    known = {name: each for name, each in vars(types).items() if _is_artifact(name, each)}
    meant = typo_of(kind, known)
    if meant is not None:
        raise UsageError(f"--type {kind}: did you mean {meant}?")
    document = {
        "type": kind,
        "path": path,
        "producer": _PRODUCER,
        "metadata": {**metadata},
    }
    # A class of a recipe's own is known by its name alone.
    cls: type[Artifact] = known.get(kind, Artifact)
    return cls.from_document(document, "--metadata")


def _is_artifact(name: str, value: object) -> bool:
    return not name.startswith("_") and isinstance(value, type) and issubclass(value, Artifact)
