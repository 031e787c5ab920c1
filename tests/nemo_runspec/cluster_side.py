"""The cluster's side of a tunnel, on this machine."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Result:
    ok: bool
    stdout: str
    stderr: str


@dataclass
class Tunnel:
    """Runs commands as NeMo-Run's tunnel does: a shell line, `warn` keeps a failure quiet.

    Args:
        env: the environment there; None is ours.
        lines: what was run, in order.
    """

    env: dict[str, str] | None = None
    lines: list[str] = field(default_factory=list)

    def run(self, command: str, hide: bool = True, warn: bool = False, **options: Any) -> Result:
        self.lines.append(command)
        stream = options.get("in_stream")
        done = subprocess.run(
            ["bash", "-c", command],
            input=stream.read() if stream is not None else "",
            capture_output=True,
            text=True,
            env=self.env,
        )
        if done.returncode and not warn:
            raise RuntimeError(done.stderr)
        return Result(done.returncode == 0, done.stdout, done.stderr)

    def connect(self) -> None:
        self.lines.append("<connect>")

    def cleanup(self) -> None:
        self.lines.append("<cleanup>")
