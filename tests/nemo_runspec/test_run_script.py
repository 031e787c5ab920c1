"""The `run` script of a bundle, in the shells that a machine may have as `sh`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runspec.run_script import run_script
from tests.nemo_runspec.executor_contract import NASTY

MINOR = ".".join(map(str, sys.version_info[:2]))
LAUNCHER = "import json, os, sys; print(json.dumps([sys.argv, dict(os.environ)]))\n"
BROKEN = "#!/bin/sh\nexit 127\n"
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    path = shutil.which(request.param)
    assert path
    return [path, "sh"] if request.param == "busybox" else [path]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / 'it\'s a "bundle" $x'
    folder.mkdir()
    (folder / "run").write_text(run_script([MINOR]))
    (folder / "run").chmod(0o755)
    (folder / "launcher.pex").write_text(LAUNCHER)
    return folder


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def call(
    command: list[str], tmp_path: Path, *arguments: str, **env: str
) -> subprocess.CompletedProcess[str]:
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    for tool in ("dirname", "readlink", "env", "sh"):
        found = shutil.which(tool)
        if found and not (tools / tool).exists():
            (tools / tool).symlink_to(found)
    environ = {"PATH": f"{tmp_path / 'bin'}:{tools}", "HOME": str(tmp_path / "home"), **env}
    return subprocess.run(
        [*command, *arguments], env=environ, capture_output=True, text=True, check=False
    )


def python_at(path: Path) -> None:
    program(path, f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')


def test_arguments_arrive(shell: list[str], bundle: Path, tmp_path: Path) -> None:
    python_at(tmp_path / "bin" / f"python{MINOR}")
    done = call([*shell, str(bundle / "run")], tmp_path, *NASTY.values(), "--", PYTHONPATH="/x")
    assert done.stderr == ""
    argv, env = json.loads(done.stdout)
    assert argv == [f"{bundle}/launcher.pex", "recipe", str(bundle), *NASTY.values(), "--"]
    assert "PYTHONPATH" not in env


def test_through_symbolic_links(shell: list[str], bundle: Path, tmp_path: Path) -> None:
    python_at(tmp_path / "bin" / "python3")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "one").symlink_to(f"../{bundle.name}/run")
    (tmp_path / "two").symlink_to(tmp_path / "links" / "one")
    done = call([*shell, str(tmp_path / "two")], tmp_path)
    assert json.loads(done.stdout)[0][2] == str(bundle)


@pytest.mark.parametrize("place", [".pyenv/versions/3.x/bin", ".local/share/uv/python/c p/bin"])
def test_broken_shims_are_passed_by(
    shell: list[str], bundle: Path, tmp_path: Path, place: str
) -> None:
    for name in (f"python{MINOR}", "python3", "python"):
        program(tmp_path / "bin" / name, BROKEN)
    python_at(tmp_path / "home" / place / f"python{MINOR}")
    done = call([*shell, str(bundle / "run")], tmp_path)
    assert json.loads(done.stdout)[0][1:] == ["recipe", str(bundle)]


def test_a_chosen_python(shell: list[str], bundle: Path, tmp_path: Path) -> None:
    done = call([*shell, str(bundle / "run")], tmp_path, RUNSPEC_LAUNCHER_PYTHON=sys.executable)
    assert done.returncode == 0
    done = call([*shell, str(bundle / "run")], tmp_path, RUNSPEC_LAUNCHER_PYTHON="/no/python")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "RUNSPEC_LAUNCHER_PYTHON=/no/python" in done.stderr


def test_another_launcher(shell: list[str], bundle: Path, tmp_path: Path) -> None:
    """The one that a profile needs, of a Python that the bundle's own launcher may not fit."""
    other = tmp_path / "it's another.pex"
    other.write_bytes((bundle / "launcher.pex").read_bytes())
    (bundle / "run").write_text(run_script(["3.98"]))
    done = call(
        [*shell, str(bundle / "run")],
        tmp_path,
        "a b",
        RUNSPEC_LAUNCHER_PEX=str(other),
        RUNSPEC_LAUNCHER_PYTHON=sys.executable,
    )
    assert done.stderr == ""
    assert json.loads(done.stdout)[0] == [str(other), "recipe", str(bundle), "a b"]


def test_no_python(shell: list[str], bundle: Path, tmp_path: Path) -> None:
    (bundle / "run").write_text(run_script(["3.98", "3.99"]))
    done = call([*shell, str(bundle / "run")], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no Python 3.98 3.99 ")
    assert "uv python install 3.98" in done.stderr
    assert done.stderr.count("\n") == 1


def test_executable_by_itself(bundle: Path, tmp_path: Path) -> None:
    done = call([os.path.relpath(bundle / "run")], tmp_path, RUNSPEC_LAUNCHER_PYTHON=sys.executable)
    assert json.loads(done.stdout)[0][2] == str(bundle)
