"""Slurm's commands, and what they say of jobs."""

from __future__ import annotations

import os
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nemo_runspec.execution.errors import ExecutionError, UnreachableError

# Seconds that one command may take: Slurm's own time-outs add up to less on a busy cluster.
_COMMAND_SECONDS = 120
_RETRY_SECONDS = (0.5, 5.0)  # the first pause, and the longest

# What Slurm's commands say when they have not reached whom they ask, by `slurm_strerror`.
_UNREACHABLE = re.compile(
    r"unable to contact slurm controller|communication connection failure|connection refused"
    r"|socket timed out|connection timed out|zero bytes were transmitted or received"
    r"|message (receive|send) failure|transport endpoint|no route to host|resource temporarily"
    r"|unable to establish (control machine|controller)|slurm backup controller in standby"
    r"|unexpected message received|connection reset|broken pipe|slurmctld is shutting down"
    # munge is away, without which nobody believes anybody.
    r"|protocol authentication error|munge encode failed",
    re.IGNORECASE,
)
# It looks for the job by number, and there is none.
_UNKNOWN_JOB = re.compile(r"invalid job id", re.IGNORECASE)
_LABEL = re.compile(r"^(sbatch|squeue|scontrol|scancel|sacct|slurm_load_jobs)( error)?: (error: )?")

# Of this process's environment: who and where we are, the language, and modules (a shell function
# and its variables). Nothing else of it gets into a job, nor changes what a command means.
_KEPT = ("HOME", "LOGNAME", "PATH", "SHELL", "SLURM_CLUSTERS", "SLURM_CONF", "TZ", "USER")
_KEPT_PREFIXES = (
    *("LANG", "LC_"),
    *("BASH_ENV", "BASH_FUNC_ml", "BASH_FUNC_module", "LMOD_", "LOADEDMODULES", "MODULE"),
    "__LMOD_",
)

_FIELDS = ("JobID", "State", "Reason", "ExitCode", "Start", "End", "JobName")
_NEVER = ("Unknown", "None", "N/A", "")


@dataclass(frozen=True)
class SlurmJob:
    """What Slurm says of a job.

    Args:
        id: `101`, or `101_3` for an element of an array.
        name: its name.
        state: a word such as `RUNNING`, without what may follow it.
        reason: why it is so; empty without one.
        exit_code: of its batch script, 128 + n after signal n; None while it has none.
        started_at: seconds since the epoch.
        ended_at: likewise.
    """

    id: str
    name: str
    state: str
    reason: str = ""
    exit_code: int | None = None
    started_at: float | None = None
    ended_at: float | None = None


