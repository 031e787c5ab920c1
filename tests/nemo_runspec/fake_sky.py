"""A stand-in for SkyPilot: a task runs in a copy of its workdir, on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HOME_VARIABLE = "FAKE_SKY_HOME"


class AWS:
    """A cloud."""


class Resources:
    def __init__(self, *, cloud: AWS, accelerators: str | None) -> None:
        self.cloud, self.accelerators = cloud, accelerators


class Task:
    def __init__(
        self,
        *,
        run: str,
        workdir: str,
        num_nodes: int,
        envs: dict[str, str],
        secrets: dict[str, str],
    ) -> None:
        self.run, self.workdir, self.num_nodes = run, workdir, num_nodes
        self.envs, self.secrets = envs, secrets
        self.resources: Resources | None = None

    def set_resources(self, resources: Resources) -> Task:
        self.resources = resources
        return self


def launch(task: Task, *, cluster_name: str) -> str:
    """Runs the task's command as a node would; the request's id."""
    home = Path(os.environ[HOME_VARIABLE])
    there = home / "sky_workdir"
    shutil.copytree(task.workdir, there)
    assert task.resources is not None
    (home / "asked").write_text(
        f"{cluster_name} {task.num_nodes} {task.resources.accelerators} {sorted(task.secrets)}"
    )
    tools = home / "bin"
    tools.mkdir()
    (tools / "python").symlink_to(sys.executable)
    done = subprocess.run(
        ["bash", "-c", task.run],
        cwd=there,
        env={
            "PATH": f"{tools}:/usr/bin:/bin",
            "HOME": str(home),
            # What the image would have installed.
            "PYTHONPATH": os.environ["SITE"],
            **task.envs,
            **task.secrets,
        },
        capture_output=True,
        text=True,
    )
    (home / "log").write_text(done.stdout + done.stderr)
    (home / "code").write_text(str(done.returncode))
    return "request-1"


def stream_and_get(request: str) -> tuple[int, Any]:
    assert request == "request-1"
    return 7, None


def tail_logs(cluster_name: str, job_id: int, *, follow: bool) -> int:
    home = Path(os.environ[HOME_VARIABLE])
    assert job_id == 7 and follow
    print((home / "log").read_text(), end="")
    return int((home / "code").read_text())
