"""Real processes that log and resolve, as the ranks of a job do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

JOB_VARIABLES = (
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "NEMOTRON_ENV_FILE",
    "NEMO_EXPERIMENT_ID",
    "NEMO_RUN_DIR",
    "RANK",
    "RUNSPEC_ATTEMPT",
    "RUNSPEC_JOB_CONTEXT",
    "RUNSPEC_OUTPUT_DIR",
    "RUNSPEC_RESOLVE_TIMEOUT",
    "SLURM_JOB_ID",
    "SLURM_NTASKS",
    "SLURM_PROCID",
    "SLURM_RESTART_COUNT",
    "SLURM_STEP_ID",
    "TORCHELASTIC_RESTART_COUNT",
    "TORCHELASTIC_RUN_ID",
    "WORLD_SIZE",
)


def enter_repository(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a repository below a folder the working directory, with no variable of a job set."""
    for name in JOB_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    root = folder / "repository"
    root.mkdir()
    (root / "pants.toml").touch()
    monkeypatch.chdir(root)
    return root


def start(
    code: str, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """A Python process that runs `code` with what this one can import."""
    clean = {name: value for name, value in os.environ.items() if name not in JOB_VARIABLES}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**clean, "PYTHONPATH": path, **(env or {})},
    )


def output(process: subprocess.Popen[str]) -> str:
    """What a process printed; it must end well."""
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return out.strip()
