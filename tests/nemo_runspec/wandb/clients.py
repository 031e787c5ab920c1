"""Scripts that use the real client, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.nemo_runspec.wandb.wandb_server import KEY, WandbServer, wait_until

# Of a script that is not ended by what it is to be ended by.
TIMEOUT = 240
# Long enough for a loaded machine: a server that answers is not to be given up.
PATIENT = {"RUNSPEC_WANDB_SECONDS": "600"}

BOTH = {"wandb": True, "manifest": {"root": "store"}}
ALONE = {"wandb": True, "manifest": {"root": None}}

# What scripts begin with.
HEAD = """
import json, os
from pathlib import Path

import wandb
from omegaconf import OmegaConf
from nemo_runspec import wandb_kit
from nemo_runspec.artifacts import (
    Artifact, ModelArtifact, log_artifact, log_metric, setup_artifact_tracking,
)
from nemo_runspec.exceptions import NemoRunspecError

def made(name, text="x"):
    Path(name).mkdir(exist_ok=True)
    Path(name, "x").write_text(text)
    return name

def config(**sections):
    return OmegaConf.create(sections)
"""


@dataclass(frozen=True)
class Ran:
    """What a script did.

    Attributes:
        code: its exit code.
        said: what it printed, from JSON.
        errors: its standard error.
    """

    code: int
    said: Any
    errors: str

    @property
    def warnings(self) -> list[str]:
        """The lines that are about W&B."""
        return [line for line in self.errors.splitlines() if "Weights & Biases" in line]


def run_script(folder: Path, code: str, environment: Mapping[str, str]) -> Ran:
    """Run a script in `folder`; what it prints last is JSON.

    Nothing of the client may be left when it has ended, and the key be in no file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pants.toml").touch()
    script = folder / "script.py"
    script.write_text(textwrap.dedent(code), "utf-8")
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "NEMO", "RUNSPEC"))}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=folder,
        env={**ours, "PYTHONPATH": path, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, errors = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not _client_processes(process.pid))
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert not [file for file in files if KEY.encode() in file.read_bytes()]
    lines = out.strip().splitlines()
    assert process.returncode or lines, errors
    said = json.loads(lines[-1]) if lines else None
    return Ran(process.returncode, said, errors)


def run(server: WandbServer, folder: Path, code: str, **more: str) -> Ran:
    """Run a script that succeeds; `HEAD` comes before it."""
    ran = run_script(folder, HEAD + code, {**server.environment(folder, **more), **PATIENT})
    assert ran.code == 0, ran.errors
    return ran


def _client_processes(pid: int) -> list[str]:
    """The client's own processes that were started for a process."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if b"wandb-core" in words[0] and str(pid).encode() in words:
            found.append(file.parent.name)
    return found
