"""What happens while a pipeline runs: one JSON object a line, written by its supervisor.

{"at": 1700000000.0, "event": "begin", "total": 4, "nodes": [["data", "stale"], …]}
{"at": …, "event": "fresh", "name": "data", "version": 3}
{"at": …, "event": "waiting", "name": "sft", "holder": "ann on host7 since …"}
{"at": …, "event": "queued", "name": "sft", "why": "Resources", "executor": "slurm", "id": "12",
 "job": "…", "log": "…", "attempt": 1}
{"at": …, "event": "running", "name": "sft", "why": "…", "job": "…", "log": "…", "attempt": 1}
    with "executor" and "id" where it is a job of a cluster
{"at": …, "event": "built", "name": "sft", "version": 4, "seconds": 12.3, "gpu_hours": 0.0,
 "details": {"manifest": folder, "wandb": URL or null, "metrics": {name: number}}}
{"at": …, "event": "failed", "name": "sft", "why": "exit code 1", "log": "…"}
{"at": …, "event": "stopped", "name": "sft", "why": "…"}
{"at": …, "event": "skipped", "name": "eval", "why": "sft failed"}
{"at": …, "event": "note", "name": "sft", "text": "…"}
{"at": …, "event": "end", "exit_code": 1, "built": 1, "fresh": 1, …}
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]


class EventLog:
    """Appends events to a file; each is there whole, or not at all, for a reader of lines.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def append(self, event: Event) -> None:
        """Write one event.

        Raises:
            OSError: it cannot be written.
        """
        os.write(self._descriptor, json.dumps(event).encode() + b"\n")

    def close(self) -> None:
        os.close(self._descriptor)


class EventReader:
    """Reads the events of a file that grows.

    Args:
        path: the file, whether it exists yet or not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> Iterator[dict[str, Any]]:
        """The events since the last call; a line without its end waits for the next."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                written = file.read()
        except FileNotFoundError:
            return
        whole = written[: written.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the rest of a line that a full disk cut off
            if isinstance(event, dict):
                yield event


def make_event(kind: str, **fields: Any) -> dict[str, Any]:
    """An event that happens now; fields of None are left out."""
    told = {key: value for key, value in fields.items() if value is not None}
    return {"at": time.time(), "event": kind, **told}
