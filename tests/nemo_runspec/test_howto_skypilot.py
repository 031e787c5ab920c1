"""docs/howto/skypilot.md: its code runs, with a stand-in for SkyPilot."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import omegaconf
import pytest

from tests.nemo_runspec import fake_sky
from tests.nemo_runspec.example_repository import told, write_repository

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "skypilot.md"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    write_repository(root)
    code = re.search(r"<!-- pretrain.py -->\n```python\n(.*?)^```$", PAGE.read_text(), re.S | re.M)
    toml = re.search(r"```toml\n(.*?)^```$", PAGE.read_text(), re.S | re.M)
    assert code and toml
    (root / "pretrain.py").write_text(code[1])
    profile = toml[1].replace("nvidia-smi", "export WORD=started")
    (root / "env.toml").write_text(profile)
    (root / "sky.py").write_text(Path(fake_sky.__file__).read_text())
    (tmp_path / "home").mkdir()
    return root


def run(repo: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    src = [path for path in sys.path if path]
    return subprocess.run(
        [sys.executable, "pretrain.py", "pretrain", *arguments],
        cwd=repo,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(repo.parent),
            "PYTHONPATH": os.pathsep.join([str(repo / "src"), *src]),
            "FAKE_SKY_HOME": str(repo.parent / "home"),
            "SITE": os.pathsep.join([str(Path(omegaconf.__file__).parents[1]), *_others(src)]),
            "HF_TOKEN": "hunter2",
            "PWD": str(repo),
        },
        capture_output=True,
        text=True,
    )


def _others(src: list[str]) -> list[str]:
    return [path for path in src if not Path(path, "nemo_runspec").exists()]


def test_here(repo: Path) -> None:
    done = run(repo, "-c", "tiny", "train.lr=2", "--note=a b")
    assert done.returncode == 0, done.stderr
    assert told(done.stdout) == {"train": {"lr": 2}, "arguments": ["--note=a b"], "word": None}


def test_on_skypilot(repo: Path) -> None:
    done = run(repo, "--run", "cloud", "train.lr=2", "it's $HOME")
    home = repo.parent / "home"
    assert done.returncode == 0, done.stderr
    assert told(done.stdout) == {
        "train": {"lr": 2, "data": f"{home}/job/code/data.txt"},
        "arguments": ["it's $HOME"],
        "word": "started",
    }
    assert (home / "asked").read_text() == "proj-pretrain 2 A100:8 ['HF_TOKEN']"
    sent = sorted(path.name for path in (home / "sky_workdir").iterdir())
    assert sent == ["config.yaml", "main.py"]
    files = [path for path in repo.rglob("*") if path.is_file()]
    assert not any(b"hunter2" in path.read_bytes() for path in files)


def test_its_exit_code_is_the_jobs(repo: Path) -> None:
    assert run(repo, "--run", "cloud", "code=5").returncode == 5


def test_detached_and_dry(repo: Path) -> None:
    done = run(repo, "--batch", "cloud", "code=5")
    assert done.returncode == 0 and "told" not in done.stdout
    done = run(repo, "--run", "cloud", "--dry-run", "train.lr=3")
    assert done.returncode == 0 and "lr: 3" in done.stdout


def test_a_wrong_key_is_one_line(repo: Path) -> None:
    done = run(repo, "--run", "clod")
    assert done.returncode == 2
    assert "error: " in done.stderr and "did you mean 'cloud'" in done.stderr
    assert "Traceback" not in done.stderr
