"""What runs on the other host: a program of the standard library alone, sent there over ssh.

It reads requests from its standard input and writes answers to its standard output, each a line of
JSON, some with bytes behind it. What it starts runs in a session of its own with its output and
exit code in files, so that it outlives the connection; another connection finds it there.

All paths are relative to the root, the profile's `remote_job_dir`:

    _relay/runs/<id>/       one command; gone once its end was seen
      out  err              what it writes
      exit                  its exit code, when it has ended
      alive                 touched while it runs
      signal                one to pass on to it
    _workspace/             where commands run
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

HELLO = b"\x01nemo-runspec relay 1\n"  # what a login shell prints comes before it
RUNS = "_relay/runs"
WORKSPACE = "_workspace"
ROOT_MARKER = "BUILDROOT"  # paths of a command are relative to the folder that holds it

_CHUNK = 1 << 16
_RECEIVING = ".receiving-"
_ALIVE_SECONDS = 1.0
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25
_SIGNAL_SECONDS = 0.1
_KEPT_SECONDS = 14 * 24 * 3600.0
_INSIST_SECONDS = 3600.0
_NOT_STARTED = 127


class Channel:
    """The two streams of a connection.

    Args:
        source: the file descriptor to read from.
        sink: the one to write to.
    """

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._waiting = b""

    def send(self, message: dict[str, Any], content: bytes = b"") -> None:
        data = json.dumps(message).encode() + b"\n" + content
        while data:
            data = data[os.write(self._sink, data) :]

    def receive(self) -> dict[str, Any] | None:
        """The next request; None when nobody is there any more."""
        while b"\n" not in self._waiting:
            if not self._fill():
                return None
        line, _, self._waiting = self._waiting.partition(b"\n")
        request: dict[str, Any] = json.loads(line)
        return request

    def has_request(self, seconds: float) -> bool:
        """Whether a request, or the end, comes within so many seconds."""
        return bool(self._waiting or select.select([self._source], [], [], seconds)[0])

    def copy(self, size: int, sink: int) -> None:
        """Writes so many bytes of the input to a file descriptor."""
        while size:
            if not self._waiting and not self._fill():
                raise EOFError
            part, self._waiting = self._waiting[:size], self._waiting[size:]
            size -= len(part)
            while part:
                part = part[os.write(sink, part) :]

    def _fill(self) -> bool:
        data = os.read(self._source, _CHUNK)
        self._waiting += data
        return bool(data)


class Host:
    """Answers the requests of one connection.

    Args:
        channel: its streams.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._root = ""

    def serve(self) -> None:
        """Answers until nobody is there any more."""
        while True:
            request = self._channel.receive()
            if request is None:
                return
            op = request.pop("op", None)
            # Without one it is a signal for what ended meanwhile.
            if op is not None:
                getattr(self, "do_" + op)(**request)

    def do_open(self, root: str) -> None:
        """Takes `root` for the root; makes what is missing of it."""
        self._root = os.path.abspath(os.path.expanduser(root))
        workspace = self._path(WORKSPACE)
        try:
            os.makedirs(workspace, exist_ok=True)
            os.makedirs(self._path(RUNS), exist_ok=True)
            with open(os.path.join(workspace, ROOT_MARKER), "ab"):
                pass
        except OSError as error:
            message = f"remote_job_dir {root} cannot be used: {error.strerror}"
            self._channel.send({"error": message})
            return
        self._channel.send({"root": self._root, "python": sys.executable})

    def do_need(self, paths: list[str]) -> None:
        """Tells which of the paths are not there."""
        missing = [path for path in paths if not os.path.lexists(self._path(path))]
        self._channel.send({"missing": missing})

    def do_file(self, path: str, size: int, mode: int) -> None:
        """Takes a file, whole or not at all."""
        target = self._path(path)
        with self._receiving(target) as temporary:
            received = os.path.join(temporary, "file")
            self._take(received, size, mode)
            os.replace(received, target)

    def do_tree(self, path: str, count: int, private: bool) -> None:
        """Takes a folder of so many entries, whole or not at all; the first of two stays."""
        target = self._path(path)
        with self._receiving(target) as temporary:
            received = os.path.join(temporary, "tree")
            os.mkdir(received, 0o700 if private else 0o777)
            for _ in range(count):
                self._take_entry(received)
            try:
                os.rename(received, target)
            except OSError:
                if not os.path.isdir(target):
                    raise

    def do_start(self, id: str, argv: list[str], env: dict[str, str]) -> None:
        """Starts a command whose folder is there, unless another connection did so before."""
        self._remove_old_runs()
        folder = self._run_folder(id)
        try:
            os.close(os.open(os.path.join(folder, "claimed"), os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            pass
        else:
            _touch(os.path.join(folder, "alive"))
            _start_runner(folder, argv, {**os.environ, **env}, self._path(WORKSPACE))
        self._channel.send({"started": id})

    def do_follow(self, id: str, out: int, err: int, lost_seconds: float) -> None:
        """Sends what a command writes, from these offsets on, and then how it ended.

        Nobody will know how where no sign of life was seen for `lost_seconds`.
        """
        folder = self._run_folder(id)
        if not os.path.isdir(folder):
            self._channel.send({"unknown": id})
            return
        offsets = {"out": out, "err": err}
        life = _Life(os.path.join(folder, "alive"), lost_seconds)
        pause = _FIRST_PAUSE
        while True:
            # Asked before reading: what was written before the end is then read for certain.
            code = _exit_code(folder)
            sent = [self._send_more(folder, stream, offsets) for stream in offsets]
            if any(sent):
                pause = _FIRST_PAUSE
                continue
            if code is not None:
                self._channel.send({"end": code})
                return
            if life.is_over():
                self._channel.send({"lost": id})
                return
            if self._channel.has_request(pause):
                request = self._channel.receive()
                if request is None:
                    raise EOFError
                _write(os.path.join(folder, "signal"), str(request["signal"]))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def do_done(self, id: str) -> None:
        """Removes what is left of a command whose end was seen."""
        shutil.rmtree(self._run_folder(id), ignore_errors=True)
        self._channel.send({"done": id})

    def _send_more(self, folder: str, stream: str, offsets: dict[str, int]) -> bool:
        try:
            with open(os.path.join(folder, stream), "rb") as file:
                file.seek(offsets[stream])
                content = file.read(_CHUNK)
        except FileNotFoundError:
            return False  # it has not begun
        if content:
            self._channel.send({"stream": stream, "size": len(content)}, content)
            offsets[stream] += len(content)
        return bool(content)

    def _take_entry(self, folder: str) -> None:
        entry = self._channel.receive()
        if entry is None:
            raise EOFError
        path = _inside(folder, entry["path"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if "link" in entry:
            os.symlink(entry["link"], path)
        elif "shared" in entry:
            self._share(self._path(entry["shared"]), path)
        else:
            self._take(path, entry["size"], entry["mode"])

    def _share(self, one: str, path: str) -> None:
        try:
            os.link(one, path)
        except OSError:
            shutil.copy2(one, path)  # no hard links here, or too many

    def _take(self, path: str, size: int, mode: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            self._channel.copy(size, descriptor)
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _receiving(self, target: str) -> Iterator[str]:
        parent = os.path.dirname(target)
        os.makedirs(parent, exist_ok=True)
        _remove_old(parent, _RECEIVING)
        temporary = tempfile.mkdtemp(prefix=_RECEIVING, dir=parent)
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _remove_old_runs(self) -> None:
        """Removes what is left of commands whose end nobody came to see."""
        _remove_old(self._path(RUNS), "", within="alive")

    def _run_folder(self, id: str) -> str:
        return _inside(self._path(RUNS), id)

    def _path(self, path: str) -> str:
        return _inside(self._root, path)


class _Life:
    """Whether whoever watches over a command still does, on whichever host that is.

    Args:
        path: the file that it touches.
        seconds: it is gone when it did not for so long.
    """

    def __init__(self, path: str, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._seen = self._touched()
        self._since = time.monotonic()

    def is_over(self) -> bool:
        touched = self._touched()
        if touched != self._seen:
            self._seen, self._since = touched, time.monotonic()
        return time.monotonic() - self._since > self._seconds

    def _touched(self) -> float:
        try:
            return os.stat(self._path).st_mtime
        except OSError:
            return 0.0


def _start_runner(folder: str, argv: list[str], env: dict[str, str], cwd: str) -> None:
    """Starts the process that starts the command and notes how it ends."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        # The process between us makes the runner nobody's child, in a session of its own.
        os.setsid()
        if not os.fork():
            _run(folder, argv, env, cwd)
    finally:
        os._exit(0)


def _run(folder: str, argv: list[str], env: dict[str, str], cwd: str) -> None:
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nowhere, descriptor)
    os.closerange(3, 256)  # sshd waits for whoever holds its streams
    with (
        open(os.path.join(folder, "out"), "ab") as out,
        open(os.path.join(folder, "err"), "ab") as err,
    ):
        try:
            process = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=_heed_signals,
            )
        except OSError as error:
            err.write(f"error: {argv[0]}: {error.strerror}\n".encode())
            err.flush()
            code = _NOT_STARTED
        else:
            code = _wait(process, folder)
    _insist(lambda: _write(os.path.join(folder, "exit"), str(code)))


def _heed_signals() -> None:
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL)


def _wait(process: subprocess.Popen[bytes], folder: str) -> int:
    asked = os.path.join(folder, "signal")
    touched = 0.0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(_SIGNAL_SECONDS)
            return code if code >= 0 else 128 - code
        if time.monotonic() - touched > _ALIVE_SECONDS:
            touched = time.monotonic()
            # Where it cannot be written for a while, the command goes on all the same.
            with contextlib.suppress(OSError):
                _touch(os.path.join(folder, "alive"))
        with contextlib.suppress(OSError):
            _pass_signal_on(process, asked)


def _pass_signal_on(process: subprocess.Popen[bytes], asked: str) -> None:
    try:
        with open(asked, encoding="ascii") as file:
            signum = int(file.read())
    except FileNotFoundError:
        return
    os.unlink(asked)  # first: one that stays would be passed on again and again
    process.send_signal(signum)


def _insist(write: Callable[[], None]) -> None:
    """Writes what must not be lost, once it can be written."""
    end = time.monotonic() + _INSIST_SECONDS
    while True:
        try:
            return write()
        except FileNotFoundError:
            return  # its folder is gone: nobody will ask
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(_ALIVE_SECONDS)


def _exit_code(folder: str) -> int | None:
    try:
        with open(os.path.join(folder, "exit"), encoding="ascii") as file:
            return int(file.read())
    except FileNotFoundError:
        return None


def _write(path: str, text: str) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="ascii") as file:
        file.write(text)
    os.replace(temporary, path)


def _touch(path: str) -> None:
    with open(path, "ab"):
        os.utime(path)


def _remove_old(folder: str, prefix: str, within: str = "") -> None:
    """Removes the folders in `folder` with this prefix that nothing has touched for long."""
    for name in os.listdir(folder):
        if not name.startswith(prefix):
            continue
        path = os.path.join(folder, name)
        try:
            age = time.time() - os.stat(os.path.join(path, within)).st_mtime
        except OSError:
            continue  # another connection was first, or it is new
        if age > _KEPT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def _inside(root: str, path: str) -> str:
    parts = path.split("/")
    if not path or os.path.isabs(path) or ".." in parts:
        raise ValueError(f"{path!r} leads out of {root}")
    return os.path.join(root, *parts)


def main() -> int:
    """Serves the connection that started it; returns the exit code."""
    channel = Channel(0, 1)
    os.write(1, HELLO)
    try:
        Host(channel).serve()
    except (EOFError, BrokenPipeError):
        return 0  # nobody is there any more; another connection goes on
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        channel.send({"error": f"{place}{error.strerror}"})
        return 1
    except Exception as error:
        channel.send({"error": f"{type(error).__name__}: {error}"})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
