"""A command file of the field, unchanged: here, as a dry run, and on a Slurm that is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nemo_runspec.example_repository import told, write_repository

COMMAND = Path(__file__).with_name("visible_pretrain.py")
PROFILE = """\
[prod]
executor = "slurm"
account = "acct"
partition = "part"
batch_partition = "night"
nodes = 2
gpus_per_node = 0
env_vars = {WORD = "it's $HOME"}
remote_job_dir = "@jobs@"

[prod-torchless]
extends = "prod"
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """The repository, and a Slurm whose sbatch keeps what it is given."""
    root = tmp_path / "repo"
    write_repository(root)
    (root / "env.toml").write_text(PROFILE.replace("@jobs@", str(tmp_path / "jobs")))
    (root / "pretrain.py").write_text(COMMAND.read_text())
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sbatch").write_text(f'#!/bin/bash\ncp "${{@: -1}}" {tmp_path}/submitted\necho 17\n')
    (tools / "sacct").write_text("#!/bin/bash\necho 'JobID|State'; echo '17|RUNNING'\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    return root


def run(repo: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "pretrain.py", "pretrain", *arguments],
        cwd=repo,
        env={
            "PATH": os.pathsep.join([str(repo.parent / "tools"), os.environ["PATH"]]),
            "HOME": str(repo.parent),
            "NEMORUN_HOME": str(repo.parent / "home"),
            "PYTHONPATH": os.pathsep.join([str(repo / "src"), *filter(None, sys.path)]),
            "WANDB_API_KEY": "hunter2",
            "PWD": str(repo),
            "COLUMNS": "200",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def test_here(repo: Path) -> None:
    done = run(repo, "-c", "tiny", "train.lr=2", "--note=a b")
    assert done.returncode == 0, done.stderr
    assert told(done.stdout) == {"train": {"lr": 2}, "arguments": ["--note=a b"], "word": None}
    assert run(repo, "code=5").returncode == 5


def test_dry_run(repo: Path) -> None:
    done = run(repo, "--run", "prod", "train.lr=2", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "lr: 2" in done.stdout and "partition: part" in done.stdout
    assert "hunter2" not in done.stdout
    assert sorted(path.name for path in repo.iterdir()) == [
        ".git", "env.toml", "pretrain.py", "src"
    ]  # fmt: skip


def test_through_nemo_run(repo: Path) -> None:
    done = run(repo, "--batch", "prod", "train.lr=2", "--note=x")
    assert done.returncode == 0, done.stderr + done.stdout
    script = (repo.parent / "submitted").read_text()
    for line in ("account=acct", "partition=night", "nodes=2"):
        assert f"#SBATCH --{line}\n" in script
    assert "torchrun" in script and "main.py --config config.yaml --note=x" in script
    # What travels, and that it is whole: it runs where nothing of the repository is.
    (code,) = (repo.parent / "home").rglob("code")
    assert sorted(path.name for path in code.iterdir()) == ["config.yaml", "main.py"]
    import omegaconf

    job = subprocess.run(
        [sys.executable, "main.py", "--config", "config.yaml", "--note=x"],
        cwd=code,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(omegaconf.__file__).parents[1]),
            "NEMO_RUN_DIR": "/nemo_run",
            "WORD": "w",
        },
        capture_output=True,
        text=True,
    )
    assert job.returncode == 0, job.stderr
    assert told(job.stdout) == {
        "train": {"lr": 2, "data": "/nemo_run/code/data.txt"},
        "arguments": ["--note=x"],
        "word": "w",
    }


def test_no_secret_anywhere(repo: Path) -> None:
    done = run(repo, "--batch", "prod")
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    holds = [
        path
        for path in repo.parent.rglob("*")
        if path.is_file() and b"hunter2" in path.read_bytes()
    ]
    assert [path.parent.name for path in holds] == [".secrets"]
    assert (holds[0].stat().st_mode & 0o777) == 0o600
    assert str(holds[0]) in (repo.parent / "submitted").read_text()
