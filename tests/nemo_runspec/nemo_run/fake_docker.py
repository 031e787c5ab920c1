"""A docker daemon that is none: containers are processes of this machine, kept in a folder.

It is asked as docker's Python client is, from any process that knows the folder.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FOLDER_VARIABLE = "FAKE_DOCKER_FOLDER"
_INSIDE = "/nemo_run"


@dataclass
class Container:
    file: Path

    @property
    def status(self) -> str:
        return "running" if _runs(self._pid) else "exited"

    @property
    def _pid(self) -> int:
        return int(json.loads(self.file.read_text())["pid"])


class Containers:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, image: str, command: str, **options: Any) -> Container:
        mounts = dict(volume.rsplit(":", 1)[::-1] for volume in options["volumes"])
        # Anything else would have to be a real mount.
        assert all(source == target or target == _INSIDE for target, source in mounts.items())
        here = [
            part.replace(_INSIDE, shlex.quote(mounts[_INSIDE])) for part in shlex.split(command)
        ]
        clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
        process = subprocess.Popen(
            here,
            env={**clean, **options["environment"]},
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        file = self._folder / f"{options['name']}.json"
        kept = {"pid": process.pid, "labels": options["labels"], "image": image}
        file.with_suffix(".new").write_text(json.dumps(kept))
        file.with_suffix(".new").rename(file)
        return Container(file)

    def list(self, *, all: bool, filters: dict[str, list[str]]) -> list[Container]:
        found = []
        for file in self._folder.glob("*.json"):
            labels = json.loads(file.read_text())["labels"]
            if set(filters["label"]) <= {f"{name}={value}" for name, value in labels.items()}:
                found.append(Container(file))
        return found


def from_env() -> SimpleNamespace:
    """What `docker.from_env()` gives."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    networks = SimpleNamespace(create=lambda **_: None)
    return SimpleNamespace(containers=Containers(folder), networks=networks)


def _runs(pid: int) -> bool:
    try:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return False
    except ChildProcessError:
        pass  # another process's child: it is its to reap
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
