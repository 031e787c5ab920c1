from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.pipeline.events import EventLog, EventReader, make_event
from nemo_runspec.pipeline.progress import describe, duration, open_progress
from tests.nemo_runspec.pipeline.workshop import MAIN, Workshop


def test_events_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "events"
    reader = EventReader(path)
    assert list(reader.read()) == []
    log = EventLog(path)
    log.append(make_event("fresh", name="naïve", version=3, why=None))
    (event,) = reader.read()
    assert (event["event"], event["name"], event["version"]) == ("fresh", "naïve", 3)
    assert "why" not in event
    with path.open("ab") as file:
        file.write(b'{"event": "ru')
    assert list(reader.read()) == []
    with path.open("ab") as file:
        file.write(b'nning"}\nbroken\n{"event": "end"}\n')
    assert [each["event"] for each in reader.read()] == ["running", "end"]
    log.close()


LINES: dict[str, dict[str, Any]] = {
    "a: fresh (v3)": {"event": "fresh", "name": "a", "version": 3},
    "a: waiting, ann on host builds it": {
        "event": "waiting",
        "name": "a",
        "holder": "ann on host",
    },
    "a: running, attempt 2 (x changed); log: /l": {
        "event": "running",
        "name": "a",
        "attempt": 2,
        "why": "x changed",
        "log": "/l",
    },
    "a: built v2 in 1 min 05 s, same content as before": {
        "event": "built",
        "name": "a",
        "version": 2,
        "seconds": 65,
        "same": True,
    },
    "a: failed, exit code 1; log: /l": {
        "event": "failed",
        "name": "a",
        "why": "exit code 1",
        "log": "/l",
    },
    "a: not run, b failed": {"event": "skipped", "name": "a", "why": "b failed"},
    "built 3, 4 fresh, 2.50 GPU-hours, 12 s": {
        "event": "end",
        "built": 3,
        "fresh": 4,
        "gpu_hours": 2.5,
        "seconds": 12.0,
    },
}


@pytest.mark.parametrize("expected", LINES)
def test_lines(expected: str) -> None:
    assert describe(LINES[expected]) == expected


def test_spans() -> None:
    assert [duration(s) for s in (0.04, 9.96, 59, 61, 3600, 7260)] == [
        *("0.0 s", "10.0 s", "59 s", "1 min 01 s", "1 h 00 min", "2 h 01 min")
    ]


def test_a_file_gets_plain_lines() -> None:
    out = io.StringIO()
    with open_progress(out) as progress:
        for each in LINES.values():
            progress.show({"at": 0.0, **each})
    assert out.getvalue().splitlines() == [line for line in LINES if "fresh (" not in line]


def test_a_terminal_gets_a_table_that_lives(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.plain("data")
    shop.plain("model", inputs=["data"])
    parent, child = pty.openpty()
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "RAN": str(shop.ran_file),
        "RUNSPEC_PYTHON": sys.executable,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "TERM": "xterm-256color",
        "COLUMNS": "120",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *shop.write()],
        cwd=shop.repository,
        env=env,
        stdout=child,
        stderr=subprocess.PIPE,
    )
    os.close(child)
    shown = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # how Linux says that the other end was closed
            break
        if not piece:
            break
        shown += piece
    os.close(parent)
    assert process.stderr is not None
    with process.stderr as errors:
        assert errors.read() == b""
    assert process.wait(60) == 0
    text = shown.decode()
    assert "\x1b[" in text
    for expected in ("data", "model", "built", "built 2, "):
        assert expected in text
