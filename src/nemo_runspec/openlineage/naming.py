"""What data is called in OpenLineage: by its naming conventions, so that others' events fit ours.

A dataset's namespace is where it is to be found, its name what it is called there
(https://openlineage.io/docs/spec/naming): a file of this machine is ``file`` and its path, an
object ``s3://BUCKET`` and its key. An artifact is called after the place of its store.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from nemo_runspec.masking import mask_secrets

LOCAL = "file"


@dataclass(frozen=True)
class DatasetName:
    """What a dataset is called.

    Attributes:
        namespace: where it is to be found.
        name: what it is called there.
    """

    namespace: str
    name: str


def artifact_name(root: str, name: str) -> DatasetName:
    """What an artifact of a store is called.

    Args:
        root: the store's root: a path or a URL.
        name: the artifact's name.
    """
    return uri_name(f"{root.rstrip('/')}/{name}")


def uri_name(uri: str) -> DatasetName:
    """What data at a path or a URL is called; a password in it is masked."""
    shown = str(mask_secrets(uri))
    scheme, separator, rest = shown.partition("://")
    if not separator:
        return DatasetName(LOCAL, shown)
    if scheme in ("file", "local"):
        return DatasetName(LOCAL, f"/{rest.lstrip('/')}")
    if scheme in ("http", "https"):
        parts = urlsplit(shown)
        return DatasetName(f"{scheme}://{parts.netloc}", parts.path.lstrip("/") or "/")
    authority, _, path = rest.partition("/")
    return DatasetName(f"{scheme}://{authority}", path.strip("/") or "/")
