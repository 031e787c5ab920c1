from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nemo_runspec import display
from nemo_runspec.display import (
    display_job_completion,
    display_job_config,
    display_job_submission,
)

LONG = "/lustre/" + "very-long-folder/" * 20 + "end"
JOB = OmegaConf.create(
    {
        "run": {"mode": "local", "env": {"nodes": 2, "env_vars": {"HF_TOKEN": "s3cret"}}},
        "train": {"steps": "${run.env.nodes}", "tokenizer": "gpt2", "path": LONG},
        "blend": "${art:data,path}",
        "logger": {"api_key": "s3cret"},
        "odd": "[red]not markup[/red] ünï",
    }
)


@pytest.fixture(autouse=True)
def no_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEMOTRON_ENV_FILE", raising=False)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_config_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    display_job_config(JOB)
    text = capsys.readouterr().out
    assert text.startswith("# run\nmode: local\n")
    assert "\n# config\ntrain:\n  steps: 2\n  tokenizer: gpt2\n" in text
    assert f"  path: {LONG}\n" in text
    assert "blend: ${art:data,path}" in text
    assert "odd: '[red]not markup[/red] ünï'" in text
    assert "s3cret" not in text
    assert "\x1b" not in text


def test_remote_paths_are_shown_as_the_job_sees_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    display_job_config(OmegaConf.create({"data": f"{tmp_path}/d"}), for_remote=True)
    assert "data: ${oc.env:NEMO_RUN_DIR}/code/d" in capsys.readouterr().out


@pytest.mark.usefixtures("terminal")
def test_two_panels_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    display_job_config(JOB)
    text = capsys.readouterr().out
    assert text.count("╭") == text.count("╰") == 2
    assert "\x1b[" in text
    assert "s3cret" not in text
    assert "…" not in text


@pytest.mark.usefixtures("terminal")
def test_nothing_is_cut_and_no_color_is_honoured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FORCE_COLOR")
    monkeypatch.setenv("NO_COLOR", "1")
    display_job_config(JOB)
    display_job_completion("a", {"Logs": LONG})
    text = capsys.readouterr().out
    assert "\x1b" not in text
    joined = "".join(line.strip("│╭╰╮╯─ ") for line in text.splitlines())
    assert joined.count(LONG) == 2


def test_a_submission_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    display_job_submission(
        "/path/to/job.yaml",
        Path("/path/to/train.yaml"),
        {"HF_TOKEN": "s3cret", "A": "1", "NEMO_RUN_DIR": "/x"},
        "run",
        artifacts=OmegaConf.create({"manifest": {"root": "/lustre/artifacts"}, "wandb": True}),
    )
    assert capsys.readouterr().out.splitlines() == [
        "Job Submission",
        "├── configs",
        "│   ├── job: /path/to/job.yaml",
        "│   └── train: /path/to/train.yaml",
        "├── env",
        "│   ├── A: 1",
        "│   └── HF_TOKEN: (set)",
        "├── artifacts",
        "│   ├── manifest: /lustre/artifacts",
        "│   └── wandb: enabled",
        "└── mode: attached",
    ]


@pytest.mark.usefixtures("terminal")
def test_a_submission_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    display_job_submission("j", "t", {"X": "[bold]"}, "local", artifacts={"wandb": False})
    text = capsys.readouterr().out
    for word in ("Job Submission", "X: [bold]", "none configured", "mode: local"):
        assert word in text


def test_a_completion(capsys: pytest.CaptureFixture[str]) -> None:
    display_job_completion("nano3-data", {"Manifest": "/s/v1", "W&B": None, "Log": Path("/l")})
    assert capsys.readouterr().out == (
        "Step Complete (nano3-data)\n  Manifest: /s/v1\n  Log:      /l\n"
    )


@pytest.mark.usefixtures("terminal")
def test_the_theme_comes_from_env_toml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    display_job_config(JOB)
    default = capsys.readouterr().out
    (tmp_path / "env.toml").write_text('[cli]\ntheme = "vs"\n', encoding="utf-8")
    display_job_config(JOB)
    assert capsys.readouterr().out != default
