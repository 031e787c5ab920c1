"""The process that stands over one local job, in a session of its own.

It starts the job, keeps its record (`status.json`) and ends it when it is told to (SIGTERM, SIGINT
or SIGHUP to this process) or, for an attached job, when the process that submitted it is gone.
So a job neither dies with a terminal's Ctrl-C before it was asked nor outlives a launcher that
was killed outright, and its exit code is known to whoever asks later.

`LocalExecutor` sends this file's source through standard input to a bare interpreter, because
inside a PEX there may be no file to name: hence standard library only, no import of ours.
The protocol on standard input: this source, the instructions as JSON, then nothing; its end of
file says that the submitter is gone. On standard output: one line of JSON, `{"pid": N}` or
`{"error": "…"}`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# What a job gets to end in good order, in seconds. Pants kills the launcher 3 s after Ctrl-C and
# a person waits no longer either, so that the whole takes less than 2 s.
LADDER = ((signal.SIGINT, 1.0), (signal.SIGTERM, 0.5), (signal.SIGKILL, 0.2))
STRAGGLERS = ((signal.SIGTERM, 0.5), (signal.SIGKILL, 0.2))
POLL_SECONDS = 0.02


class Process(NamedTuple):
    """One live process; `started` tells it from a later one with the same number."""

    parent: int
    group: int
    started: str


def find_process(pid: int) -> Process | None:
    """The live process `pid`, or None when there is none or only its unreaped remains."""
    if os.path.isdir("/proc/self"):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        return _from_proc_stat(stat)
    return _processes_by_ps("-p", str(pid)).get(pid)


def all_processes() -> dict[int, Process]:
    """Every live process of this machine that we may see."""
    if not os.path.isdir("/proc/self"):
        return _processes_by_ps("-A")
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    found = ((pid, find_process(pid)) for pid in pids)
    return {pid: process for pid, process in found if process is not None}


def _from_proc_stat(stat: str) -> Process | None:
    # proc_pid_stat(5): `pid (comm) state ppid pgrp …`, comm may hold anything; field 22 is when it
    # started.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        return None
    return Process(int(fields[1]), int(fields[2]), fields[19])


def _processes_by_ps(*selection: str) -> dict[int, Process]:
    listing = subprocess.run(
        ["ps", *selection, "-o", "pid=,ppid=,pgid=,stat=,lstart="],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    rows = (line.split(None, 4) for line in listing.stdout.splitlines())
    return {
        int(pid): Process(int(parent), int(group), started.strip())
        for pid, parent, group, state, started in rows
        if not state.startswith("Z")
    }


def machine() -> str:
    """This machine since it was started: process numbers mean nothing outside it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()} {boot}".strip()


def identity(pid: int) -> dict[str, Any]:
    """How a record names a process, so that a recycled number is not taken for it."""
    process = find_process(pid)
    return {"pid": pid, "started": process.started if process else ""}


def is_alive(known: dict[str, Any]) -> bool:
    """Whether the very process that `identity` described still runs."""
    process = find_process(known["pid"])
    return process is not None and process.started == known["started"]


def write_json(path: str, document: dict[str, Any]) -> None:
    """Writes `document` so that a reader sees the old or the new text, never a part."""
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2, sort_keys=True)
        file.write("\n")
    os.replace(temporary, path)


def end_group(
    leader: int,
    reap: Callable[[], object] = lambda: None,
    ladder: tuple[tuple[signal.Signals, float], ...] = LADDER,
) -> None:
    """Ends the process group of `leader`, by ever harder signals until nothing of it is left.

    Descendants that left the group (torchrun puts each worker in a session of its own) are ended
    too, but not by SIGINT: whoever started them passes that on, and twice would cut short
    their clean-up.

    Args:
        leader: process id of the group's leader.
        reap: called while waiting, to collect the leader when it is a child of the caller.
        ladder: (signal, seconds to wait for its effect), in order.
    """
    below: dict[int, Process] = {}
    for signum, grace in ladder:
        below.update(_descendants(leader))
        outside = [] if signum == signal.SIGINT else _still_alive(below)
        for send, target in [(os.killpg, leader), *((os.kill, pid) for pid in outside)]:
            try:
                send(target, signum)
            except (ProcessLookupError, PermissionError):
                continue  # it ended in the meantime, or is not ours
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            reap()
            if not group_exists(leader) and not _still_alive(below):
                return
            time.sleep(POLL_SECONDS)


def group_exists(leader: int) -> bool:
    """Whether any live process is left in the group of `leader`."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # The remains of one whose parent does not collect it (an idle init in a container) still count
    # for killpg.
    return any(process.group == leader for process in all_processes().values())


def _descendants(root: int) -> dict[int, Process]:
    processes = all_processes()
    found: dict[int, Process] = {}
    parents = {root}
    while parents:
        children = {
            pid: process
            for pid, process in processes.items()
            if process.parent in parents and pid not in found
        }
        found.update(children)
        parents = set(children)
    return found


def _still_alive(known: dict[int, Process]) -> list[int]:
    now = ((pid, find_process(pid), process) for pid, process in known.items())
    return [pid for pid, found, was in now if found is not None and found.started == was.started]


def _supervise(instructions: dict[str, Any]) -> None:
    """Runs one job to its end. `instructions`: argv, cwd, env, log, status, attached."""
    wakeup, signals = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(signals, False)
    signal.set_wakeup_fd(signals)
    for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(
            signum, lambda *_: None
        )  # the wake-up pipe tells; default actions would end us

    started_at = time.time()
    try:
        with open(instructions["log"], "ab", buffering=0) as log:
            job = subprocess.Popen(
                instructions["argv"],
                cwd=instructions["cwd"],
                env=instructions["env"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        named = f": {error.filename}" if error.filename else ""
        _report({"error": f"{error.strerror}{named}"})
        return

    try:
        record = {
            "state": "running",
            "machine": machine(),
            "supervisor": identity(os.getpid()),
            "job": identity(job.pid),
            "started_at": started_at,
        }
        write_json(instructions["status"], record)
        _report({"pid": job.pid})
        cancelled = _wait(job, wakeup, attached=instructions["attached"])
    except BaseException:
        end_group(job.pid, reap=job.poll)  # nobody would ever end it
        raise
    if cancelled:
        end_group(job.pid, reap=job.poll)
    elif group_exists(job.pid):
        end_group(job.pid, ladder=STRAGGLERS)
    returncode = job.wait()
    exit_code = returncode if returncode >= 0 else 128 - returncode
    ended = {"state": "ended", "ended_at": time.time(), "exit_code": exit_code}
    write_json(instructions["status"], {**record, **ended, "cancelled": cancelled})


def _wait(job: subprocess.Popen[bytes], wakeup: int, *, attached: bool) -> bool:
    """Waits for the job's end, a signal to stop or the loss of the submitter.

    Returns:
        Whether the job has to be ended; False when it ended by itself.
    """
    stdin = sys.stdin.fileno()
    watched = [wakeup, stdin] if attached else [wakeup]
    while job.poll() is None:
        readable = select.select(watched, [], [])[0]
        received = os.read(wakeup, 4096) if wakeup in readable else b""
        if set(received) - {signal.SIGCHLD}:
            return True
        if stdin in readable and not os.read(stdin, 4096):
            return True
    return False


def _report(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)


if __name__ == "__main__":
    _supervise(json.loads(sys.stdin.buffer.read(int(sys.argv[2]))))
