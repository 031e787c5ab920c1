"""A workshop whose jobs run on the fake cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nemo_runspec.jobs import JobPaths
from tests.nemo_runspec.executor_contract import wait_for
from tests.nemo_runspec.pipeline.fake_cluster import NAME, VARIABLE, install
from tests.nemo_runspec.pipeline.workshop import Workshop, finish

# Goes on once there is a file.
GATE = """
import time
(out / "seen").touch()
print("waits", flush=True)
while not os.path.exists(os.environ["GATE"]):
    time.sleep(0.01)
"""


class Cluster(Workshop):
    """A workshop whose profile `far` is for the fake cluster, or for that of a subclass."""

    executor: ClassVar[str] = NAME

    @property
    def root(self) -> Path:
        return self.folder / "cluster"

    @property
    def shared(self) -> Path:
        return self.folder / "shared"

    @property
    def gate(self) -> Path:
        return self.folder / "gate"

    def profile(self, **values: Any) -> None:
        """Writes env.toml."""
        lines = ["[far]", f'executor = "{self.executor}"', f'remote_job_dir = "{self.shared}"']
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        variables = {"RAN": self.ran_file, "GATE": self.gate, "RUNSPEC_PYTHON": sys.executable}
        lines += ["[far.env_vars]", *(f'{key} = "{value}"' for key, value in variables.items())]
        (self.repository / "env.toml").write_text("\n".join(lines) + "\n")

    def far(self, *options: str, **env: str) -> subprocess.Popen[str]:
        return self.start("--profile", "far", *options, env=env)

    def run_far(self, *options: str, **env: str) -> tuple[int, str, str]:
        return finish(self.far(*options, **env))

    def submitted(self) -> int:
        jobs = self.root / "jobs"
        return len(list(jobs.iterdir())) if jobs.exists() else 0

    def far_jobs(self) -> list[Path]:
        return sorted(path for path in self.shared.glob("2*"))

    def far_pipelines(self) -> list[Path]:
        return sorted((self.shared / "_pipelines").glob("2*"))

    def far_events(self) -> list[dict[str, Any]]:
        path = self.far_pipelines()[-1] / "events.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def saw(self, event: str) -> bool:
        """Whether the last event of the newest pipeline is this one."""
        return [each["event"] for each in self.far_events()][-1:] == [event]

    def supervisor(self) -> int:
        state = self.far_pipelines()[-1] / "state.json"
        wait_for(state.exists, "the supervisor")
        return int(json.loads(state.read_text())["process"]["pid"])

    def kill_supervisor(self, process: subprocess.Popen[str]) -> None:
        os.kill(self.supervisor(), signal.SIGKILL)
        assert finish(process)[0] == 1

    def control(self, name: str) -> Path:
        path = self.root / name
        path.touch()
        return path

    def wait_until_runs(self, times: int = 1) -> None:
        def runs() -> bool:
            logs = [JobPaths(job).log for job in self.far_jobs()]
            return sum(log.exists() and "waits" in log.read_text() for log in logs) >= times

        wait_for(runs, "the job runs")


@contextmanager
def open_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster in a folder; what still waits in it goes on in the end."""
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cluster"))
    shop = Cluster(tmp_path)
    shop.root.mkdir()
    shop.shared.mkdir()
    shop.profile()
    yield shop
    shop.gate.touch()
    (shop.root / "hold").unlink(missing_ok=True)


def two_stages(shop: Cluster) -> None:
    """`model`, which waits at the gate, made from `data`."""
    shop.plain("data")
    shop.plain("model", more=GATE, config="x: ${art:data}\n", inputs={"data": "data"})
