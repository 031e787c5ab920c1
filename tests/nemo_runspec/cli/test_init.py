"""`nemo-runspec init`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nemo_runspec.env import PROFILE_KEYS, list_profiles, load_env_file, load_env_profile
from nemo_runspec.initial import _ENV_FILE
from runspec import parse
from tests.nemo_runspec.cli.command import PATIENCE_SECONDS, Shell


def test_it_writes_what_is_missing_and_shows_it(shell: Shell) -> None:
    (shell.folder / ".gitignore").write_text("*.pyc\n.runspec")
    out = shell.ok("init")
    text = (shell.folder / "env.toml").read_text()
    assert out.startswith("wrote  env.toml\nadded  .gitignore: /dist/\n")
    assert text in out
    assert (shell.folder / ".gitignore").read_text() == "*.pyc\n.runspec\n/dist/\n"
    assert list_profiles(load_env_file()) == ["local"]
    assert shell.ok("doctor").startswith("this machine: all is well")


def test_it_never_overwrites(shell: Shell) -> None:
    (shell.folder / "env.toml").write_text("[mine]\n")
    (shell.folder / "src").mkdir()
    (shell.folder / "src" / "BUILD").write_text("# mine\n")
    out = shell.ok("init", "--recipe", "src")
    assert "kept   env.toml" in out and "kept   src/BUILD" in out and "wrote  src/train.py" in out
    assert (shell.folder / "env.toml").read_text() == "[mine]\n"
    assert (shell.folder / "src" / "BUILD").read_text() == "# mine\n"
    before = {path: path.read_bytes() for path in shell.folder.rglob("*") if path.is_file()}
    shell.ok("init", "--recipe", "src")
    assert {path: path.read_bytes() for path in shell.folder.rglob("*") if path.is_file()} == before


def test_the_commented_lines_are_a_profile(shell: Shell) -> None:
    lines = [
        line.removeprefix("# ") if line.startswith("# ") and ("=" in line or "[" in line) else line
        for line in _ENV_FILE.splitlines()
    ]
    (shell.folder / "env.toml").write_text("\n".join(lines[1:]))
    assert set(load_env_profile("prod-large")) <= PROFILE_KEYS
    assert load_env_file()["artifacts"] == {
        "manifest": {"root": "/lustre/team/artifacts"},
        "wandb": True,
    }


def test_the_recipe_runs(shell: Shell) -> None:
    out = shell.ok("init", "--recipe", "src/recipes/My demo")
    folder = shell.folder / "src/recipes/My demo"
    spec = parse(folder / "train.py")
    assert (spec.name, spec.run.launch) == ("my-demo/train", "direct")
    assert "pants run 'src/recipes/My demo:train' -- -c tiny" in out
    assert "a pants.toml with the backend" in out
    build = (folder / "BUILD").read_text()
    assert 'runspec_recipe(name="train", script="train.py")' in build
    assert "python_sources()" in build  # Pants runs no script that nobody owns
    done = subprocess.run(
        [sys.executable, folder / "train.py", "--config", folder / "config" / "default.yaml"],
        env={"RUNSPEC_OUTPUT_DIR": str(shell.folder / "out"), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert done.stdout.splitlines() == ["step 1/3", "step 2/3", "step 3/3"]
    assert (shell.folder / "out" / "result.json").read_text() == '{"steps": 3}'


@pytest.mark.parametrize("folder", ["/elsewhere", ".", ".."])
def test_a_folder_that_is_none(shell: Shell, folder: str) -> None:
    assert "--recipe" in shell.refused("init", "--recipe", folder)
    assert not (shell.folder / "env.toml").exists()
