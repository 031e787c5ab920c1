"""A process and everything that ever came of it, to be ended as a whole.

`ProcessTree` starts this file as a script, which starts the command and becomes the parent of every
descendant whose own parent ends, daemons included (prctl(2), PR_SET_CHILD_SUBREAPER). So the whole
tree is known at any time and can be killed like a machine that loses its power; the same happens
when the process that made the `ProcessTree` is gone, however it ended. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_POLL_SECONDS = 0.02
_PATIENCE_SECONDS = 30
_TERMINATE = b"t"


class ProcessTree:
    """Runs a command; it and its descendants end by `kill`, or with the process that made this.

    Args:
        argv: the command, which stays in the foreground.
        env: its whole environment.
        log: the file that its output is added to.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
        self.argv = tuple(argv)
        self.log = log
        with open(log, "ab") as file:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, *argv],
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C is not for it
            )

    @property
    def is_alive(self) -> bool:
        return self._keeper.poll() is None

    def terminate(self) -> None:
        """Asks the command to end in good order; then kills what is left."""
        assert self._keeper.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.write(_TERMINATE)
            self._keeper.stdin.flush()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(_PATIENCE_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Kills the command and all of its descendants; returns when none is left."""
        assert self._keeper.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.close()
        self._keeper.wait(_PATIENCE_SECONDS)


def _keep(argv: Sequence[str]) -> int:
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    # Asleep until a child ends or somebody asks: a dozen of these stand over a cluster.
    ended, wake_up = os.pipe()
    os.set_blocking(wake_up, False)
    signal.set_wakeup_fd(wake_up)
    signal.signal(signal.SIGCHLD, lambda signum, frame: None)
    command = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    while command.poll() is None:
        _reap(besides=command.pid)
        ready = select.select([0, ended], [], [])[0]
        if ended in ready:
            os.read(ended, 1 << 16)
        if 0 not in ready:
            continue
        if os.read(0, 1) != _TERMINATE:
            break
        command.terminate()
    while below := _descendants():
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        command.poll()
        _reap(besides=command.pid)
        time.sleep(_POLL_SECONDS)
    return command.returncode


def _reap(besides: int) -> None:
    """Collects the descendants that ended here; `besides` is collected by its own object."""
    for pid, parent in _parents().items():
        if parent == os.getpid() and pid != besides:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _descendants() -> list[int]:
    parents = _parents()
    found = [os.getpid()]
    for above in found:
        found.extend(pid for pid, parent in parents.items() if parent == above)
    return found[1:]


def _parents() -> dict[int, int]:
    """The parent of every process, the unreaped too."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                stat = Path("/proc", name, "stat").read_text(encoding="utf-8", errors="replace")
                found[int(name)] = int(stat.rpartition(")")[2].split()[1])
    return found


if __name__ == "__main__":
    sys.exit(_keep(sys.argv[1:]) and 1)
