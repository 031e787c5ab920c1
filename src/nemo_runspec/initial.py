"""`nemo-runspec init`: what a repository needs to begin with."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nemo_runspec.command_line import Command, Flag, Given, run_parsed, typed
from nemo_runspec.env import ENV_FILE_NAME
from nemo_runspec.exceptions import UsageError
from nemo_runspec.utils import find_repository_root

INIT = Command(
    "init",
    "",
    (
        f"Writes what a repository needs to begin with: an {ENV_FILE_NAME} whose profile `local` "
        "runs here and whose commented lines show a cluster, W&B and a shared store, and lines "
        "for .gitignore. With --recipe it also writes a recipe that runs: a script with its "
        "[tool.runspec] block, a config and a BUILD file.",
        "It never overwrites: what is there stays as it is, and is named.",
    ),
    (Flag(("--recipe",), "also write a recipe into this folder", "DIR"),),
    has_store=False,
    examples=("init", "init --recipe src/recipes/demo"),
)

_ENV_FILE = """\
# Where jobs run: a table is a profile, chosen with `--run NAME` or `--batch NAME`.

[local]
executor = "local"

# [prod]
# executor = "slurm"
# account = "team"
# partition = "batch"
# time = "04:00:00"
# nodes = 2
# gpus_per_node = 8
# container_image = "nvcr.io/nvidia/nemo:25.11"
# mounts = ["/lustre:/lustre"]
# remote_job_dir = "/lustre/team/jobs"   # a folder that the nodes see
# tunnel = "ssh"                         # from outside the cluster; with host and user
# host = "login.cluster.example"
# user = "me"

# [prod-large]
# extends = "prod"
# nodes = 32

# The store of artifacts; without this it is .runspec/artifacts in the repository.
# [artifacts.manifest]
# root = "/lustre/team/artifacts"        # or s3://bucket/artifacts

# [artifacts]
# wandb = true                           # on top of the store; `wandb login` first

# [wandb]
# project = "my-project"
# entity = "my-team"
"""
_IGNORED = ("/.runspec/", "/dist/")
# It begins behind the quotes: a line of its own would make this file a recipe.
_SCRIPT = '''# /// script
# requires-python = ">=3.10"
# dependencies = ["pyyaml>=6"]
#
# [tool.runspec]
# name = "{name}"
# docs = "Counts up to train.steps, and leaves the result in its output folder."
#
# [tool.runspec.run]
# launch = "direct"
#
# [tool.runspec.resources]
# gpus_per_node = 0
# ///
"""A recipe to start from: reads its config, and writes to its output folder."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import yaml


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    config = yaml.safe_load(parser.parse_args().config.read_text(encoding="utf-8"))

    steps = config["train"]["steps"]
    for step in range(1, steps + 1):
        print(f"step {{step}}/{{steps}}", flush=True)

    output = Path(os.environ["RUNSPEC_OUTPUT_DIR"])
    output.mkdir(parents=True, exist_ok=True)
    (output / "result.json").write_text(json.dumps({{"steps": steps}}), encoding="utf-8")


if __name__ == "__main__":
    main()
'''
_CONFIG = "train:\n  steps: 3\n"
_TINY = "defaults: default\n\ntrain:\n  steps: 1\n"
_BUILD = """\
python_sources()

runspec_recipe(name="train", script="train.py")

runspec_configs(name="configs", sources=["config/**/*.yaml"])

# What comes of it: `pants materialize {folder}:result` makes it when it is stale.
artifact(name="result", recipe=":train", artifact_name="{artifact}", output=".", type="Artifact")
"""


@dataclass(frozen=True)
class _NewFile:
    """A file to write.

    Args:
        path: where.
        text: what is in it.
    """

    path: Path
    text: str


def run_init(arguments: Sequence[str]) -> int:
    """The command line of `nemo-runspec init`; returns the exit code.

    Raises:
        UsageError: the recipe's folder is not in the repository.
    """
    return run_parsed(INIT, _init, arguments)


def _init(given: Given) -> int:
    root = find_repository_root() or Path.cwd()
    folder = given.value("--recipe")
    files = [_NewFile(root / ENV_FILE_NAME, _ENV_FILE)]
    if folder is not None:
        files += _recipe(root, Path(os.path.abspath(folder)))
    written = [file for file in files if _write(file)]
    for file in files:
        print(f"{'wrote ' if file in written else 'kept  '} {_shown(file.path)}")
    added = _ignore(root / ".gitignore")
    print(f"{'added ' if added else 'kept  '} {_shown(root / '.gitignore')}", end="")
    print(f": {' '.join(added)}" if added else "")
    for file in written:
        print(f"\n--- {_shown(file.path)}\n{file.text}", end="")
    print("\nnext:")
    print(f"  {typed('doctor')}")
    if folder is not None:
        address = Path(os.path.abspath(folder)).relative_to(root).as_posix()
        if not (root / "pants.toml").is_file():
            print("  a pants.toml with the backend pants_runspec (docs/howto/adopt.md), then")
        for options in (["--dry-run"], ["-c", "tiny"]):
            print(f"  {shlex.join(['pants', 'run', f'{address}:train', '--', *options])}")
    return 0


def _recipe(root: Path, folder: Path) -> Iterator[_NewFile]:
    try:
        address = folder.relative_to(root).as_posix()
    except ValueError as error:
        raise UsageError(
            f"--recipe {folder}: is not in the repository, {root}; name a folder in it"
        ) from error
    name = re.sub(r"[^A-Za-z0-9]+", "-", folder.name).strip("-").lower()
    if address == "." or not name:
        raise UsageError("--recipe needs a folder below the repository's root: src/recipes/demo")
    yield _NewFile(folder / "train.py", _SCRIPT.format(name=f"{name}/train"))
    yield _NewFile(folder / "config" / "default.yaml", _CONFIG)
    yield _NewFile(folder / "config" / "tiny.yaml", _TINY)
    yield _NewFile(folder / "BUILD", _BUILD.format(folder=address, artifact=f"{name}-result"))


def _write(file: _NewFile) -> bool:
    """Whether the file was not there, and is now."""
    file.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(file.path, "x", encoding="utf-8") as out:
            out.write(file.text)
    except FileExistsError:
        return False
    return True


def _ignore(path: Path) -> list[str]:
    """Adds the lines that git should ignore; returns those that were not there."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    known = {line.strip().strip("/") for line in text.splitlines()}
    missing = [line for line in _IGNORED if line.strip("/") not in known]
    if missing:
        separator = "" if not text or text.endswith("\n") else "\n"
        with open(path, "a", encoding="utf-8") as file:
            file.write(separator + "".join(f"{line}\n" for line in missing))
    return missing


def _shown(path: Path) -> str:
    return os.path.relpath(path)
