"""Completion: what is offered, and the scripts in the shells that are here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nemo_runspec.completion.words import candidates, split_line
from nemo_runspec.store import VersionDraft
from tests.nemo_runspec.cli.command import MAIN, PATIENCE_SECONDS, Shell
from tests.nemo_runspec.example_bundle import make_bundle


@pytest.fixture
def repository(shell: Shell) -> Shell:
    (shell.folder / "env.toml").write_text(
        "[laptop]\n[large-cluster]\nexecutor = 'slurm'\n[wandb]\nproject = 'x'\n"
    )
    make_bundle(shell.folder / "bundle")
    for name in ("nano3-data", "nano3-data", "team/model"):
        draft = VersionDraft(path=str(shell.folder), type="Artifact")
        shell.store.add_version(name, draft)
    shell.store.set_alias("nano3-data", "prod", 1, by="me")
    return shell


def offered(line: str) -> list[str]:
    words = split_line(line)
    return candidates(words[1:-1], words[-1])


OFFERED = {
    "nemo-runspec mat": ["materialize"],
    "nemo-runspec relay": [],
    "nemo-runspec help acc": ["accept"],
    "nemo-runspec store v": ["verify"],
    "nemo-runspec import ": ["data", "model", "--help"],
    "nemo-runspec completion z": ["zsh"],
    "nemo-runspec store ls --form": ["--format"],
    "nemo-runspec store ls --format ": ["table", "json"],
    "nemo-runspec store ls --format=j": ["--format=json"],
    "nemo-runspec doctor --profile ": ["laptop", "large-cluster"],
    "nemo-runspec doctor --run=lap": ["--run=laptop"],
    "nemo-runspec recipe bundle --dry": ["--dry-run"],
    "nemo-runspec recipe bundle -b la": ["laptop", "large-cluster"],
    "nemo-runspec recipe bundle -c ": ["default", "tiny"],
    "nemo-runspec recipe bundle --config=t": ["--config=tiny"],
    "nemo-runspec recipe bundle run.data=na": ["run.data=nano3-data"],
    "nemo-runspec recipe bundle -- --dr": [],
    "nemo-runspec promote ": ["nano3-data", "team/model"],
    "nemo-runspec promote nano3-data:": [
        *("nano3-data:v2", "nano3-data:v1", "nano3-data:prod", "nano3-data:latest"),
    ],
    "nemo-runspec store show te": ["team/model"],
    "nemo-runspec store show 'te": ["team/model"],
    "nemo-runspec nothing --": [],
    "nemo-runspec recipe nowhere -c ": [],
}


@pytest.mark.parametrize("line", OFFERED)
def test_what_is_offered(repository: Shell, line: str) -> None:
    assert offered(line) == OFFERED[line]


def test_nothing_runs_and_nothing_is_said(repository: Shell) -> None:
    before = sorted(repository.folder.rglob("*"))
    assert "--recipe" in offered("nemo-runspec init --")
    assert repository.capfd.readouterr() == ("", "")
    assert sorted(repository.folder.rglob("*")) == before


def test_a_broken_env_file_offers_nothing(repository: Shell) -> None:
    (repository.folder / "env.toml").write_text("[")
    assert repository.run("complete", "zsh", "nemo-runspec doctor --profile ") == (0, "", "")


def test_bash_gets_what_follows_its_last_break(repository: Shell) -> None:
    line = "nemo-runspec promote nano3-data:p"
    assert repository.ok("complete", "bash", line, " :=") == "prod\n"
    assert repository.ok("complete", "bash", line, " ") == "nano3-data:prod\n"
    assert repository.ok("complete", "zsh", line) == "nano3-data:prod\n"


def program(folder: Path) -> Path:
    """A folder for PATH with our program, whose scripts find it by its name."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    launcher = bin_folder / "nemo-runspec"
    launcher.write_text(f"#!{sys.executable}\n{MAIN}\n")
    launcher.chmod(0o755)
    return bin_folder


def shell_says(shell: Shell, argv: list[str]) -> str:
    path = os.pathsep.join([str(program(shell.folder)), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        argv, env=env, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


DRIVER = """
source <(nemo-runspec completion bash)
complete -p nemo-runspec
try() {  # LINE WORD…: as readline calls it, with the cursor at the end
    COMP_LINE=$1 COMP_POINT=${#1}; shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _nemo_runspec nemo-runspec
    printf '[%s]' "${COMPREPLY[@]}"; echo
}
try 'nemo-runspec doctor --profile l' nemo-runspec doctor --profile l
try 'nemo-runspec promote nano3-data:pr' nemo-runspec promote nano3-data : pr
try 'nemo-runspec recipe bundle --config=' nemo-runspec recipe bundle --config = ''
try 'nemo-runspec zzz' nemo-runspec zzz
"""


def test_in_a_real_bash(repository: Shell) -> None:
    lines = shell_says(repository, ["bash", "--norc", "-c", DRIVER]).splitlines()
    assert lines == [
        "complete -o default -F _nemo_runspec nemo-runspec",
        "[laptop][large-cluster]",
        "[prod]",
        "[default][tiny]",
        "[]",
    ]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh; apt-get install zsh")
def test_in_a_real_zsh(repository: Shell) -> None:
    driver = """
    compdef() { print -r -- "compdef $*"; }
    compadd() { print -r -- "${found[@]}"; }
    _files() { print -r -- files; }
    source <(nemo-runspec completion zsh)
    words=(nemo-runspec doctor --profile l); CURRENT=4; _nemo_runspec
    words=(nemo-runspec zzz); CURRENT=2; _nemo_runspec
    """
    assert shell_says(repository, ["zsh", "-f", "-c", driver]).splitlines() == [
        "compdef _nemo_runspec nemo-runspec",
        "laptop large-cluster",
        "files",
    ]


@pytest.mark.skipif(
    shutil.which("fish") is None, reason="no fish; apt-get install fish lets it run"
)
def test_in_a_real_fish(repository: Shell) -> None:
    driver = "nemo-runspec completion fish | source; complete -C 'nemo-runspec doctor --profile l'"
    said = shell_says(repository, ["fish", "--no-config", "-c", driver])
    assert {line.partition("\t")[0] for line in said.splitlines()} >= {"laptop", "large-cluster"}


def test_an_unknown_shell(shell: Shell) -> None:
    assert "did you mean 'bash'?" in shell.refused("completion", "bsh")
