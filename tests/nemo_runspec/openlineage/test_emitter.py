"""Events go out in order, and nobody waits long for one who does not take them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.openlineage.emitter import Emitter
from nemo_runspec.openlineage.events import State, run_event
from nemo_runspec.openlineage.runs import RECIPE, JobName, LineageRun
from nemo_runspec.openlineage.settings import configured_by, namespace
from tests.nemo_runspec.executor_contract import wait_for
from tests.nemo_runspec.openlineage.receiver import Receiver, check

RUN = "00000000-0000-4000-8000-000000000001"


def event(number: int) -> Any:
    job = JobName(RUN, "runspec", f"job {number}")
    return run_event(LineageRun(job, RECIPE, "2026-01-31T23:59:59+00:00"), State.START)


def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    config = tmp_path / "ol.yml"
    config.write_text(f"transport: {{type: http, url: '{url}', retry: {{total: 0}}}}\n")
    monkeypatch.setenv("OPENLINEAGE_CONFIG", str(config))


def test_in_order(server: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configure(monkeypatch, tmp_path, server.url)
    said: list[str] = []
    emitter = Emitter("x", said.append, patience=60)
    for number in range(5):
        emitter.emit(lambda number=number: [event(number)])  # type: ignore[misc]
    emitter.close()
    assert [each["job"]["name"] for each in check(server.events)] == [f"job {n}" for n in range(5)]
    assert said == []


def test_one_that_refuses(
    server: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configure(monkeypatch, tmp_path, server.url)
    server.answer = 500
    said: list[str] = []
    emitter = Emitter("openlineage.yml", said.append, patience=60)
    for number in range(3):
        emitter.emit(lambda number=number: [event(number)])  # type: ignore[misc]
    began = time.monotonic()
    emitter.close()
    assert time.monotonic() - began < 60
    (text,) = said
    assert "not delivered (openlineage.yml): RetryError: " in text and "\n" not in text


def test_one_that_comes_back(
    server: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configure(monkeypatch, tmp_path, server.url)
    said: list[str] = []
    failed = threading.Event()

    def warn(text: str) -> None:
        said.append(text)
        server.answer = 201
        failed.set()

    server.answer = 500
    emitter = Emitter("x", warn, patience=60)
    emitter.emit(lambda: [event(0)])
    assert failed.wait(60)
    emitter.emit(lambda: [event(1)])
    wait_for(lambda: len(server.events) == 2, "the event after the failure")
    emitter.close()
    assert len(said) == 1 and [each["job"]["name"] for each in server.events] == ["job 0", "job 1"]


def test_one_that_hangs(server: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configure(monkeypatch, tmp_path, server.url)
    server.gate.clear()
    said: list[str] = []
    emitter = Emitter("x", said.append, patience=0.3)
    emitter.emit(lambda: [event(0)])
    began = time.monotonic()
    emitter.close()
    emitter.close()
    assert time.monotonic() - began < 60
    assert len(said) == 1 and "does not answer" in said[0]
    server.gate.set()


def test_events_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configure(monkeypatch, tmp_path, "http://127.0.0.1:1")

    def make() -> list[Any]:
        raise ValueError("https://me:hush@example.invalid")

    said: list[str] = []
    emitter = Emitter("x", said.append, patience=60)
    emitter.emit(make)
    emitter.close()
    assert len(said) == 1 and "ValueError" in said[0] and "hush" not in said[0]


def test_what_configures_the_client(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    environ = {"HOME": str(home)}
    assert configured_by(environ, work) is None
    (home / ".openlineage").mkdir()
    file = home / ".openlineage" / "openlineage.yml"
    file.touch()
    assert configured_by(environ, work) == str(file)
    (work / "openlineage.yml").touch()
    assert configured_by(environ, work) == str(work / "openlineage.yml")
    environ["OPENLINEAGE__TRANSPORT__TYPE"] = "console"
    assert configured_by(environ, work) == "OPENLINEAGE__TRANSPORT__TYPE"
    environ["OPENLINEAGE_URL"] = "http://x"
    assert configured_by(environ, work) == "OPENLINEAGE_URL"
    assert namespace(environ) == "runspec"
    environ.update(OPENLINEAGE_DISABLED="True", OPENLINEAGE_NAMESPACE="team")
    assert configured_by(environ, work) is None and namespace(environ) == "team"


def test_the_client_is_imported_by_nobody_who_does_not_want_it() -> None:
    code = """\
import sys
sys.path[:] = eval(sys.argv[1])
import nemo_runspec.recipe_run, nemo_runspec.pipeline.supervisor_process
from nemo_runspec.openlineage.by_hand import told_to_openlineage
with told_to_openlineage(None) as lineage:
    lineage.started(None)
found = [name for name in sys.modules if name.partition(".")[0] in ("openlineage", "torchx")]
sys.exit(str(found) if found else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, repr(sys.path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
