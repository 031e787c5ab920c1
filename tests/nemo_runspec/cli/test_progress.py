"""Long work shows that it lives: heartbeats, logs in the table, panels at the end."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from nemo_runspec.execution.protocol import Executor, Handle, State, Status
from nemo_runspec.pipeline import silence
from nemo_runspec.pipeline.heartbeat import Heartbeat, last_line
from nemo_runspec.pipeline.made import labelled_details, version_details
from nemo_runspec.pipeline.progress import _Lines, _LiveTable
from nemo_runspec.pipeline.silence import broken_silence
from nemo_runspec.store import VersionDraft
from tests.nemo_runspec.cli.command import PATIENCE_SECONDS, Shell


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_heartbeat_comes_ever_later(shell: Shell) -> None:
    clock = Clock()
    beat = Heartbeat(clock)
    due = []
    for second in range(4000):
        clock.now = second
        if beat.is_due():
            due.append(second)
    assert due[:5] == [60, 180, 420, 900, 1500]
    beat.heard()
    clock.now += 60
    assert beat.is_due()


def event(kind: str, name: str = "data", **fields: Any) -> dict[str, Any]:
    return {"at": 0.0, "event": kind, "name": name, **fields}


def test_lines_tell_that_jobs_go_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("epoch 1\nloss 0.5\r loss 0.4\n\n")
    clock, out = Clock(), io.StringIO()
    lines = _Lines(out, clock)
    lines.tick()
    lines.show(event("running", log=str(log)))
    for clock.now in (30.0, 61.0, 62.0, 200.0):
        lines.tick()
    lines.show(event("running", "model", log=""))
    clock.now = 300.0
    lines.tick()
    for name in ("data", "model"):
        lines.show(event("built", name, version=1, seconds=1.0))
    clock.now = 9000.0
    lines.tick()
    told = [line for line in out.getvalue().splitlines() if line.startswith("still")]
    assert told == [
        "still at work: data (1 min 01 s); its log: loss 0.4",
        "still at work: data (3 min 20 s); its log: loss 0.4",
        "still at work: data (5 min 00 s), model (1 min 40 s)",
    ]


def test_lines_tell_of_what_was_made() -> None:
    out = io.StringIO()
    details = {"manifest": "/store/data/v1", "wandb": "https://x", "metrics": {"loss": 1.0}}
    _Lines(out).show(event("built", version=1, seconds=2.0, details=details))
    assert out.getvalue().splitlines() == [
        "data: built v1 in 2.0 s",
        "  Manifest: /store/data/v1",
        "  W&B:      https://x",
        "  Metrics:  loss 1",
    ]


def test_the_table_shows_the_log_and_the_end_its_panels(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("loss 0.25\n")
    out = io.StringIO()
    table = _LiveTable(out)
    table._console = Console(file=out, width=100, force_terminal=True, color_system=None)
    with table:
        table.show({"at": 0.0, "event": "begin", "nodes": [["data", "stale"], ["old", "fresh"]]})
        table.show(event("running", log=str(log), why="x changed"))
        shown = io.StringIO()
        Console(file=shown, width=100).print(table._table())
        assert "running" in shown.getvalue() and "loss 0.25" in shown.getvalue()
        table.show(event("built", version=1, seconds=2.0, details={"manifest": "/s/data/v1"}))
        table.show({"at": 1.0, "event": "end", "built": 1, "seconds": 2.0})
    text = out.getvalue()
    assert "Step Complete (data)" in text and "Manifest: /s/data/v1" in text
    assert text.rstrip().splitlines()[-1].strip() == "built 1, 2.0 s"


LOGS = {
    b"": "",
    b"\n \n": "",
    b"one\ntwo": "two",
    b"\xff\xfe bad\n": "\ufffd\ufffd bad",
    b"10%\r 50%\r": "50%",
    b"\x1b[31mred\x1b[0m\n": "[31mred [0m",
    b"x" * 9000: "x" * 159 + "…",
    b"HF_TOKEN=hf_abcdefghijklmnopqrstuvwxyz0123456789\n": "HF_TOKEN=******",
}


@pytest.mark.parametrize("body", LOGS)
def test_the_last_line_of_a_log(tmp_path: Path, body: bytes) -> None:
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_bytes(body)
    assert last_line(log) == LOGS[body]


class Silent:
    """An executor of a cluster whose job waits."""

    runs_here = False

    def status(self, _handle: Handle) -> Status:
        return Status(State.PENDING, why="Resources")


@pytest.fixture
def impatient() -> Iterator[Heartbeat]:
    class Always(Heartbeat):
        def is_due(self) -> bool:
            return True

    yield Always()


def test_a_silent_job_of_a_cluster(
    impatient: Heartbeat, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "_LOOK_SECONDS", 0.01)
    handle = cast(Handle, object())
    out, said = io.BytesIO(), ""
    until = time.monotonic() + PATIENCE_SECONDS
    with broken_silence("train", cast(Executor, Silent()), handle, out, impatient) as watched:
        watched.write(b"x")
        while "\n" not in said and time.monotonic() < until:
            time.sleep(0.01)
            said += capsys.readouterr().err
    assert out.getvalue() == b"x"
    first = said.splitlines()[0]
    assert first.startswith("note: train: pending for ")
    assert first.endswith("(Resources); it says nothing")


def test_a_job_of_this_machine_is_left_alone_where_nobody_watches() -> None:
    executor = Silent()
    executor.runs_here = True
    out = io.BytesIO()
    assert not sys.stderr.isatty()
    with broken_silence("x", cast(Executor, executor), cast(Handle, object()), out) as watched:
        assert watched is out


def test_what_is_told_of_a_version(shell: Shell) -> None:
    draft = VersionDraft(
        path=str(shell.folder),
        type="ModelArtifact",
        metadata={"step": 3, "ok": True, "name": "x"},
        extra={"tracking": {"url": "https://wandb.example/run"}},
    )
    store = shell.store
    store.add_version("team/model", draft)
    lines = [{"name": "loss", "value": value, "step": 1, "at": "2026"} for value in (1.0, 0.5)]
    body = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    store.attach("team/model", 1, "metrics.jsonl", body)
    root = shell.folder / ".runspec" / "artifacts"
    assert version_details(store, "team/model", 1) == {
        "manifest": f"{root}/team/model/v1",
        "wandb": "https://wandb.example/run",
        "metrics": {"step": 3.0, "loss": 0.5},
    }
    assert labelled_details(version_details(store, "team/model", 1)) == {
        "Manifest": f"{root}/team/model/v1",
        "W&B": "https://wandb.example/run",
        "Metrics": "step 3, loss 0.5",
    }
    store.add_version("bare", VersionDraft(path=str(shell.folder), type="Artifact"))
    for version in (1, 2):  # and one that is not there
        told = version_details(store, "bare", version)
        assert labelled_details(told) == {"Manifest": f"{root}/bare/v{version}"}
    many = {f"m{n}": n for n in range(8)} | {"m8": float("nan")}
    store.add_version("bare", VersionDraft(path=str(shell.folder), type="A", metadata=many))
    told = version_details(store, "bare", 2)
    assert json.loads(json.dumps(told, allow_nan=False))["metrics"]["m8"] == "NaN"
    assert labelled_details(told)["Metrics"].endswith("m5 5 and 3 more")
