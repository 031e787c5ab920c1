"""Whether Pants keeps its own cache on a disk of this machine.

Its LMDB store maps files into memory and locks them, which network file systems do badly: builds
are slow there, or break. Names of file systems as the kernel gives them in /proc/mounts (proc(5)).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from nemo_runspec.preflight.checks import Check

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MOUNTS = Path("/proc/mounts")
_NETWORK = {
    *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "gpfs"),
    *("lustre", "nfs", "nfs4", "panfs", "smb3", "smbfs", "vastnfs", "wekafs"),
}
# By Pants' option: its variable, and the folder below its cache where it is by default.
_PLACES = {
    "local_store_dir": ("PANTS_LOCAL_STORE_DIR", "lmdb_store"),
    "named_caches_dir": ("PANTS_NAMED_CACHES_DIR", "named_caches"),
}


def check_pants_cache(root: Path) -> Iterator[Check]:
    """Where Pants keeps what it has built.

    Args:
        root: the repository, with its `pants.toml`.
    """
    for option, (variable, folder) in _PLACES.items():
        place = Path(_place(root, option, variable, folder)).expanduser()
        kind = file_system(place)
        yield Check(
            f"pants {option}",
            kind not in _NETWORK,
            f"{place} ({kind or 'unknown file system'})",
            f'a disk of this machine: [GLOBAL] {option} = "/tmp/%(user)s-pants/{folder}" in '
            f"pants.toml, or {variable}",
        )


def file_system(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """The kind of file system that a path is on, or will be: `ext4`, `nfs4`; None if unknown.

    Args:
        path: a file or folder, whether it exists yet or not.
        mounts: the kernel's table of mounts.
    """
    try:
        table = mounts.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None  # not Linux
    real = os.path.realpath(path)
    best, kind = "", None
    for line in table.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        # Spaces and the like stand as octal numbers (getmntent(3)).
        at = fields[1].encode("latin-1", "surrogateescape").decode("unicode_escape")
        inside = real == at or real.startswith(at.rstrip("/") + "/")
        if inside and len(at) >= len(best):
            best, kind = at, fields[2]
    return kind


def _place(root: Path, option: str, variable: str, folder: str) -> str:
    """Where Pants has it: the variable, else pants.toml, else below the user's cache."""
    if os.environ.get(variable):
        return os.environ[variable]
    try:
        tables = tomllib.loads((root / "pants.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        tables = {}  # Pants itself will say so
    named = tables.get("GLOBAL", {}).get(option) if isinstance(tables.get("GLOBAL"), dict) else None
    if isinstance(named, str):
        values = {"buildroot": str(root), "homedir": str(Path.home()), "user": _user()}
        for key, value in values.items():
            named = named.replace(f"%({key})s", value)
        return named
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return f"{cache}/pants/{folder}"


def _user() -> str:
    from nemo_runspec.artifacts.settings import user_name

    return user_name()
