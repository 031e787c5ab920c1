"""A clean worktree of a commit that is gone afterwards, and commands in it that end with us."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from nemo_runspec.reproduce.history import GitError, History

# How long what runs may take to end its jobs once it was interrupted.
_END_SECONDS = 60
_KILL_SECONDS = 10
_REMOVE_TRIES = 20


@contextlib.contextmanager
def own_folder(parent: Path | None, *, keep: bool) -> Iterator[Path]:
    """A new folder that nobody else can read, and that is gone afterwards.

    Args:
        parent: where; None for this machine's place of temporary files.
        keep: leave it.
    """
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="nemo-runspec-reproduce-", dir=parent)).resolve()
    try:
        yield folder
    finally:
        if not keep:
            with _undisturbed():
                _remove(folder)


@contextlib.contextmanager
def worktree(history: History, commit: str, folder: Path, *, keep: bool) -> Iterator[Path]:
    """A clean worktree of a commit; the repository's own is left alone.

    Args:
        history: the repository.
        commit: in it.
        folder: where; it does not exist yet.
        keep: leave it.

    Returns:
        The build root in it.

    Raises:
        GitError: git cannot make it.
    """
    try:
        # Hooks are for those who work in it.
        done = _git(
            history, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", "--quiet",
            str(folder), commit,
        )  # fmt: skip
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            raise GitError(f"git cannot make a worktree of {commit}: {lines[-1]}")
        yield folder / history.root.relative_to(history.top)
    finally:
        if not keep:
            with _undisturbed():
                _git(history, "worktree", "remove", "--force", "--force", str(folder))
                _remove(folder)
                _git(history, "worktree", "prune")


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends this process as an exception does, so that what it made is removed."""

    def end(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_in(
    folder: Path, argv: Sequence[str], environment: Mapping[str, str], *, capture: bool
) -> tuple[int, str, str]:
    """Run a command to its end; when this process is interrupted, so is the command, once.

    Args:
        folder: its working directory.
        argv: the command.
        environment: all of its variables.
        capture: return what it writes; else it goes to standard error as it comes.

    Returns:
        Exit code, output and errors.
    """
    out = subprocess.PIPE if capture else sys.stderr.fileno()
    process = subprocess.Popen(
        list(argv),
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.PIPE if capture else out,
        text=True,
        errors="replace",
        # Ctrl-C of the terminal comes to it through us alone: a second one would cut it short.
        start_new_session=True,
    )
    try:
        written, errors = process.communicate()
    except BaseException:
        with _undisturbed():
            _end(process)
        raise
    return process.returncode, written or "", errors or ""


def _end(process: subprocess.Popen[str]) -> None:
    for signum, seconds in (
        (signal.SIGINT, _END_SECONDS),
        (signal.SIGTERM, _KILL_SECONDS),
        (signal.SIGKILL, _KILL_SECONDS),
    ):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            # Reads on: a full pipe would keep it from ending.
            process.communicate(timeout=seconds)
            return


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C once more does not keep us from leaving things as they were."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _remove(folder: Path) -> None:
    """Remove a folder in which somebody may be about to write their last line."""
    for _ in range(_REMOVE_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def _git(history: History, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-C", str(history.top), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        # Ctrl-C is not for it: half a worktree is harder to remove than a whole one.
        start_new_session=True,
    )
