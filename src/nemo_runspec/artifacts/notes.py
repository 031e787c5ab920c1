"""What a job notes about what it makes: where that lies until it is attached to its versions.

``metrics.jsonl`` and ``cards/`` in the job's own folder, so that a kill loses little, and a script
that logs no artifact itself has them attached by its launcher. Where there is no such folder, in
one of this process's. Never in the output folder: they are no part of the content.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_runspec.artifacts.answers import is_first_rank
from nemo_runspec.artifacts.job_context import job_context
from nemo_runspec.exceptions import NemoRunspecError

if TYPE_CHECKING:
    from nemo_runspec.store.model import Manifest
    from nemo_runspec.store.store import Store

METRICS = "metrics.jsonl"
CARDS = "cards"

# A kill loses so much at most.
_BATCH_LINES = 500
_BATCH_SECONDS = 1.0
# Some 180,000 values; of more, every second one of each series is attached, or every third …
_MOST_METRICS_BYTES = 16 * 1024 * 1024
_RUN_DIR_VARIABLE = "NEMO_RUN_DIR"

_logger = logging.getLogger(__name__)


def attach_notes(store: Store, name: str, version: int, folder: Path) -> bool:
    """Attach to a version what its job noted; never fails, for the version itself is well.

    Args:
        store: the store that has it.
        name: the artifact's name.
        version: the version's number.
        folder: the job's.

    Returns:
        Whether all is attached now, or there was nothing to attach.
    """
    try:
        for label, body in _read_notes(folder).items():
            if store.attachment(name, version, label) != body:
                store.attach(name, version, label, body)
    except (NemoRunspecError, OSError) as error:
        warn_once(f"what was noted about {name}:v{version} could not be attached: {error}")
        return False
    return True


class Notebook:
    """What this process notes, and the versions that it logs.

    Attributes:
        is_kept: whether this process is the one of its job that notes things: rank 0.
    """

    def __init__(self) -> None:
        self.is_kept = is_first_rank()
        self._owner = os.getpid()
        self._lock = threading.RLock()
        self._folder: Path | None = None
        self._temporary: Path | None = None
        self._lines: list[str] = []
        self._written = float("-inf")
        self._last: tuple[Store, str, int] | None = None
        self._attached: object = None
        self._ends = False

    def folder(self) -> Path:
        """Where notes are written; it exists.

        Raises:
            OSError: there is no place for it.
        """
        with self._lock:
            self._finish_at_exit()
            if self._folder is None:
                self._folder = _job_folder() or self._make_folder()
            return self._folder

    def add_metric(self, line: str) -> None:
        """Note a line of ``metrics.jsonl``: written soon, or before it is attached."""
        with self._lock:
            self._lines.append(line)
            late = time.monotonic() - self._written >= _BATCH_SECONDS
            if late or len(self._lines) >= _BATCH_LINES:
                self._write_metrics()

    def attach_to(self, store: Store, manifest: Manifest) -> None:
        """Attach what was noted so far to a version just logged; what follows, at the end."""
        with self._lock:
            self._finish_at_exit()
            self._last = (store, manifest.name, manifest.version)
            self._attached = None
            self.finish()

    def finish(self) -> None:
        """Attach what was noted since the last version was logged to that one."""
        if os.getpid() != self._owner:
            return  # a process that was forked ends: its parent sees to this
        with self._lock:
            self._write_metrics()
            folder = self._folder or _job_folder()
            if folder is None or self._last is None or not self.is_kept:
                return
            state = _state(folder)
            if state != self._attached and attach_notes(*self._last, folder):
                self._attached = state

    def _write_metrics(self) -> None:
        if not self._lines:
            return
        body = "".join(self._lines).encode("ascii")
        self._lines.clear()
        self._written = time.monotonic()
        try:
            _append(self.folder() / METRICS, body)
        except OSError as error:
            warn_once(f"metrics cannot be kept: {error}")

    def _make_folder(self) -> Path:
        self._temporary = Path(tempfile.mkdtemp(prefix="runspec-notes-"))
        return self._temporary

    def _finish_at_exit(self) -> None:
        if self._ends:
            return
        self._ends = True
        # By the time of atexit no thread can be started any more, which clients of object stores
        # do to find their server. Python calls these before, and says so only in its own sources;
        # what other threads note while they are waited for is left to atexit.
        register = getattr(threading, "_register_atexit", None)
        if register is not None:
            with contextlib.suppress(RuntimeError):  # Python is ending already
                register(self.finish)
        atexit.register(self._close)

    def _close(self) -> None:
        self.finish()
        if self._temporary is not None and os.getpid() == self._owner:
            shutil.rmtree(self._temporary, ignore_errors=True)


_current: list[Notebook] = []
_said: set[str] = set()
_making = threading.Lock()


def notebook() -> Notebook:
    """The notebook of this process."""
    if not _current:
        with _making:
            if not _current:
                _current.append(Notebook())
    return _current[0]


def forget_notes() -> None:
    """Begin a new notebook, as a process that was forked does: its parent has its own."""
    global _making
    _making = threading.Lock()  # another thread of the parent may have held it
    _current.clear()
    _said.clear()


os.register_at_fork(after_in_child=forget_notes)


def warn_once(message: str) -> None:
    """Warn, if this process did not say so before."""
    if message not in _said:
        _said.add(message)
        _logger.warning(message)


def _job_folder() -> Path | None:
    context = None
    with contextlib.suppress(NemoRunspecError):  # whoever logs a version is told what is wrong
        context = job_context()
    records = None if context is None else context.records
    for told in (records and os.path.dirname(records), os.environ.get(_RUN_DIR_VARIABLE)):
        if told and "://" not in told and os.access(told, os.W_OK):
            return Path(told)
    return None


def _append(path: Path, body: bytes) -> None:
    """Append whole lines, whatever other processes of the job append.

    Raises:
        OSError: there is no room for them.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            body = b"\n" + body  # an attempt before this one was cut short
        while body:
            body = body[os.write(descriptor, body) :]
    finally:
        os.close(descriptor)


