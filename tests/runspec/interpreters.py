"""Python interpreters of other versions on this machine, for tests that must pass under each."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
_PATIENCE_SECONDS = 60


def find_interpreter(version: str) -> Optional[Path]:
    """Return a CPython of a version such as "3.12" that really runs, or None.

    It looks on PATH, among the versions of pyenv and uv, and in the usual folders.
    """
    return next((python for python in _candidates(version) if _runs(python, version)), None)


def _candidates(version: str) -> Iterator[Path]:
    name = f"python{version}"
    on_path = shutil.which(name)
    if on_path:
        yield Path(on_path)
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}*/bin/{name}"))
    yield from sorted(home.glob(f".local/share/uv/python/cpython-{version}*/bin/{name}"))
    for folder in ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"):
        yield Path(folder, name)


def _runs(python: Path, version: str) -> bool:
    command = [str(python), "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == version
