"""./pants with a stub for the interpreter and for Pants, so that nothing is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.launcher.machine import Machine, write_script

# Stands for CPython 3.9: answers the search, and "sets up" a Pants that tells how it was called.
PYTHON = r"""
echo "$*" >> "$HOME/python.log"
case "$2" in
  -c) exit 0 ;;
  */bootstrap.py)
    mkdir -p "$3/venv/bin"
    ln -sf "$(command -v sh)" "$3/venv/bin/python"
    printf '%s\n' 'echo "pid $$"; for a; do printf "argument <%s>\n" "$a"; done; env; exit 42' \
      > "$3/venv/bin/pants"
    exit 0 ;;
esac
exit 1
"""

SHELLS = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]


@pytest.fixture
def ready(machine: Machine) -> Machine:
    write_script(machine.bin / "python3.9", PYTHON)
    return machine


def environment(stdout: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in stdout.splitlines() if "=" in line)
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("shell", SHELLS)
def test_hands_over_arguments_and_exit_code(ready: Machine, shell: str) -> None:
    nasty = ["run", "a b", "", "it's", '"q"', "$HOME", "; echo foo", "ünï", "train.lr=1e-4", "--"]
    done = ready.run(shell, ready.clone / "pants", *nasty)
    assert done.returncode == 42, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith("argument ")]
    assert told == [f"argument <{argument}>" for argument in nasty]


def test_becomes_pants_so_that_signals_reach_it(ready: Machine) -> None:
    ready.run("sh", "pants")
    with subprocess.Popen(
        [ready.clone / "pants"],
        env=dict(ready.environment()),
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"pid {process.pid}\n"
        process.stdout.read()


def test_exports_what_the_overlay_needs(ready: Machine) -> None:
    done = ready.run(
        "sh", "pants", variables={"PYTHONPATH": "/elsewhere", "PYTHONHOME": "/elsewhere"}
    )
    env = environment(done.stdout)
    home = Path(env["RUNSPEC_PANTS_HOME"])
    assert home.parent == ready.home / ".cache" / "nemo-runspec"
    assert env["NO_SCIE_WARNING"] == "1"
    assert env["PANTS_CONFIG_FILES"] == str(ready.clone / "pants.2.17.toml")
    assert "PYTHONPATH" not in env
    assert "PYTHONHOME" not in env


def test_no_python_is_looked_for_when_all_is_there(ready: Machine) -> None:
    ready.run("sh", "pants")
    (ready.bin / "python3.9").unlink()
    log = (ready.home / "python.log").read_text()
    assert ready.run("sh", "pants").returncode == 42
    assert (ready.home / "python.log").read_text() == log


def test_sets_up_anew_when_an_input_changes_or_the_interpreter_is_gone(ready: Machine) -> None:
    first = environment(ready.run("sh", "pants").stdout)["RUNSPEC_PANTS_HOME"]
    with open(ready.clone / "build-support" / "pex.lock", "a") as lock:
        lock.write("# changed\n")
    second = environment(ready.run("sh", "pants").stdout)["RUNSPEC_PANTS_HOME"]
    assert first != second

    python = Path(second) / "venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nonexistent/python3.9")
    done = ready.run("sh", "pants")
    assert (done.returncode, environment(done.stdout)["RUNSPEC_PANTS_HOME"]) == (42, second)


@pytest.mark.parametrize("how", ["../../pants", "absolute", "on PATH"])
def test_works_from_a_folder_below(ready: Machine, how: str) -> None:
    below = ready.clone / "src" / "a b"
    below.mkdir(parents=True)
    command = {"../../pants": "../../pants", "absolute": str(ready.clone / "pants")}.get(
        how, "pants"
    )
    path = f"{ready.bin}:{ready.utilities}:{ready.clone}"
    done = ready.run("sh", "-c", '"$0" list ::', command, cwd=below, variables={"PATH": path})
    assert done.returncode == 42, done.stderr
    assert environment(done.stdout)["PWD"] == str(below)


@pytest.mark.parametrize(
    ("users_own", "files"),
    [
        ("", []),
        ("ci.toml", ["ci.toml"]),
        ("/it's/ci.toml", ["/it's/ci.toml"]),
        ("+['ci.toml']", ["ci.toml"]),
        ("+['a.toml'],+['b.toml']", ["a.toml", "b.toml"]),
        ("['ci.toml',]", ["ci.toml"]),
        ("('ci.toml',)", ["ci.toml"]),
    ],
)
def test_the_overlay_follows_the_users_own_configuration(
    ready: Machine, users_own: str, files: list[str]
) -> None:
    done = ready.run("sh", "pants", variables={"PANTS_CONFIG_FILES": users_own})
    value = environment(done.stdout)["PANTS_CONFIG_FILES"]
    # As Pants 2.17 reads a list: `+[…]` appends, `[…]` replaces, anything else is one item.
    modifiers = value.replace("],+[", "]\n+[").split("\n")
    read = [p for m in modifiers for p in (eval(m.lstrip("+")) if m[0] in "+[(" else [m])]
    assert read == [*files, str(ready.clone / "pants.2.17.toml")]


@pytest.mark.parametrize("inside", ["cache", "no/such/cache", "link"])
def test_refuses_a_cache_inside_the_build_root(ready: Machine, inside: str) -> None:
    cache = ready.clone / inside
    if inside == "cache":
        cache.mkdir()
    if inside == "link":
        (ready.clone / "real").mkdir()
        cache = ready.home / "link"
        cache.symlink_to(ready.clone / "real")
    done = ready.run("sh", "pants", variables={"XDG_CACHE_HOME": str(cache)})
    assert (done.returncode, done.stdout) == (1, "")
    assert "lies inside the build root" in done.stderr
    assert "set XDG_CACHE_HOME to a folder outside it" in done.stderr
    assert done.stderr.count("\n") == 1


def test_refuses_a_relative_cache(ready: Machine) -> None:
    done = ready.run("sh", "pants", variables={"XDG_CACHE_HOME": "cache"})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "./pants: the cache folder 'cache' is a relative path; "
        "set XDG_CACHE_HOME to an absolute one, or unset it\n"
    )


@pytest.mark.parametrize("without", [(), ("HOME",)])
def test_an_empty_home_is_looked_up(ready: Machine, without: tuple[str, ...]) -> None:
    (ready.utilities / "id").unlink()
    write_script(ready.utilities / "id", "echo root\n")
    cache = ready.home / "cache"
    write_script(ready.bin / "python3.9", PYTHON.replace("$HOME", str(ready.home)))
    done = ready.run(
        "sh", "pants", without=without, variables={"HOME": "", "XDG_CACHE_HOME": str(cache)}
    )
    assert done.returncode == 42, done.stderr
    assert environment(done.stdout)["HOME"] == os.path.expanduser("~root")


def test_the_pex_cli_has_an_address_that_needs_no_encoding(ready: Machine) -> None:
    done = ready.run("sh", "pants")
    assert "PANTS_PEX_CLI_URL_TEMPLATE" not in environment(done.stdout)

    home = ready.home.parent / "ünï code's home"
    home.mkdir()
    for _ in range(2):
        done = ready.run("sh", "pants", variables={"HOME": str(home)})
        address = environment(done.stdout)["PANTS_PEX_CLI_URL_TEMPLATE"]
        assert re.fullmatch(r"file:///tmp/[a-z0-9-]+/pex-\{version}\.pex", address)
        link = Path(address[len("file://") :]).parent
        assert os.path.samefile(link, environment(done.stdout)["RUNSPEC_PANTS_HOME"])
    link.unlink()


def test_no_home_at_all_is_one_line(ready: Machine) -> None:
    (ready.utilities / "id").unlink()
    write_script(ready.utilities / "id", "exit 1\n")
    done = ready.run("sh", "pants", variables={"HOME": ""})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("./pants: HOME is not set")
    assert done.stderr.count("\n") == 1


def test_a_failed_setup_ends_it(ready: Machine) -> None:
    write_script(ready.bin / "python3.9", 'case "$2" in -c) exit 0 ;; *) exit 1 ;; esac\n')
    done = ready.run("sh", "pants", "list", "::")
    assert (done.returncode, done.stdout) == (1, "")
