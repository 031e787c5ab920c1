"""The search for an interpreter. Version 3.98 exists on no machine but the one a test makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.launcher.machine import Machine, write_script

VERSION = "3.98"
WORKS = 'case "$*" in *"-c "*3.98*) exit 0 ;; *) exit 1 ;; esac\n'
BROKEN_SHIM = 'echo "pyenv: python3.98: command not found" >&2\nexit 127\n'
WITHOUT_ENSUREPIP = "exit 1\n"


def find(
    machine: Machine, *arguments: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    script = machine.clone / "build-support" / "find-python"
    return machine.run("sh", script, VERSION, *arguments, variables=variables)


@pytest.mark.parametrize("name", ["python3.98", "python3", "python"])
def test_takes_a_python_on_path(machine: Machine, name: str) -> None:
    python = write_script(machine.bin / name, WORKS)
    assert find(machine).stdout == f"{python}\n"


@pytest.mark.parametrize("broken", [BROKEN_SHIM, WITHOUT_ENSUREPIP, "kill -9 $$\n"])
def test_does_not_believe_a_python_before_it_ran(machine: Machine, broken: str) -> None:
    write_script(machine.bin / "python3.98", broken)
    works = write_script(machine.bin / "python3", WORKS)
    done = find(machine)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{works}\n", "")


def test_looks_behind_the_shims_of_pyenv(machine: Machine) -> None:
    pyenv = machine.home.parent / "opt pyenv"
    shim = write_script(pyenv / "shims" / "python3.98", BROKEN_SHIM)
    works = write_script(pyenv / "versions" / "3.98.7" / "bin" / "python3", WORKS)
    done = find(machine, PATH=f"{shim.parent}:{machine.utilities}", HOME="")
    assert done.stdout == f"{works}\n"


@pytest.mark.parametrize(
    ("variable", "folder", "python"),
    [
        ("PYENV_ROOT", "root", "versions/3.98.1/bin/python3"),
        ("HOME", "home 2", ".pyenv/versions/3.98.10/bin/python3"),
        ("UV_PYTHON_INSTALL_DIR", "uv", "cpython-3.98.2-linux-x86_64-gnu/bin/python3"),
        ("HOME", "home 3", ".local/share/uv/python/cpython-3.98.2-macos-aarch64-none/bin/python3"),
        ("XDG_DATA_HOME", "data", "mise/installs/python/3.98.0/bin/python3"),
    ],
)
def test_looks_where_version_managers_install(
    machine: Machine, variable: str, folder: str, python: str
) -> None:
    base = machine.home.parent / folder
    works = write_script(base / python, WORKS)
    assert find(machine, **{variable: str(base)}).stdout == f"{works}\n"


def test_finds_a_real_one(machine: Machine) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    (machine.bin / f"python{version}").symlink_to(sys.executable)
    script = machine.clone / "build-support" / "find-python"
    found = machine.run("sh", script, version).stdout.rstrip("\n")
    asked = machine.run(found, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    assert asked.stdout == f"{version}\n"


def test_none_is_one_line_with_the_fix(machine: Machine) -> None:
    done = find(machine)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("./pants: found no CPython 3.98 that works; install one (")
    assert done.stderr.count("\n") == 1


def test_lets_uv_fetch_one(machine: Machine) -> None:
    fetched = machine.home / "cache folder"
    python = fetched / "cpython-3.98.1-linux" / "bin" / "python3"
    write_script(
        machine.bin / "uv",
        'case "$*" in --version) exit 0 ;; esac\n'
        'mkdir -p "$UV_PYTHON_INSTALL_DIR/cpython-3.98.1-linux/bin"\n'
        f'printf "#!/bin/sh\\nexit 0\\n" > "{python}"\nchmod +x "{python}"\n',
    )
    (machine.utilities / "chmod").symlink_to("/bin/chmod")
    done = find(machine, fetched)
    assert (done.returncode, done.stdout) == (0, f"{python}\n")
    assert done.stderr == "./pants: found no CPython 3.98 that works; asking uv for one\n"
    assert find(machine, fetched).stderr == ""


def test_uv_without_a_network_is_one_line_with_the_reason_and_the_fix(machine: Machine) -> None:
    write_script(
        machine.bin / "uv",
        'case "$*" in --version) exit 0 ;; esac\n'
        'echo "error: Failed to install" >&2\necho "  Caused by: dns error" >&2\nexit 1\n',
    )
    done = find(machine, machine.home / "fetched")
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert "uv could not fetch it (dns error); install one ('uv python install 3.98'" in last


def test_no_uv_and_no_python_to_install_it_with(machine: Machine) -> None:
    write_script(machine.bin / "python3", BROKEN_SHIM)
    write_script(machine.bin / "python", BROKEN_SHIM)
    script = machine.clone / "build-support" / "find-python"
    # Whatever Python the real machine has in its usual folders finds no lock to install uv from.
    (machine.clone / "build-support" / "uv.lock").unlink()
    done = machine.run("sh", script, VERSION, machine.home / "fetched")
    assert (done.returncode, done.stdout) == (1, "")
    assert "and no uv to fetch it; install one (" in done.stderr.splitlines()[-1]
