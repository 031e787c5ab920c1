"""What travels to a cluster that shares no folder with us: one zip, the same from the same files.

Ray unpacks it on each node as the working folder of the job's command and of its workers.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.ray.jobs_api import UPLOAD_LIMIT_BYTES

_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip can say
_BYTECODE = "__pycache__"


@dataclass(frozen=True)
class Package:
    """A zip in memory.

    Args:
        content: its bytes.
    """

    content: bytes

    @property
    def name(self) -> str:
        """What Ray calls an upload with this content."""
        return f"_ray_pkg_{hashlib.sha256(self.content).hexdigest()[:32]}.zip"

    @property
    def uri(self) -> str:
        return f"gcs://{self.name}"


def make_package(files: Mapping[str, bytes], folders: Mapping[str, Path]) -> Package:
    """Packs files and whole folders.

    Args:
        files: contents by path in the zip.
        folders: folders, or single files, by path in the zip; links are followed, bytecode stays.

    Raises:
        ExecutionError: it is larger than what Ray takes.
    """
    buffer = io.BytesIO()
    entries: list[tuple[str, bytes | Path]] = list(files.items())
    for name, folder in folders.items():
        entries += _below(name, folder)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, source in sorted(entries, key=lambda entry: entry[0]):
            info = zipfile.ZipInfo(name, _TIME)
            executable = isinstance(source, Path) and os.access(source, os.X_OK)
            info.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
            # What is compressed already (wheels, PEXes) gains nothing but the time it takes.
            packed = name.endswith((".pex", ".whl", ".zip"))
            info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            content = source.read_bytes() if isinstance(source, Path) else source
            archive.writestr(info, content, compresslevel=1)
    package = Package(buffer.getvalue())
    if len(package.content) > UPLOAD_LIMIT_BYTES:
        raise too_large(len(package.content))
    return package


def too_large(size: int) -> ExecutionError:
    """The error for an upload of `size` bytes."""
    return ExecutionError(
        f"the job's files come to {size / 1e6:.0f} MB, and a Ray cluster takes at most "
        f"{UPLOAD_LIMIT_BYTES / 1e6:.0f} MB by upload; name a folder that the cluster shares as "
        "remote_job_dir in the profile, or move data from the recipe's folder to an object store"
    )


def _below(name: str, folder: Path) -> list[tuple[str, bytes | Path]]:
    if folder.is_file():
        return [(name, folder)]
    found: list[tuple[str, bytes | Path]] = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(each for each in folders if each != _BYTECODE)
        relative = Path(parent).relative_to(folder)
        found += [((Path(name) / relative / each).as_posix(), Path(parent, each)) for each in files]
    return found
