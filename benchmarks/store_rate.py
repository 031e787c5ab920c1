"""How fast versions are logged and resolved, beside TorchX's tracker in the same process.

Peer: `FsspecTracker` of TorchX, which keeps artifacts of runs in files on any fsspec filesystem,
as our store does: a version of ours is beside it a run with one artifact and its metadata. It gives
out no numbers, keeps no `latest` and no lineage, never asks the disk whether a file is really on it
(ours does, before a version counts), and two writers of one run are on their own. What is measured
is what the two have in common, and the newest version, for which it has to list all runs.

`run.py` starts this file with a Python that has TorchX and reads the figures from its output.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import fsspec
from harness import Figure, alternate
from torchx.tracker.backend.fsspec import FsspecTracker

from nemo_runspec.store import Store, VersionDraft, open_store, parse_artifact_reference

SIZES = (1, 1_000, 10_000)
# How many are logged or resolved in one measurement.
AMOUNT = 100
NAME = "models/nano3"
METADATA = {"step": 1000, "loss": 0.322, "tokenizer": "nano3-731"}


def draft(number: int) -> VersionDraft:
    """Return a version as a training logs it."""
    return VersionDraft(path=f"/data/models/{number}", type="ModelArtifact", metadata=METADATA)


class Ours:
    """Our store, with some versions of one name."""

    def __init__(self, root: Path, size: int) -> None:
        self.store: Store = open_store(str(root))
        self.count = 0
        for _ in range(size):
            self.log()

    def log(self) -> None:
        """Log one version more."""
        self.count += 1
        self.store.add_version(NAME, draft(self.count))

    def resolve(self, number: int) -> str:
        """Return the path of a version."""
        return self.store.resolve(parse_artifact_reference(f"{NAME}:v{number}")).path

    def newest(self) -> str:
        """Return the path of the newest version."""
        return self.store.resolve(parse_artifact_reference(f"{NAME}:latest")).path


class TorchX:
    """TorchX's tracker, with as many runs of one artifact each."""

    def __init__(self, root: Path, size: int) -> None:
        root.mkdir()
        self.tracker = FsspecTracker(fsspec.filesystem("file"), str(root))
        self.count = 0
        for _ in range(size):
            self.log()

    def log(self) -> None:
        """Log the artifact of one run more."""
        self.count += 1
        path = draft(self.count).path
        self.tracker.add_artifact(f"{NAME}/{self.count}", NAME, path, METADATA)

    def resolve(self, number: int) -> str:
        """Return the path of a run's artifact."""
        return self.tracker.artifacts(f"{NAME}/{number}")[NAME].path

    def newest(self) -> str:
        """Return the path of the newest run's artifact."""
        newest = max(int(run.rpartition("/")[2]) for run in self.tracker.run_ids())
        return self.resolve(newest)


def repeated(function: Callable[[], object], amount: int) -> Callable[[], None]:
    """Return a contender: the function, so many times."""

    def run() -> None:
        for _ in range(amount):
            function()

    return run


def resolving(contender: Ours | TorchX) -> Callable[[], None]:
    """Return a contender that resolves versions all over the range."""

    def run() -> None:
        for index in range(AMOUNT):
            number = 1 + index * contender.count // AMOUNT
            assert contender.resolve(number) == draft(number).path

    return run


def figures(rounds: int, size: int, folder: Path) -> list[Figure]:
    """Return the figures at so many versions."""
    contenders = {"ours": Ours(folder / "ours", size), "peer": TorchX(folder / "torchx", size)}
    # Listing 10,000 runs takes a while; a few say as much.
    newest = {"ours": AMOUNT, "peer": max(1, AMOUNT // size)}

    def timed(name: str, do: Callable[[str], Callable[[], object]], ours: str, peer: str) -> Figure:
        seconds = alternate({key: do(key) for key in contenders}, rounds)
        return Figure(
            f"{name}, {size:,} version{'s' if size > 1 else ''}",
            ours,
            peer,
            seconds["ours"],
            seconds["peer"],
            "versions",
            AMOUNT,
        )

    def do_newest(key: str) -> Callable[[], object]:
        measured = repeated(contenders[key].newest, newest[key])
        times = AMOUNT / newest[key]

        def run() -> object:
            (seconds,) = alternate({key: measured}, 1, warm_ups=0)[key]
            return seconds * times

        return run

    return [
        timed(
            "resolve",
            lambda key: resolving(contenders[key]),
            "Store.resolve of name:vN",
            "TorchX, artifacts of a run",
        ),
        timed(
            "resolve latest",
            do_newest,
            "Store.resolve of name:latest",
            "TorchX, run_ids and artifacts of the newest",
        ),
        timed(
            "log",
            lambda key: repeated(contenders[key].log, AMOUNT),
            "Store.add_version",
            "TorchX, add_artifact",
        ),
    ]


def main() -> None:
    """Print the figures as JSON; the argument says how many rounds."""
    rounds = int(sys.argv[1])
    found = []
    for size in SIZES:
        with tempfile.TemporaryDirectory(prefix="store-") as folder:
            found += figures(rounds, size, Path(folder))
    print(json.dumps([figure.to_dict() for figure in found]))


if __name__ == "__main__":
    main()
