"""The CPU that the command line takes before it shows something, as figures in JSON.

    python command_line_rate.py ROUNDS

Its Python has nemo_runspec's packages and NeMo-Run: run.py starts it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import Figure, alternate

from tests.nemo_runspec.example_bundle import make_bundle

# As a script in bin/ starts it.
MAIN = "import sys; from nemo_runspec.cli import main; sys.exit(main())"


def cpu_seconds(arguments: Sequence[str], folder: str) -> Callable[[], float]:
    """Return what runs a Python in `folder` and returns the CPU seconds that it took."""

    def run() -> float:
        before = os.times()
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, capture_output=True, check=False
        )
        after = os.times()
        if done.returncode:
            raise SystemExit(f"{arguments}: {done.stderr.decode()}")
        user = after.children_user - before.children_user
        return user + after.children_system - before.children_system

    return run


def figures(rounds: int) -> list[Figure]:
    """Return each command beside its peer: what every Python, or NeMo-Run's import, takes."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / ".git").mkdir()
        bundle = str(make_bundle(Path(folder) / "bundle"))
        ours = {
            "nemo-runspec --help": ["--help"],
            "nemo-runspec --version": ["--version"],
            "help of a recipe": ["recipe", bundle, "--help"],
            "dry run of a recipe, local": ["recipe", bundle, "--dry-run"],
        }
        peers = {"python -c pass": "pass", "python -c 'import nemo_run'": "import nemo_run"}
        contenders = {
            **{name: cpu_seconds(["-c", MAIN, *line], folder) for name, line in ours.items()},
            **{name: cpu_seconds(["-c", code], folder) for name, code in peers.items()},
        }
        times = alternate(contenders, rounds)
    return [
        Figure(f"CPU: {name}", name, peer, times[name], times[peer])
        for name in ours
        for peer in peers
    ]


if __name__ == "__main__":
    print(json.dumps([figure.to_dict() for figure in figures(int(sys.argv[1]))]))
