"""The peers, each from the package index in a virtual environment of its own.

What is installed is pinned, with hashes, in `peers/NAME.lock`; `build-support/lock` writes those
from the `.in` files beside them. An environment is made once for each lock and kept in the cache.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

from scene import REPOSITORY, BenchmarkError, environment, find_python, run

LOCKS = REPOSITORY / "benchmarks" / "peers"


@cache
def peer(name: str) -> Path:
    """Return the `bin` folder of a peer's virtual environment, which is made if need be.

    Raises:
        BenchmarkError: if it cannot be installed.
    """
    return _installed(LOCKS / f"{name}.lock")


def our_python() -> str:
    """Return a Python with what our library needs, from the repository's own lock.

    Raises:
        BenchmarkError: if that cannot be installed.
    """
    return str(_installed(REPOSITORY / "3rdparty" / "python" / "python-default.lock") / "python")


def slurm_python() -> str:
    """Return a Python with what our library needs, with NeMo-Run and with Ray.

    Raises:
        BenchmarkError: if that cannot be installed.
    """
    return str(
        _installed(REPOSITORY / "3rdparty" / "python" / "nemo-runspec-slurm.lock") / "python"
    )


@cache
def _installed(lock: Path) -> Path:
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nemo-runspec"
    finished = root / f"peer-{lock.stem}-{digest}"
    if not finished.exists():
        root.mkdir(parents=True, exist_ok=True)
        env = environment()
        building = Path(tempfile.mkdtemp(prefix=f"{finished.name}.", dir=root))
        python = find_python("3.11", env)
        run([python, "-I", "-m", "venv", str(building)], REPOSITORY, env)
        pip = [str(building / "bin/python"), "-I", "-m", "pip", "install", "--quiet", "--no-input"]
        run([*pip, "--require-hashes", "-r", str(lock)], REPOSITORY, env)
        # A relative link, made last: what it leads to is whole.
        link = building / "link"
        link.symlink_to(building.name)
        link.replace(finished)
    return finished.resolve() / "bin"


def peer_version(name: str) -> str:
    """Return the version of a peer that its lock pins, or of the machine's own `make`."""
    if name == "make":
        found = re.search(r"\d[\d.]*", run([make(), "--version"], REPOSITORY, environment()).output)
    else:
        found = re.search(rf"(?m)^{name}==(\S+)", (LOCKS / f"{name}.lock").read_text())
    if found is None:
        raise BenchmarkError(f"{name}: its version is not known")
    return found[found.lastindex or 0]


def make() -> str:
    """Return the path of the machine's GNU make."""
    path = shutil.which("make")
    if path is None:
        raise BenchmarkError("make is not installed; `apt-get install make`, or leave it out")
    return path