class SlurmClient:
    """Runs Slurm's commands. What `squeue` says is shared by all jobs of this user.

    Args:
        period: seconds for which what Slurm said counts; default: 15 to 30, by chance, so that
            many launchers do not ask at once.
        patience: seconds to go on asking a Slurm that does not answer.
    """

    def __init__(self, *, period: float | None = None, patience: float = 60.0) -> None:
        self.patience = patience
        self._period = period
        self._lock = threading.Lock()
        self._queue: Mapping[str, SlurmJob] = {}
        self._asked_again_at = -1.0
        self._single: dict[str, tuple[float, SlurmJob | None]] = {}
        self._most_elements: int | None = None

    def next_period(self) -> float:
        """Seconds until Slurm is asked again."""
        return random.uniform(15, 30) if self._period is None else self._period

    def submit(self, script: Path, find: Callable[[], str | None]) -> str:
        """Submits a batch script; the job's id.

        A Slurm that does not answer is asked again, but only after `find` has not found the job: it
        may have been accepted all the same.

        Raises:
            ExecutionError: Slurm does not take it.
            UnreachableError: Slurm did not answer in time.
        """

        def once() -> str:
            return self.run(["sbatch", "--parsable", str(script)]).strip().partition(";")[0]

        def again() -> str:
            return find() or once()

        return self.patiently(once, again)

    def patiently(self, action: Callable[[], str], again: Callable[[], str] | None = None) -> str:
        """What `action` returns, tried until Slurm answers, or `patience` is over.

        Args:
            action: raises `UnreachableError` when Slurm does not answer.
            again: what to do instead from the second time on.
        """
        deadline = time.monotonic() + self.patience
        pause, longest = _RETRY_SECONDS
        while True:
            try:
                return action()
            except UnreachableError as error:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise UnreachableError(
                        f"Slurm has not answered for {self.patience:g} s: {error}"
                    ) from error
                time.sleep(min(pause, left))
            pause = min(2 * pause, longest)
            action = again or action

    def forget(self) -> None:
        """Asks anew next time: something was done."""
        with self._lock:
            self._asked_again_at = -1.0
            self._single.clear()

    def job(self, id: str) -> SlurmJob | None:
        """What Slurm says of a job, by `squeue` for all of the user's, else for it alone.

        Returns:
            None: Slurm knows no such job.

        Raises:
            UnreachableError: Slurm does not answer.
        """
        with self._lock:
            now = time.monotonic()
            if now >= self._asked_again_at:
                self._queue = {found.id: found for found in self._squeue()}
                self._asked_again_at = time.monotonic() + self.next_period()
                self._single.clear()
            if id in self._queue:
                return self._queue[id]
            # Submitted since, or so long ago that it is not in the queue any more.
            until, known = self._single.get(id, (-1.0, None))
            if now >= until:
                known = self._scontrol(id) or self._sacct(id)
                self._single[id] = (time.monotonic() + self.next_period(), known)
            return known

    def named(self, name: str) -> list[SlurmJob]:
        """This user's jobs of that name, asked for now, the newest last.

        Raises:
            UnreachableError: Slurm does not answer.
        """
        found = self._squeue("--name", name)
        return found or self._sacct_rows("--name", name, "--starttime", "now-30days")

    def most_array_elements(self) -> int:
        """How many elements the cluster lets an array have; 1 where it has no arrays."""
        with self._lock:
            if self._most_elements is None:
                known = self.run(["scontrol", "show", "config"])
                found = re.search(r"^MaxArraySize\s*=\s*(\d+)", known, re.MULTILINE)
                # Numbers stay below it.
                self._most_elements = max(1, int(found[1])) if found else 1
            return self._most_elements

    def cancel(self, id: str, *options: str) -> None:
        """`scancel`; one that has ended is no error.

        Raises:
            UnreachableError: Slurm does not answer.
        """
        try:
            self.run(["scancel", *options, id])
        except ExecutionError as error:
            if isinstance(error, UnreachableError):
                raise
            if not re.search("invalid job id|already complet|invalid|finish", str(error), re.I):
                raise
        self.forget()

    def run(self, argv: Sequence[str]) -> str:
        """Runs a command of Slurm's; what it writes. Times are seconds since the epoch.

        Raises:
            ExecutionError: it failed, in its own words.
            UnreachableError: it did not get an answer.
        """
        try:
            done = subprocess.run(
                argv,
                env=_environment(argv[0], os.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_COMMAND_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise ExecutionError(
                f"{argv[0]}: no such command on this machine; a Slurm profile runs on a login "
                'host of the cluster, or has tunnel = "ssh" and its host'
            ) from None
        except subprocess.TimeoutExpired as error:
            raise UnreachableError(f"{argv[0]} did not end within {_COMMAND_SECONDS} s") from error
        if done.returncode == 0:
            return done.stdout.decode(errors="replace")
        said = _last_words(done.stderr.decode(errors="replace"))
        problem = f"{argv[0]}: {said or f'exit code {done.returncode}'}"
        if _UNREACHABLE.search(said):
            raise UnreachableError(problem)
        raise ExecutionError(problem)

    def _squeue(self, *options: str) -> list[SlurmJob]:
        # The name last: it may hold anything.
        layout = "%i|%T|%r|%S|%e|%j"
        text = self.run(
            ["squeue", "--user", str(os.getuid()), "--states=all", "--array", "--noheader"]
            + ["--format", layout, *options]
        )
        rows = (line.strip().split("|", 5) for line in text.splitlines())
        return [
            SlurmJob(id, name, state, _said(reason), None, _seconds(start), _seconds(end))
            for id, state, reason, start, end, name in (row for row in rows if len(row) == 6)
        ]

    def _scontrol(self, id: str) -> SlurmJob | None:
        try:
            text = self.run(["scontrol", "--oneliner", "show", "job", id])
        except UnreachableError:
            raise
        except ExecutionError as error:
            if _UNKNOWN_JOB.search(str(error)):
                return None
            raise
        fields = dict(re.findall(r"(?:^| )([A-Za-z]\w*)=(\S*)", text))
        name = re.search(r"JobName=(.*?) UserId=", text)
        return SlurmJob(
            id,
            name[1] if name else "",
            fields.get("JobState", ""),
            _said(fields.get("Reason", "")),
            _exit_code(fields.get("ExitCode", "")),
            _seconds(fields.get("StartTime", "")),
            _seconds(fields.get("EndTime", "")),
        )

    def _sacct(self, id: str) -> SlurmJob | None:
        return next((job for job in self._sacct_rows("--jobs", id) if job.id == id), None)

    def _sacct_rows(self, *options: str) -> list[SlurmJob]:
        """What accounting says; nothing where there is none."""
        layout = ",".join(_FIELDS)
        try:
            text = self.run(
                ["sacct", "--parsable2", "--noheader", "--allocations", "--format", layout]
                + [*options]
            )
        except UnreachableError:
            raise
        except ExecutionError as error:
            if re.search("accounting storage is disabled|sacct: no such", str(error)):
                return []
            raise
        rows = (line.split("|", 6) for line in text.splitlines())
        return [
            SlurmJob(
                id,
                name,
                state.partition(" ")[0],
                _said(reason),
                _exit_code(code),
                _seconds(start),
                _seconds(end),
            )
            for id, state, reason, code, start, end, name in rows
        ]


def _environment(command: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command of Slurm's; a batch script inherits that of sbatch."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    return kept if command == "sbatch" else {**kept, "SLURM_TIME_FORMAT": "%s"}


def _last_words(text: str) -> str:
    """What went wrong, of what a command wrote: its last line, and what that leaves open."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said: list[str] = []
    for line in lines:
        bare = _LABEL.sub("", line)
        if bare not in said:
            said.append(bare)
    return "; ".join(said[-2:])


def _said(reason: str) -> str:
    return "" if reason in _NEVER else reason


def _exit_code(text: str) -> int | None:
    """Of `code:signal`. Some versions count a shell's 128 + n as signal n."""
    found = re.fullmatch(r"(\d+):(\d+)", text)
    if found is None:
        return None
    code, signum = int(found[1]), int(found[2])
    return code or (128 + signum if signum else 0)


def _seconds(text: str) -> float | None:
    if text in _NEVER:
        return None
    if re.fullmatch(r"\d+", text):
        return float(text)
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None