def _read_notes(folder: Path) -> dict[str, bytes]:
    """What lies in a job's folder, by the label that it gets.

    Raises:
        OSError: it cannot be read.
    """
    found = {}
    for path in _files(folder):
        body = path.read_bytes()
        if path.name == METRICS:
            body = _thinned(body[: body.rfind(b"\n") + 1], _MOST_METRICS_BYTES)
        if body:
            found[path.name] = body
    return found


def _files(folder: Path) -> list[Path]:
    metrics, cards = folder / METRICS, folder / CARDS
    listed = os.listdir(cards) if cards.is_dir() else ()
    return [
        *([metrics] if metrics.is_file() else []),
        *(cards / name for name in sorted(listed) if name.startswith("card-")),
    ]


def _state(folder: Path) -> tuple[Any, ...]:
    statuses = [(path.name, path.stat()) for path in _files(folder)]
    return tuple((name, status.st_size, status.st_mtime_ns) for name, status in statuses)


def _thinned(body: bytes, most: int) -> bytes:
    """As much of the lines as there is room for: evenly of each series, and the last of each."""
    if len(body) <= most:
        return body
    lines = body.splitlines(keepends=True)
    series: dict[bytes, list[int]] = {}
    for number, line in enumerate(lines):
        # The name stands first, see nemo_runspec.artifacts.metrics.
        series.setdefault(line.partition(b', "value": ')[0], []).append(number)
    stride = len(body) // most + 1
    kept = {each for numbers in series.values() for each in (*numbers[::stride], numbers[-1])}
    text = b"".join(lines[number] for number in sorted(kept))
    # So many series that even this is too much: those that were logged first.
    return text if len(text) <= most else text[: text.rfind(b"\n", 0, most) + 1]
