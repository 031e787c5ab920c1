"""Processes that write, read and die; a test starts this file as a program.

    python store_processes.py COMMAND ROOT OPTIONS-AS-JSON …

They are forked after the imports, which would otherwise be most of the work.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nemo_runspec.store import HeldLease, Store, VersionDraft, open_store, posix
from nemo_runspec.store.objects import S3Backend
from nemo_runspec.store.posix import PosixBackend

NAME = "team/model"
# How far what others see of a version is looked at, on top of what the readers look at.
CHECK_EVERY = {"local": 1, "s3": 10}


def start(*arguments: object) -> list[Any]:
    """Runs this file; the lines of JSON that it printed."""
    ran = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        check=True,
        timeout=900,
    )
    return [json.loads(line) for line in ran.stdout.decode().splitlines()]


def write_at_once(root: str, options: dict[str, Any], processes: int, each: int) -> None:
    """`processes` write `each` versions of one name; two more read meanwhile.

    Prints what each did: the writers (number, writer's mark) of what was acknowledged to them.
    """
    kind = "s3" if root.startswith("s3:") else "local"
    stop = Path(os.environ["SCRATCH"]) / "stop"
    readers = [_fork(_read_until, root, options, stop) for _ in range(2)]
    writers = [
        _fork(_write, root, options, f"writer-{index}", each, CHECK_EVERY[kind])
        for index in range(processes)
    ]
    results = [_result(one) for one in writers]
    stop.touch()
    results += [_result(one) for one in readers]
    for result in results:
        print(json.dumps(result))


def _write(root: str, options: dict[str, Any], who: str, each: int, check_every: int) -> Any:
    store = open_store(root, storage_options=options)
    written = []
    problems = []
    for index in range(each):
        mark = f"{who} {index}"
        version = store.add_version(
            NAME, VersionDraft(path=f"/data/{mark}", metadata={"mark": mark}, key="k" * 64)
        )
        written.append([version.version, mark])
        if index % check_every == 0 and (store.latest(NAME) or 0) < version.version:
            problems.append(f"latest is below v{version.version}, which was acknowledged")
    return {"written": written, "problems": problems}


def _read_until(root: str, options: dict[str, Any], stop: Path) -> Any:
    store = open_store(root, storage_options=options)
    problems = []
    highest = 0
    raw_highest = 0
    reads = 0
    while not stop.exists():
        raw = store._backend.read(f"{NAME}/latest")
        raw_number = int(raw.decode("ascii").removeprefix("v")) if raw else 0
        latest = store.latest(NAME) or 0
        if raw_number < raw_highest:
            problems.append(f"the file latest went back from {raw_highest} to {raw_number}")
        if latest < max(highest, raw_number):
            problems.append(f"latest went back from {max(highest, raw_number)} to {latest}")
        if latest:
            manifest = store.manifest(NAME, latest)
            metadata = store.metadata(NAME, latest)
            if manifest.metadata["mark"] != metadata.get("mark"):
                problems.append(f"v{latest} is of two writers")
        raw_highest, highest = max(raw_highest, raw_number), max(highest, latest)
        reads += 1
    return {"reads": reads, "problems": problems}


def kill_at_each_step(root: str, options: dict[str, Any]) -> None:
    """Writes to one store per step, each writer killed before or after its i-th step.

    Each store has one version before. Prints where each was killed; ends at the step there is not.
    """
    for step in range(1, 200):
        for moment in ("before", "after"):
            place = f"{root}/{step}-{moment}"
            name = _fork(_add, place, options, "first")
            if "error" in _result(name):
                raise SystemExit("the first version could not be written")
            pid, pipe = _fork(_add_and_die, place, options, step, moment)
            said = b""
            while chunk := os.read(pipe, 4096):
                said += chunk
            os.close(pipe)
            status = os.waitpid(pid, 0)[1]
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            if not killed and moment == "before":
                return
            print(json.dumps({"place": place, "killed": killed, "last": said.decode()}))


def _add(root: str, options: dict[str, Any], mark: str) -> Any:
    store = open_store(root, storage_options=options)
    return {
        "version": store.add_version(NAME, VersionDraft(path="/x", metadata={"mark": mark})).version
    }


def _add_and_die(root: str, options: dict[str, Any], step: int, moment: str) -> Any:
    counter = _Counter(step, moment)
    if root.startswith("s3:"):
        backend: Any = _DyingS3(root, options)
        backend.counter = counter
        Store(backend).add_version(NAME, VersionDraft(path="/x", metadata={"mark": "killed"}))
    else:
        vars(posix)["os"] = _DyingOs(counter)
        Store(PosixBackend(root)).add_version(
            NAME, VersionDraft(path="/x", metadata={"mark": "killed"})
        )
    return None


class _Counter:
    """Ends this process outright before or after its i-th step."""

    def __init__(self, step: int, moment: str) -> None:
        self._die = (step, moment)
        self._count = 0

    def begin(self) -> None:
        self._count += 1
        self._now("before")

    def end(self) -> None:
        self._now("after")

    def _now(self, moment: str) -> None:
        if (self._count, moment) == self._die:
            os.kill(os.getpid(), signal.SIGKILL)


class _DyingOs:
    """The module `os`, each of whose calls that change a disk is a step."""

    def __init__(self, counter: _Counter) -> None:
        self._counter = counter

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in ("mkdir", "open", "fdopen", "fsync", "link", "unlink", "replace", "close"):
            return real

        def step(*args: Any, **kwargs: Any) -> Any:
            self._counter.begin()
            result = real(*args, **kwargs)
            self._counter.end()
            return result

        return step


class _DyingS3(S3Backend):
    """An S3 root, each request to which is a step."""

    counter: _Counter

    def _count_requests(self, fs: Any) -> None:
        send = fs._call_s3

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self.counter.begin()
            result = await send(*args, **kwargs)
            self.counter.end()
            return result

        fs._call_s3 = counted


def contend(root: str, options: dict[str, Any], processes: int, rounds: int) -> None:
    """A holder takes each lease and is killed; then `processes` contend for it, all at once."""
    for index in range(rounds):
        lease_id = f"{NAME}/{index}"
        pid, pipe = _fork(_take_and_die, root, options, lease_id)
        os.waitpid(pid, 0)
        os.close(pipe)
        gate = os.pipe()
        contenders = [_fork(_contend, root, options, lease_id, gate) for _ in range(processes)]
        os.close(gate[0])
        os.close(gate[1])  # their start
        print(json.dumps([_result(one) for one in contenders]))


def _take_and_die(root: str, options: dict[str, Any], lease_id: str) -> Any:
    lease = open_store(root, storage_options=options).acquire(lease_id, {"who": "dead"})
    if isinstance(lease, HeldLease):
        raise SystemExit("a new lease is held")
    os.kill(os.getpid(), signal.SIGKILL)


def _contend(root: str, options: dict[str, Any], lease_id: str, gate: tuple[int, int]) -> Any:
    os.close(gate[1])
    store = open_store(root, storage_options=options)
    os.read(gate[0], 1)
    taken = store.acquire(lease_id, {"who": os.getpid()})
    if isinstance(taken, HeldLease):
        return {"held_by": taken.holder["who"], "pid": os.getpid()}
    # Hold it until every other one has asked: they may not outlive us.
    time.sleep(1)
    return {"taken": taken.generation, "mine": taken.is_mine(), "pid": os.getpid()}


def _fork(function: Callable[..., Any], *arguments: Any) -> tuple[int, int]:
    """Starts a process; what it returns, as JSON, comes through the pipe."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    code = 1
    try:
        os.close(reading)
        said = json.dumps(function(*arguments)).encode()
        while said:
            said = said[os.write(writing, said) :]
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _result(started: tuple[int, int]) -> Any:
    pid, pipe = started
    with os.fdopen(pipe, "rb") as file:
        said = file.read()
    status = os.waitpid(pid, 0)[1]
    return json.loads(said) if status == 0 else {"error": status}


if __name__ == "__main__":
    command, root, options, *numbers = sys.argv[1:]
    commands: dict[str, Callable[..., None]] = {
        "write": write_at_once,
        "kill": kill_at_each_step,
        "contend": contend,
    }
    if root.startswith("s3:"):
        import s3fs  # type: ignore[import-untyped]  # noqa: F401  before the forks, not in each
    commands[command](root, json.loads(options), *map(int, numbers))
