"""`pants package`: the same bundle from any clone, and one that runs without Pants."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.repository import Repository, cloned, contents, job_folders, run

BUNDLE = "dist/src.recipes.nano3/pretrain-data"

ENV_TOML = """\
[laptop]
executor = "local"
startup_commands = ["export STARTED='by a  profile'", "echo \\"$STARTED\\""]
[laptop.env_vars]
FROM_PROFILE = "a 'quoted' $word"
"""


@pytest.fixture(scope="module")
def bundle(repository: Repository) -> Path:
    """The example's bundle, as the shared clone packages it."""
    repository.pants("package", "src/recipes/nano3:pretrain-data")
    return repository.root / BUNDLE


@contextmanager
def new_machine(folder: Path) -> Iterator[Repository]:
    """A clone whose path has a space, and whose Pants has never built anything."""
    store = {
        "PANTS_LOCAL_STORE_DIR": str(folder / "store"),
        "PANTS_NAMED_CACHES_DIR": str(folder / "caches"),
    }
    with cloned(folder / "my clone", store) as clone:
        yield clone


def test_two_machines_make_the_same_bundle(tmp_path: Path) -> None:
    # Not the shared clone: its caches are those of other tests too, and where an administrator has
    # each Python add an authority to the certifi that it imports, packages change there.
    made = []
    for name in ("a machine", "another machine"):
        with new_machine(tmp_path / name) as machine:
            machine.pants("package", "src/recipes/nano3:pretrain-data")
            made.append(contents(machine.root / BUNDLE))
    assert made[0] == made[1]


@pytest.fixture
def elsewhere(tmp_path: Path, bundle: Path) -> tuple[Path, dict[str, str]]:
    """A copy of the bundle where there is no Pants, and the environment there: a home folder of its
    own, and on PATH little more than a Python, with a pyenv shim before it that runs nothing."""
    shims, home = tmp_path / "shims", tmp_path / "a home"
    home.mkdir()
    shims.mkdir()
    for name in ("python", "python3", "python3.11", "python3.12", "python3.13"):
        shim = shims / name
        shim.write_text("#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n")
        shim.chmod(0o755)
    python = Path(sys.executable).resolve().parent
    path = f"{shims}:{python}:/usr/bin:/bin"
    copy = tmp_path / "a cluster's disk" / "the bundle"
    shutil.copytree(bundle, copy, symlinks=True)
    return copy, {"HOME": str(home), "PATH": path}


def test_a_bundle_runs_without_pants(
    elsewhere: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    copy, environment = elsewhere
    folder = tmp_path / "working folder"
    folder.mkdir()
    (folder / "env.toml").write_text(ENV_TOML)
    before = contents(copy)
    command = [str(copy / "run"), "-c", "tiny", "prepare.max_documents=50", "--profile", "laptop"]
    result = run(command, folder, environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "by a  profile" in result.stdout
    (job,) = job_folders(folder)
    assert (job / "output" / "metadata.json").exists()
    assert "max_documents: 50" in (job / "train.yaml").read_text()
    assert "'quoted'" in (job / "job.yaml").read_text()
    assert contents(copy) == before


def test_a_bundle_runs_through_a_link(
    elsewhere: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    copy, environment = elsewhere
    link = tmp_path / "a link"
    os.symlink(copy / "run", link)
    result = run([str(link), "--dry-run"], tmp_path, environment)
    assert result.returncode == 0, result.stderr
    assert "nano3/data-prep/pretrain" in result.stdout


def test_a_bundle_says_what_it_is(bundle: Path) -> None:
    document = json.loads((bundle / "bundle.json").read_text())
    assert document["recipe"] == "src/recipes/nano3:pretrain-data"
    assert document["requirements"].keys() >= {"numpy", "omegaconf"}
    assert os.access(bundle / "run", os.X_OK)
    script = bundle / document["script"]
    assert script.read_bytes().startswith(b"# /// script")
