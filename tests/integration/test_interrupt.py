"""A job ends with the one who watches it: Ctrl-C, or a launcher that is killed outright."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.execution.supervisor import find_process
from tests.integration.probes import write_probe
from tests.integration.repository import Repository, job_folders, wait_until

# Longer than any test may take: the job must be ended.
FOREVER = {"PROBE_SECONDS": "1200"}


@pytest.fixture(scope="module")
def probes(repository: Repository) -> Repository:
    """A repository with probes in it."""
    write_probe(repository, "probes")
    return repository


def running_job(root: Path) -> dict[str, Any]:
    """Wait until the job in `root` speaks, and return its record."""

    def speaks() -> bool:
        logs = [job / "logs" / "job.log" for job in job_folders(root)]
        return any(log.exists() and "the probe speaks" in log.read_text() for log in logs)

    assert wait_until(speaks, seconds=120)
    record: dict[str, Any] = json.loads((job_folders(root)[-1] / "status.json").read_text())
    return record


def read_all(terminal: int) -> None:
    """Read what is written to a terminal until it is closed."""
    with contextlib.suppress(OSError):
        while os.read(terminal, 65536):
            pass


def is_gone(record: dict[str, Any]) -> bool:
    """Tell whether neither the job nor the process that stands over it runs."""
    return all(find_process(record[who]["pid"]) is None for who in ("job", "supervisor"))


def test_ctrl_c_in_a_terminal_ends_the_job(probes: Repository) -> None:
    environment = probes.environment(FOREVER)
    child, terminal = pty.fork()
    if not child:
        os.chdir(probes.root)
        os.execve("./pants", ["./pants", "run", "probes:probe"], environment)
    # Pants draws on its terminal: somebody has to read that, or it stops.
    threading.Thread(target=read_all, args=(terminal,), daemon=True).start()
    try:
        record = running_job(probes.root)
        os.write(terminal, b"\x03")
        assert wait_until(lambda: is_gone(record))
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) != 0
    finally:
        os.close(terminal)
    ended = json.loads((probes.jobs()[-1] / "status.json").read_text())
    assert ended["state"] == "ended"
    assert ended["cancelled"] is True


def test_a_killed_launcher_leaves_no_job(probes: Repository, tmp_path: Path) -> None:
    probes.pants("package", "probes:probe")
    with subprocess.Popen(
        [probes.root / "dist/probes/probe/run"],
        cwd=tmp_path,
        env=probes.environment(FOREVER),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as launcher:
        try:
            record = running_job(tmp_path)
        finally:
            launcher.kill()
    assert wait_until(lambda: is_gone(record))
