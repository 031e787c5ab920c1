"""``art://``: the files of artifacts, read-only, wherever their data lies.

    fsspec.open("art://sft-data:v3/train.jsonl")
    fsspec.filesystem("art").ls("art://sft-data:latest")

The path is ``art://name[:version][/file]``; a version is ``vN``, ``N``, ``latest`` (the default)
or an alias. Without a version the longest beginning that is an artifact's name counts. Each call
looks the version up anew, and the names that a listing gives hold the version that it saw.
Importing this module makes fsspec know the protocol.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

# A recipe that uses art:// imports fsspec itself; the others are to be free of it.
import fsspec  # type: ignore[import-untyped]  # pants: no-infer-dep
from fsspec import AbstractFileSystem  # pants: no-infer-dep

from nemo_runspec.artifacts.references import ResolvedArtifact
from nemo_runspec.artifacts.view import URI_PREFIX, StoreView, active_view
from nemo_runspec.exceptions import ArtifactNotFoundError, ConfigError
from nemo_runspec.store.names import ArtifactReference, parse_artifact_reference

__all__ = ["ArtifactFileSystem"]


@dataclass(frozen=True)
class _Place:
    """Where something of an artifact lies.

    Attributes:
        uri: what it is called, with the exact version, without ``art://``.
        filesystem: of the data.
        path: there.
    """

    uri: str
    filesystem: AbstractFileSystem
    path: str

    def named(self, path: str) -> str:
        """What something at or below this place is called."""
        below = path.removeprefix(self.path).strip("/")
        return f"{self.uri}/{below}" if below else self.uri


class ArtifactFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """The files of artifacts by name and version, in the store of this process.

    The store is the one of ``setup_artifact_tracking`` or ``set_artifact_registry``, else the
    job's, else that of ``env.toml``. Reading a file counts as using the version.
    """

    protocol = "art"
    root_marker = ""
    # fsspec keeps instances by their arguments; the store may be another one tomorrow.
    cachable = False

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, (list, tuple)):
            return [cls._strip_protocol(item) for item in path]
        return os.fspath(path).removeprefix(URI_PREFIX).strip("/")

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """What is in an artifact or a folder of it; the names of all artifacts for ``art://``."""
        found: list[dict[str, Any]]
        if not self._strip_protocol(path):
            names = active_view().store.names()
            found = [{"name": name, "size": 0, "type": "directory"} for name in names]
        else:
            place = self._place(path)
            entries = self._existing(place, lambda: place.filesystem.ls(place.path, detail=True))
            found = [self._renamed(entry, place) for entry in entries]
        return found if detail else [entry["name"] for entry in found]

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Name, size and type of a file or folder."""
        if not self._strip_protocol(path):
            return {"name": "", "size": 0, "type": "directory"}
        place = self._place(path)
        return self._renamed(
            self._existing(place, lambda: place.filesystem.info(place.path)), place
        )

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        """The bytes of a file, or of a part of it."""
        place = self._place(path)
        content: bytes = self._existing(
            place, lambda: place.filesystem.cat_file(place.path, start=start, end=end)
        )
        return content

    def get_file(self, rpath: str, lpath: str, **kwargs: Any) -> None:
        """Copy a file to this machine."""
        place = self._place(rpath)
        self._existing(place, lambda: place.filesystem.get_file(place.path, lpath, **kwargs))

    def created(self, path: str) -> Any:
        """When a file was made."""
        place = self._place(path)
        return place.filesystem.created(place.path)

    def modified(self, path: str) -> Any:
        """When a file was last written."""
        place = self._place(path)
        return place.filesystem.modified(place.path)

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        if mode not in ("rb", "r"):
            raise self._read_only()
        place = self._place(path)
        return self._existing(place, lambda: place.filesystem.open(place.path, mode, **kwargs))

    def open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> Any:
        """Open a file for reading."""
        if set(mode) & set("wax+"):
            raise self._read_only()
        return super().open(path, mode, *args, **kwargs)

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise self._read_only()

    # All that fsspec's ways of writing come down to.
    mkdir = makedirs = rmdir = rm_file = rm = cp_file = mv = put_file = pipe_file = touch = _refuse

    @staticmethod
    def _read_only() -> OSError:
        return OSError(
            errno.EROFS, "art:// is read-only: write where the data lies and log a new version"
        )

    def _place(self, path: str) -> _Place:
        view = active_view()
        reference, file = self._parse(self._strip_protocol(path), view)
        found = view.find(reference)
        filesystem, root = fsspec.core.url_to_fs(found.path, **self._options(found, view))
        inside = PurePosixPath("/", file)
        if ".." in inside.parts:
            raise FileNotFoundError(
                errno.ENOENT, f"{path}: '..' leads out of the artifact", str(path)
            )
        target = root.rstrip("/") + (f"/{file}" if file else "")
        return _Place(f"{found.reference}/{file}".rstrip("/"), filesystem, target)

    @staticmethod
    def _parse(path: str, view: StoreView) -> tuple[ArtifactReference, str]:
        parts = path.split("/")
        for count, part in enumerate(parts, 1):
            if ":" in part:
                reference = parse_artifact_reference("/".join(parts[:count]))
                return reference, "/".join(parts[count:])
        for count in range(len(parts), 0, -1):
            name = "/".join(parts[:count])
            try:
                reference = parse_artifact_reference(name)
                if count > 1:
                    view.manifest(reference)
            except (ConfigError, ArtifactNotFoundError):
                continue
            return reference, "/".join(parts[count:])
        return parse_artifact_reference(path), ""

    @staticmethod
    def _options(found: ResolvedArtifact, view: StoreView) -> Mapping[str, Any]:
        protocol, separator, _ = found.path.partition("://")
        is_beside = separator and view.root.startswith(f"{protocol}://")
        return view.storage_options if is_beside else {}

    @staticmethod
    def _existing(place: _Place, read: Any) -> Any:
        try:
            return read()
        except FileNotFoundError as error:
            raise FileNotFoundError(
                errno.ENOENT, f"{URI_PREFIX}{place.uri}: there is no {place.path}", place.path
            ) from error

    def _renamed(self, entry: Mapping[str, Any], place: _Place) -> dict[str, Any]:
        return {**entry, "name": place.named(entry["name"])}


fsspec.register_implementation("art", ArtifactFileSystem, clobber=True)
