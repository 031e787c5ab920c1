"""One process of a distributed job asks, the others read its answer.

Asked by each, a store could mean another version by ``latest`` for each, and thousands of ranks
would ask at once. Rank 0 leaves its answer, an error too, in a file that all can see; the others
look for it several times a second. Its name holds the job, the attempt and how often this process
has asked before, so that no answer of another run is ever read.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nemo_runspec.exceptions import ArtifactError
from nemo_runspec.utils import write_atomically

if TYPE_CHECKING:
    from nemo_runspec.store.store import Store

TIMEOUT_VARIABLE = "RUNSPEC_RESOLVE_TIMEOUT"

_DEFAULT_TIMEOUT = 600.0
_POLL_SECONDS = 0.1
_RANKS = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"))
# What tells a job and its attempt from all others, where the launcher says so.
_JOB_VARIABLES = ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID", "NEMO_EXPERIMENT_ID")
_ATTEMPT_VARIABLES = (
    "SLURM_STEP_ID",
    "SLURM_RESTART_COUNT",
    "TORCHELASTIC_RESTART_COUNT",
    "RUNSPEC_ATTEMPT",
    "MASTER_ADDR",
    "MASTER_PORT",
)
_UNSET_RUN_ID = "none"  # torchrun's, when nobody named one


class ResolveError(ArtifactError):
    """The processes of a job cannot agree on their artifacts."""


@dataclass(frozen=True)
class Rank:
    """Which process of a distributed job this is.

    Attributes:
        number: from 0.
        world: how many there are.
        job: what all of them, and no process of another run, have in common.
    """

    number: int
    world: int
    job: str


def is_distributed(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this is one process of several of a job."""
    return _rank_and_world(os.environ if environ is None else environ)[1] > 1


def is_first_rank(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this process is rank 0 of its job, or its only process."""
    return _rank_and_world(os.environ if environ is None else environ)[0] == 0


def this_rank(environ: Mapping[str, str] | None = None) -> Rank:
    """Which process of its job this is.

    Raises:
        ResolveError: it is one of several, and nothing tells this job from others.
    """
    environment = os.environ if environ is None else environ
    number, world = _rank_and_world(environment)
    return Rank(number, world, _job(environment, world) if world > 1 else "")


def _rank_and_world(environ: Mapping[str, str]) -> tuple[int, int]:
    # torchrun's variables count before Slurm's: a Slurm task may start torchrun.
    for rank, world in _RANKS:
        number, count = environ.get(rank, ""), environ.get(world, "")
        if number.isdecimal() and count.isdecimal():
            return int(number), int(count)
    return 0, 1


def _job(environ: Mapping[str, str], world: int) -> str:
    named = [environ.get(name, "") for name in _JOB_VARIABLES]
    attempt = [environ.get(name, "") for name in _ATTEMPT_VARIABLES]
    if not any(value not in ("", _UNSET_RUN_ID) for value in named):
        launcher = _launcher() if environ.get("LOCAL_WORLD_SIZE") == str(world) else None
        if launcher is None:
            raise ResolveError(
                "nothing tells the processes of this job from those of another one: start "
                "torchrun with --rdzv-id=SOME-NEW-NAME, or set TORCHELASTIC_RUN_ID"
            )
        named.append(launcher)
    return hashlib.sha256(json.dumps([named, attempt]).encode()).hexdigest()[:32]


def _launcher() -> str | None:
    """The process that started all ranks of this machine: the nearest above without a rank."""
    pid = os.getppid()
    try:
        while pid > 1:
            process = Path("/proc", str(pid))
            variables = (process / "environ").read_bytes().split(b"\0")
            # The name of the program may hold spaces and brackets; what follows it does not.
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            parent, started = int(fields[1]), fields[19]
            if not any(variable.startswith(b"RANK=") for variable in variables):
                return f"{socket.gethostname()}-{pid}-{started}"
            pid = parent
    except (OSError, ValueError, IndexError):
        return None  # no /proc, or a process that is not ours
    return None


class Board(Protocol):
    """Where all processes of a job can see an answer."""

    def put(self, name: str, document: dict[str, Any]) -> None: ...

    def get(self, name: str) -> dict[str, Any] | None: ...

    def place(self, name: str) -> str: ...


@dataclass(frozen=True)
class FolderBoard:
    """Answers as files in a folder."""

    folder: Path

    def put(self, name: str, document: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / f"{name}.json", json.dumps(document))

    def get(self, name: str) -> dict[str, Any] | None:
        # NFS remembers for seconds that a file was not there; listing its folder asks anew.
        if f"{name}.json" not in (os.listdir(self.folder) if self.folder.is_dir() else ()):
            return None
        document: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text("utf-8"))
        return document

    def place(self, name: str) -> str:
        return str(self.folder / f"{name}.json")


@dataclass(frozen=True)
class StoreBoard:
    """Answers beside the records of runs, where the job has no folder of its own."""

    store: Store

    def put(self, name: str, document: dict[str, Any]) -> None:
        self.store.write_run(f"resolved-{name}", document)

    def get(self, name: str) -> dict[str, Any] | None:
        found = self.store.read_run(f"resolved-{name}")
        return None if found is None else dict(found)

    def place(self, name: str) -> str:
        return f"{self.store.root}/_runs/resolved-{name}.json"


def choose_board(store: Store, environ: Mapping[str, str] | None = None) -> Board:
    """Where this job's answers go: its folder, else its output folder, else the store."""
    environment = os.environ if environ is None else environ
    for variable in ("NEMO_RUN_DIR", "RUNSPEC_OUTPUT_DIR"):
        folder = environment.get(variable)
        if folder and "://" not in folder:
            return FolderBoard(Path(folder) / ".runspec" / "resolved")
    return StoreBoard(store)


def wait_for_answer(
    board: Board, name: str, environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The answer of rank 0, as soon as it is there.

    Raises:
        ResolveError: it does not come.
    """
    limit = _timeout(os.environ if environ is None else environ)
    give_up = time.monotonic() + limit
    pause = _POLL_SECONDS / 4
    while True:
        document = board.get(name)
        if document is not None:
            return document
        if time.monotonic() >= give_up:
            raise ResolveError(
                f"rank 0 has not said within {limit:g} s which versions its artifacts have "
                f"(in {board.place(name)}, which all ranks must see); look at its log, or set "
                f"{TIMEOUT_VARIABLE} to more seconds"
            )
        time.sleep(pause)
        pause = min(pause * 2, _POLL_SECONDS)


def _timeout(environ: Mapping[str, str]) -> float:
    written = environ.get(TIMEOUT_VARIABLE)
    if written is None:
        return _DEFAULT_TIMEOUT
    try:
        return float(written)
    except ValueError:
        raise ResolveError(
            f"{TIMEOUT_VARIABLE} must be a number of seconds, not {written!r}"
        ) from None
