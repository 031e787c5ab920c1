from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.relay.host import Connection
from nemo_runspec.relay.send import Entry, Tree, send_missing

PATIENCE_SECONDS = 60
ID = "20260131-235959-1a2b3c4d"


def start(
    connection: Connection, argv: Sequence[str], env: dict[str, str] | None = None, id: str = ID
) -> None:
    tree = Tree(f"_relay/runs/{id}", lambda: [Entry("x", b"")], private=True)
    send_missing(connection, [tree], lambda size: None)
    answer = connection.ask("start", id=id, argv=list(argv), env=env or {})
    assert answer == {"started": id}


def start_python(connection: Connection, code: str, **env: str) -> None:
    start(connection, [sys.executable, "-c", code], env)


def follow(
    connection: Connection, out: int = 0, err: int = 0, lost_seconds: float = 60
) -> tuple[bytes, bytes, dict[str, Any]]:
    """What it wrote from these offsets on, and the last answer."""
    connection.request("follow", id=ID, out=out, err=err, lost_seconds=lost_seconds)
    seen = {"out": b"", "err": b""}
    while "stream" in (answer := connection.answer()):
        seen[answer["stream"]] += connection.read(answer["size"])
    return seen["out"], seen["err"], answer


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_output_exit_code_and_environment(connect: Callable[[], Connection], root: Path) -> None:
    code = "import os, sys; print(os.environ['A'], os.getcwd()); sys.stderr.write('e'); sys.exit(7)"
    connection = connect()
    start_python(connection, code, A="a\nb 'c' ü")
    out, err, end = follow(connection)
    assert out.decode() == f"a\nb 'c' ü {root / '_workspace'}\n"
    assert (err, end) == (b"e", {"end": 7})
    assert connection.ask("done", id=ID) == {"done": ID}
    assert list((root / "_relay" / "runs").iterdir()) == []


def test_started_twice_it_runs_once(connect: Callable[[], Connection], tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'a').write('x'); print('y')"
    for _ in range(2):
        connection = connect()
        start_python(connection, code)
    assert follow(connection) == (b"y\n", b"", {"end": 0})
    assert ran.read_text() == "x"


def test_another_connection_goes_on_where_the_first_stopped(
    connect: Callable[[], Connection], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    code = f"""
import os, sys, time
print("0123456789", flush=True)
while not os.path.exists({str(go)!r}):
    time.sleep(0.01)
print("abc")
"""
    first = connect()
    start_python(first, code)
    first.request("follow", id=ID, out=0, err=0, lost_seconds=60)
    assert first.read(first.answer()["size"]) == b"0123456789\n"
    first.close()
    go.touch()
    assert follow(connect(), out=5) == (b"56789\nabc\n", b"", {"end": 0})


def test_signal_is_passed_on(connect: Callable[[], Connection]) -> None:
    code = "import time; print('x', flush=True); time.sleep(600)"
    connection = connect()
    start_python(connection, code)
    connection.request("follow", id=ID, out=0, err=0, lost_seconds=60)
    connection.read(connection.answer()["size"])
    assert connection.tell(signal=int(signal.SIGTERM))
    assert connection.answer() == {"end": 128 + signal.SIGTERM}


def test_signal_for_what_has_ended_harms_nobody(connect: Callable[[], Connection]) -> None:
    connection = connect()
    start_python(connection, "print('x')")
    assert follow(connection)[2] == {"end": 0}
    assert connection.tell(signal=int(signal.SIGINT))  # on its way when the end came
    assert connection.ask("done", id=ID) == {"done": ID}


def test_end_is_kept_though_nothing_could_be_written_for_a_while(
    connect: Callable[[], Connection], root: Path, tmp_path: Path
) -> None:
    connection = connect()
    ended = tmp_path / "ended"
    code = f"import time; time.sleep(2); open({str(ended)!r}, 'w').close(); exit(5)"
    start_python(connection, code)
    run = root / "_relay" / "runs" / ID
    wait_for((run / "err").exists)
    # Nothing can be written there, by whoever runs the tests: a link to nowhere, a folder.
    (run / "link").symlink_to(tmp_path / "no" / "where")
    (run / "link").replace(run / "alive")
    (run / "exit").mkdir()
    (run / "exit" / "x").touch()
    wait_for(ended.exists)
    time.sleep(0.5)
    (run / "exit" / "x").unlink()
    (run / "exit").rmdir()
    wait_for((run / "exit").is_file)
    assert follow(connection)[2] == {"end": 5}


def test_what_cannot_be_started(connect: Callable[[], Connection]) -> None:
    connection = connect()
    start(connection, ["/no/launcher"])
    assert follow(connection) == (
        b"",
        b"error: /no/launcher: No such file or directory\n",
        {"end": 127},
    )


def test_command_whose_watcher_is_gone(connect: Callable[[], Connection]) -> None:
    connection = connect()
    start_python(connection, "import os, time; print(os.getppid(), flush=True); time.sleep(2)")
    connection.request("follow", id=ID, out=0, err=0, lost_seconds=2)
    watcher = int(connection.read(connection.answer()["size"]))
    os.kill(watcher, signal.SIGKILL)
    assert connection.answer() == {"lost": ID}


def test_unknown_command(connect: Callable[[], Connection]) -> None:
    assert follow(connect()) == (b"", b"", {"unknown": ID})


@pytest.mark.parametrize(("days", "left"), [(13, True), (15, False)])
def test_what_nobody_came_to_see_goes(
    connect: Callable[[], Connection], root: Path, days: int, left: bool
) -> None:
    connection = connect()
    start_python(connection, "print()")
    old = root / "_relay" / "runs" / ID
    wait_for((old / "exit").exists)
    then = time.time() - days * 24 * 3600
    os.utime(old / "alive", (then, then))
    start(connection, [sys.executable, "-c", ""], id="another")
    assert old.exists() is left


def test_what_was_received_by_half_goes(connect: Callable[[], Connection], root: Path) -> None:
    connection = connect()
    half = root / "_bundles" / ".receiving-x"
    half.mkdir(parents=True)
    os.utime(half, (0, 0))
    send_missing(connection, [Tree("_bundles/y", lambda: [])], lambda size: None)
    connection.ask("need", paths=[])
    assert [path.name for path in (root / "_bundles").iterdir()] == ["y"]
