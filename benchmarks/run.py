"""Prints every figure beside its peer, measured in one run.

    python3 benchmarks/run.py [--rounds N] [--noop] [--submit] [--cold] [--json FILE]

Any Python from 3.10 on; it starts what it needs, in a copy of the repository that is gone
afterwards. README.md beside this file says how to read it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cold import cold_figures
from harness import Figure, machine, table
from noop import noop_figures
from peer_tools import peer, slurm_python
from scene import REPOSITORY, BenchmarkError, environment, find_python, new_scene, run
from warm import warm_figures

ROUNDS = 7


def parse_rate(rounds: int) -> tuple[str, list[Figure]]:
    """Return the Python that parse_rate.py ran on, and its figures: it needs tomllib."""
    env = environment(PYTHONPATH=str(REPOSITORY / "src"))
    python = sys.executable if sys.version_info >= (3, 11) else find_python("3.11", env)
    script = str(Path(__file__).with_name("parse_rate.py"))
    document = json.loads(run([python, script, str(rounds)], REPOSITORY, env).output)
    return document["python"], [Figure.from_dict(figure) for figure in document["figures"]]


def store_rate(rounds: int) -> list[Figure]:
    """Return the figures of store_rate.py: it needs TorchX."""
    paths = os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY / "benchmarks")])
    script = str(Path(__file__).with_name("store_rate.py"))
    argv = [str(peer("torchx") / "python"), script, str(rounds)]
    document = json.loads(run(argv, REPOSITORY, environment(PYTHONPATH=paths)).output)
    return [Figure.from_dict(figure) for figure in document]


def submit_rate(rounds: int) -> list[Figure]:
    """Return the figures of submit_rate.py: it needs NeMo-Run, Ray and Slurm's packages."""
    paths = os.pathsep.join([str(REPOSITORY / name) for name in ("src", "benchmarks", "")])
    script = str(Path(__file__).with_name("submit_rate.py"))
    python = slurm_python()
    env = environment(PYTHONPATH=paths, RUNSPEC_RAY_PYTHON=python)
    document = json.loads(run([python, script, str(rounds)], REPOSITORY, env).output)
    return [Figure.from_dict(figure) for figure in document]


def command_line_rate(rounds: int) -> list[Figure]:
    """Return the figures of command_line_rate.py: it needs NeMo-Run."""
    paths = os.pathsep.join([str(REPOSITORY / name) for name in ("src", "benchmarks", "")])
    argv = [slurm_python(), str(Path(__file__).with_name("command_line_rate.py")), str(rounds)]
    document = json.loads(run(argv, REPOSITORY, environment(PYTHONPATH=paths)).output)
    return [Figure.from_dict(figure) for figure in document]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description="Print every figure beside its peer.")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, metavar="N", help=f"pairs a figure ({ROUNDS})"
    )
    parser.add_argument(
        "--cold", action="store_true", help="the cold start too: the network and some minutes"
    )
    parser.add_argument(
        "--noop",
        action="store_true",
        help="pipelines with nothing to do too: their peers are installed, and some minutes",
    )
    parser.add_argument(
        "--submit",
        action="store_true",
        help="submitting to a real Slurm and Ray too: they are started, and some minutes",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample to FILE")
    options = parser.parse_args(argv)
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: it takes one at least")

    date = datetime.date.today().isoformat()
    at_start = machine()
    print(f"{date}; {at_start}; {options.rounds} rounds")
    print(
        "medians of runs taken in turn; ratio: time as a multiple of the peer's, less is faster\n"
    )
    try:
        python, parsing = parse_rate(options.rounds)
        print(table(f"parsing ({python})", parsing), end="\n\n", flush=True)
        with new_scene(environment()) as scene:
            warm = warm_figures(scene, options.rounds)
        print(table("warm runs", warm), end="\n\n", flush=True)
        store = store_rate(options.rounds)
        print(table("the store", store), end="\n\n", flush=True)
        noop = noop_figures(options.rounds) if options.noop else []
        if noop:
            print(table("nothing to do", noop), end="\n\n", flush=True)
        submit = submit_rate(options.rounds) if options.submit else []
        if submit:
            print(table("submitting", submit), end="\n\n", flush=True)
            commands = command_line_rate(options.rounds)
            print(table("the command line", commands), end="\n\n", flush=True)
            submit += commands
        cold, steps = cold_figures() if options.cold else ([], ())
        if cold:
            print(table("cold start", cold), end="\n\n")
            print("the recipe's cold run, step by step (seconds until the next one)")
            print("\n".join(f"  {step.seconds:5.1f}  {step.name}" for step in steps), end="\n\n")
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    at_end = machine()
    print(f"at the end: {at_end}")
    if options.json:
        document = {
            "date": date,
            "machine": {"at_start": at_start, "at_end": at_end, "parsing": python},
            "figures": [
                figure.to_dict() for figure in [*parsing, *warm, *store, *noop, *submit, *cold]
            ],
            "cold_steps": [{"name": step.name, "seconds": step.seconds} for step in steps],
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
