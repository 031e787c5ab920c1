"""Cold start: a fresh copy of the repository, an empty home folder, nothing in any cache."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import Figure
from scene import (
    CONFIG,
    PLAIN,
    RECIPE,
    REPOSITORY,
    RESULT,
    BenchmarkError,
    environment,
    find_python,
    new_scene,
    run,
)

PANTS_LOCK = REPOSITORY / "build-support" / "pants-2.17.lock"
# What ./pants and Pants report: a step that begins, or one that has ended.
STEP = re.compile(r"^\./pants: \[ *\d+ s\] (?!  … )(.*)|^\S+ \[INFO\] (.*)")
READY = "ready"


@dataclass(frozen=True)
class Step:
    """Something that was reported, and for how many seconds nothing else was then."""

    name: str
    seconds: float


@dataclass(frozen=True)
class ColdRun:
    """A cold run: its steps in order, and the seconds until Pants was set up and until the end."""

    steps: tuple[Step, ...]
    set_up: float
    total: float


def cold_run(arguments: Sequence[str]) -> ColdRun:
    """Run `./pants` in a new copy with a new, empty home folder and take down what it reports."""
    with _empty_home() as env, new_scene(env) as scene:
        started = time.perf_counter()
        process = subprocess.Popen(
            ["./pants", *arguments],
            cwd=scene.root,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        lines = [(time.perf_counter() - started, line.rstrip()) for line in process.stdout]
        process.wait()
        total = time.perf_counter() - started
    output = "\n".join(line for _, line in lines)
    if process.returncode or RESULT not in output:
        raise BenchmarkError(
            f"./pants {' '.join(arguments)}: exit code {process.returncode}\n{output}"
        )
    reports = [(0.0, "./pants starts")]
    for at, line in lines:
        if found := STEP.match(line):
            name = (found[1] or found[2]).partition(", in /")[0]  # no folder of this machine
            if name != reports[-1][1]:
                reports.append((at, name))
        elif RESULT in line:
            reports.append((at, "the script's output"))
    ends = [at for at, _ in reports[1:]] + [total]
    steps = tuple(Step(name, end - at) for (at, name), end in zip(reports, ends, strict=True))
    return ColdRun(steps, next(at for at, name in reports if name == READY), total)


def pip_install() -> float:
    """Return the seconds that pip takes to install Pants, and no more, from the same lockfile."""
    with _empty_home() as env, tempfile.TemporaryDirectory() as folder:
        python = find_python("3.9", env)
        started = time.perf_counter()
        root = Path(folder)
        run([python, "-I", "-m", "venv", folder], root, env)
        pip = [f"{folder}/bin/python", "-I", "-m", "pip", "install", "--quiet", "--no-input"]
        run([*pip, "--require-hashes", "-r", str(PANTS_LOCK)], root, env)
        return time.perf_counter() - started


def cold_figures() -> tuple[list[Figure], tuple[Step, ...]]:
    """Return the figures of a cold start, each of one run, and the recipe's steps.

    The peer of the whole is the plain file's cold run, by the same ./pants in an empty home of its
    own: it sets up the same Pants over the same network and installs the same packages, so that
    the ratio is what a recipe adds. The peer of the set-up is what anybody who has Pants from a
    package index waits for: pip, from the same lockfile.
    """
    # First, so that an index that keeps what it has served once is as warm for the others.
    pip = pip_install()
    plain = cold_run(["run", PLAIN, "--", "--config", CONFIG])
    recipe = cold_run(["run", RECIPE])
    return [
        Figure(
            "cold run",
            "./pants run of a recipe",
            "./pants run of the plain file",
            (recipe.total,),
            (plain.total,),
        ),
        Figure(
            "cold: until Pants is set up",
            "./pants, Pants and the Pex CLI",
            "pip install of Pants alone",
            (recipe.set_up,),
            (pip,),
        ),
    ], recipe.steps


@contextmanager
def _empty_home() -> Iterator[dict[str, str]]:
    """The environment with an empty home, but this user's Pythons and package index."""
    old = Path.home()
    kept = {"PYENV_ROOT": os.environ.get("PYENV_ROOT", str(old / ".pyenv"))}
    pip_config = old / ".config" / "pip" / "pip.conf"
    if pip_config.exists() and "PIP_CONFIG_FILE" not in os.environ:
        kept["PIP_CONFIG_FILE"] = str(pip_config)
    with tempfile.TemporaryDirectory(prefix="home-") as home:
        env = environment(HOME=home, **kept)
        yield {name: value for name, value in env.items() if not name.startswith("XDG_")}
