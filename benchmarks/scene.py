"""Where it is measured: a copy of the repository, with a small recipe and its plain twin in it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

PACKAGE = "src/benchmark_scene"
RECIPE = f"{PACKAGE}:recipe"
PLAIN = f"{PACKAGE}/plain.py"
CONFIG = f"{PACKAGE}/config/default.yaml"

BLOCK = """\
# /// script
# dependencies = ["numpy>=1.26", "pyyaml>=6"]
# requires-python = ">=3.11"
#
# [tool.runspec]
# schema = "1"
# name = "benchmark"
#
# [tool.runspec.run]
# launch = "direct"
#
# [tool.runspec.config]
# dir = "./config"
# default = "default"
# ///
"""
# What both do: little, so that what is around it shows; with a module of the repository, packages
# with native code and a config, as a recipe has them.
CODE = """\
import argparse

import numpy as np
import yaml

from benchmark_scene.model import mean_root

parser = argparse.ArgumentParser()
parser.add_argument("--config", required=True)
with open(parser.parse_args().config) as file:
    config = yaml.safe_load(file)
print("result", mean_root(np.arange(config["size"])))
"""
RESULT = "result 21.065833"

FILES = {
    f"{PACKAGE}/BUILD": """\
runspec_recipe(name="recipe", script="recipe.py")

runspec_configs(name="configs", sources=["config/*.yaml"])

python_sources()
""",
    f"{PACKAGE}/recipe.py": BLOCK + CODE,
    PLAIN: CODE,
    f"{PACKAGE}/model.py": """\
import numpy as np


def mean_root(values):
    return float(np.sqrt(values).mean())
""",
    CONFIG: "size: 1000\n",
}


@dataclass(frozen=True)
class Process:
    """A process that ended well: its output, and its time in seconds of the wall and of CPUs."""

    output: str
    wall: float
    cpu: float


class BenchmarkError(Exception):
    """A command that is measured failed."""


def run(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], *, expect: str | None = None
) -> Process:
    """Run a command to its end and measure it.

    Args:
        argv: the command.
        cwd: the folder to run it in.
        env: its whole environment.
        expect: what its standard output has to hold.

    Raises:
        BenchmarkError: if it fails, or its output is another.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = time.perf_counter()
        process = subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        # wait4 tells the CPU time of this process and its children, and of no other.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        for stream in (out, err):
            stream.seek(0)
        output, errors = out.read(), err.read()
    if process.returncode or (expect is not None and expect not in output):
        raise BenchmarkError(
            f"{' '.join(argv)}: exit code {process.returncode}, in {cwd}\n{output}{errors}"
        )
    return Process(output, wall, usage.ru_utime + usage.ru_stime)


def environment(**changes: str) -> dict[str, str]:
    """Return the environment less what would bend Pants, Python or Pex, with changes."""
    bending = ("PANTS_", "PEX_", "PYTHON", "RUNSPEC_", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(bending)}
    return {**kept, **changes}


@dataclass(frozen=True)
class Scene:
    """A copy of the repository, and the environment that its commands get."""

    root: Path
    env: Mapping[str, str]

    def pants(self, *arguments: str, expect: str | None = None) -> Process:
        """Run `./pants` and measure it."""
        return run(["./pants", *arguments], self.root, self.env, expect=expect)

    def stop_pantsd(self) -> None:
        """End this copy's daemon, if there is one."""
        for file in self.root.glob(".pids/*/pantsd/pid"):
            os.kill(int(file.read_text()), signal.SIGTERM)


@contextmanager
def new_scene(env: Mapping[str, str]) -> Iterator[Scene]:
    """Copy the repository as it is now, changes that are not committed too, less what git ignores.

    The copy is gone afterwards, and its pantsd.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        root = Path(folder).resolve() / "repository"
        listing = run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            REPOSITORY,
            env,
        )
        for name in listing.output.split("\0"):
            source = REPOSITORY / name
            if name and source.is_file():  # a deleted file is listed until that is committed
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, root / name)
        for name, text in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        scene = Scene(root, env)
        try:
            yield scene
        finally:
            scene.stop_pantsd()


def find_python(version: str, env: Mapping[str, str]) -> str:
    """Return the path of a CPython `version` (such as 3.11), found as `./pants` finds its own."""
    script = REPOSITORY / "build-support" / "find-python"
    return run(["sh", str(script), version], REPOSITORY, env).output.strip()


def job_folder(output: str) -> Path:
    """Return the folder of the job whose completion the output tells."""
    found = re.search(r"^\s*Job:\s+(\S.*)$", output, re.MULTILINE)
    if found is None:
        raise BenchmarkError(f"no job folder is named in:\n{output}")
    return Path(found[1])
