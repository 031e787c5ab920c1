"""A clone of the launcher alone, on a machine that holds only what a test puts there."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parents[2]

# What a POSIX system has, and no Python and no uv among it.
UTILITIES: tuple[str, ...] = (
    "bash",
    "cat",
    "cut",
    "dash",
    "env",
    "id",
    "ln",
    "mkdir",
    "mktemp",
    "rm",
    "sed",
)
UTILITIES += ("sh", "sha256sum", "shasum", "tail", "tr", "uname")

TIMEOUT_SECONDS = 120


def write_script(path: Path, text: str) -> Path:
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@dataclass(frozen=True)
class Machine:
    """A clone with a nasty name, a home folder and folders on PATH."""

    clone: Path
    home: Path
    bin: Path
    utilities: Path

    def environment(self) -> Mapping[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": f"{self.bin}:{self.utilities}",
            "TMPDIR": str(self.home.parent),
        }

    def run(
        self,
        *command: str | Path,
        cwd: Path | None = None,
        without: Sequence[str] = (),
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` there with `variables` set, those in `without` unset, and no input."""
        env = {k: v for k, v in {**self.environment(), **variables}.items() if k not in without}
        return subprocess.run(
            [str(part) for part in command],
            cwd=cwd or self.clone,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT_SECONDS,
        )


def make_machine(folder: Path) -> Machine:
    made = Machine(
        folder / "it's my “clone”", folder / "home", folder / "my bin", folder / "utilities"
    )
    for place in (made.clone, made.home, made.bin, made.utilities):
        place.mkdir()
    for name in UTILITIES:
        found = shutil.which(name)
        if found:
            os.symlink(found, made.utilities / name)
    shutil.copy(ROOT / "pants", made.clone)
    shutil.copy(ROOT / "pants.2.17.toml", made.clone)
    shutil.copytree(ROOT / "build-support", made.clone / "build-support")
    return made
