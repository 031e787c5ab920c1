"""A `.tar.gz` that depends on nothing but the names, modes and bytes of what is in it."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import uuid
from collections.abc import Mapping
from pathlib import Path

_LEVEL = 6
_EXECUTABLE, _PLAIN, _LINK = 0o755, 0o644, 0o777


def write_archive(target: Path, texts: Mapping[str, str], files: Mapping[str, Path]) -> None:
    """Writes the archive; whoever looks sees all of it or none.

    Owners, times and all of a mode but whether a file can be executed are left out; a symbolic
    link stays one.

    Args:
        target: the archive; its folder is made if need be.
        texts: files by their name in the archive, with what they hold.
        files: files by their name in the archive. A name that is in both is a text.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with (
            open(temporary, "wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=_LEVEL) as z,
            tarfile.open(fileobj=z, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name in sorted({*texts, *files}, key=os.fsencode):
                if name in texts:
                    _add(tar, name, _PLAIN, texts[name].encode("utf-8", "surrogateescape"))
                else:
                    _add_file(tar, name, files[name])
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _add_file(tar: tarfile.TarFile, name: str, path: Path) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        info = _info(name, _LINK)
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
        tar.addfile(info)
        return
    _add(tar, name, _EXECUTABLE if mode & 0o100 else _PLAIN, path.read_bytes())


def _add(tar: tarfile.TarFile, name: str, mode: int, content: bytes) -> None:
    info = _info(name, mode)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _info(name: str, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = mode
    info.mtime = 0
    return info
