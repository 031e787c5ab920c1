"""An artifact as W&B is told of it: where its data is and what is known, never the data.

W&B tells versions apart by the digests of their entries, and metadata is no entry: each version
holds its ``manifest.json`` (or ``metadata.json`` where there is no store), and a reference to the
data without a checksum.
"""

from __future__ import annotations

import json
import logging
import os
import urllib.parse

# The client uses it and does not import it (0.31.0).
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.plain import plain_json

_logger = logging.getLogger(__name__)

# What a folder may hold for its files to be listed as references: each is looked at.
MAX_REFERENCES = 200
# W&B takes a hundred.
_MAX_METADATA = 80
# Until the server has it.
WAIT_SECONDS = 60
_SCHEMES = ("s3://", "gs://", "http://", "https://", "file://")
_HUB = "hf://"


@dataclass(frozen=True)
class Entry:
    """A version to be.

    Attributes:
        name: what it is called; for :func:`log_entry` W&B's name.
        type: the class that logged it, or ``model``.
        metadata: what is known of it.
        path: where the data is, as this process sees it.
        aliases: names of the version.
        files: small files that it holds, by name.
    """

    name: str
    type: str
    metadata: Mapping[str, Any]
    path: str
    aliases: tuple[str, ...] = ()
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Logged:
    """A version that W&B has.

    Attributes:
        qualified_name: ``entity/project/name:vN``.
        version: its number there.
        url: its page.
    """

    qualified_name: str
    version: int
    url: str | None


def log_entry(wandb: Any, run: Any, entry: Entry) -> Logged | None:
    """Log a version and wait until the server has it.

    Args:
        wandb: the client's module.
        run: the active run.
        entry: the version.

    Returns:
        What it became; None in an offline run.

    Raises:
        Exception: whatever the client raises.
    """
    artifact = wandb.Artifact(entry.name, type=entry.type, metadata=_metadata(entry.metadata))
    for name, document in entry.files.items():
        with artifact.new_file(name, encoding="utf-8") as file:
            json.dump(document, file, indent=2, ensure_ascii=False)
    _add_reference(artifact, entry.path)
    logged = run.log_artifact(artifact, aliases=list(entry.aliases))
    if run.offline or run.disabled:
        return None
    logged.wait(timeout=WAIT_SECONDS)
    number = int(str(logged.version).removeprefix("v"))
    place = str(logged.qualified_name).rpartition(":")[0]
    return Logged(f"{place}:v{number}", number, logged.url)


def reference_url(path: str) -> str | None:
    """The URL that W&B shows for data at a path; None for one that it cannot have."""
    if path.startswith(_HUB):
        return f"https://huggingface.co/{path.removeprefix(_HUB)}"
    if path.startswith(_SCHEMES):
        return path
    return None if "://" in path else Path(os.path.abspath(path)).as_uri()


def local_path(url: str) -> str:
    """The path of a ``file://`` URL."""
    return urllib.request.url2pathname(urllib.parse.urlparse(url).path)


def _add_reference(artifact: Any, path: str) -> None:
    url = reference_url(path)
    if url is None:
        return
    if url.startswith("file://") and _holds_many(local_path(url)):
        return  # the metadata says where it is
    try:
        artifact.add_reference(url, name="data", checksum=False, max_objects=MAX_REFERENCES)
    except ValueError as error:
        _logger.debug("W&B is given no reference to %s: %s", path, error)


def _holds_many(folder: str) -> bool:
    count = 0
    for _, _, files in os.walk(folder):
        count += len(files)
        if count > MAX_REFERENCES:
            return True
    return False


def _metadata(fields: Mapping[str, Any]) -> dict[str, Any]:
    # It refuses numbers that are none.
    plain: dict[str, Any] = plain_json(fields)
    if len(plain) <= _MAX_METADATA:
        return plain
    own = {key: plain.pop(key) for key in ("path", "created_at", "runspec") if key in plain}
    return {**own, "metadata": plain}
