from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from nemo_runspec.artifacts.settings import environment_settings
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.config.plain import to_plain
from nemo_runspec.env import get_wandb_config, load_env_file, parse_env
from nemo_runspec.relay.env_file import env_file, toml_text

NASTY = [
    "with space",
    "it's",
    '"q"',
    "$HOME",
    "a\nb\t",
    "\\",
    "ü→\x7f\x01",
    "${x}",
    r"\${x}",
    "😀",
    "",
]
HERE = {"tunnel": "ssh", "host": "login", "user": "me", "identity": "~/.ssh/id"}


def read_there(path: Path, text: str, name: str) -> dict[str, Any]:
    path.write_text(text, encoding="utf-8")
    found = parse_env(GlobalContext(run=name), config_path=path)
    assert found is not None
    return to_plain(found)


def test_profile_means_the_same_there(tmp_path: Path) -> None:
    profile = {
        "executor": "slurm",
        "remote_job_dir": "/lustre/jobs",
        "nodes": 4,
        "ratio": 0.5,
        "exclusive": True,
        "startup_commands": NASTY,
        "sbatch": {"a b": {"deep": [1, {"x": "y"}]}},
        "mounts": ["${auto_mount:git,a}"],
        "nothing": None,
    }
    made = env_file("my prod", {**profile, **HERE}, {"other": {"executor": "local"}}, {})
    assert made.secrets == {}
    there = read_there(tmp_path / "env.toml", made.text, "my prod")
    del profile["nothing"]
    assert there == {**profile, "tunnel": "local"}
    assert set(load_env_file(tmp_path / "env.toml")) == {"my prod"}


def test_secrets_travel_as_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"MY_TOKEN": "s3cret ${x} \\", "PLAIN": "shown", "DB": "postgres://me:s3cret@db/x"}
    profile = {"env_vars": values, "startup_commands": ["true", "export API_KEY=s3cret; run"]}
    made = env_file("prod", profile, {}, {})
    assert "s3cret" not in made.text
    assert "shown" in made.text
    assert len(made.secrets) == 3
    for name, value in made.secrets.items():
        monkeypatch.setenv(name, value)
    there = read_there(tmp_path / "env.toml", made.text, "prod")
    assert there == {**profile, "tunnel": "local"}


def test_shared_tables_count_there_but_for_our_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {
        "artifacts": {
            "output_root": "${oc.env:THERE}/outputs",
            "manifest": {
                "root": "s3://bucket/artifacts",
                "storage_options": {"key": "public", "secret": "${oc.env:MY_SECRET}"},
            },
        },
        "wandb": {"project": "p"},
        "prod": {"extends": "base"},
    }
    made = env_file("prod", {"executor": "local"}, tables, {"MY_SECRET": "s3cret", "THERE": "/no"})
    assert "s3cret" not in made.text
    assert list(made.secrets.values()) == ["s3cret"]
    path = tmp_path / "env.toml"
    path.write_text(made.text)
    monkeypatch.setenv("NEMOTRON_ENV_FILE", str(path))
    monkeypatch.setenv("THERE", "/lustre")
    for name, value in made.secrets.items():
        monkeypatch.setenv(name, value)
    settings = environment_settings()
    assert settings.root == "s3://bucket/artifacts"
    assert settings.output_root == "/lustre/outputs"
    assert settings.storage_options == {"key": "public", "secret": "s3cret"}


def test_secret_of_the_environment_travels_as_one_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"MY_TOKEN": "s3cret-${x}", "MY_PASSWORD": "short"}
    profile = {"setup_lines": "login -u me -p 's3cret-${x}'", "account": "short-of-gpus"}
    tables = {"wandb": {"notes": "${oc.env:WHO}: ${oc.env:MY_TOKEN} ${oc.env:MY_PASSWORD}"}}
    made = env_file("prod", profile, tables, environ)
    assert "s3cret" not in made.text
    monkeypatch.setenv("WHO", "there")
    for name, value in made.secrets.items():
        monkeypatch.setenv(name, value)
    assert read_there(tmp_path / "env.toml", made.text, "prod") == {**profile, "tunnel": "local"}
    wandb = get_wandb_config(tmp_path / "env.toml")
    assert wandb is not None and wandb.notes == "there: s3cret-${x} short"


def test_same_profile_same_text() -> None:
    one = env_file("prod", {"a": 1, "env_vars": {"MY_TOKEN": "one"}}, {}, {})
    two = env_file("prod", {"a": 1, "env_vars": {"MY_TOKEN": "two"}}, {}, {})
    assert one.text == two.text


def test_numbers(tmp_path: Path) -> None:
    values = {"a": 1e16, "b": -1.5, "c": float("inf"), "d": 10**12, "e": 1e-7, "f": 3.0}
    path = tmp_path / "env.toml"
    path.write_text(toml_text({"t": values, "n": {"x": float("nan")}}))
    found = load_env_file(path)
    assert found["t"] == values
    assert found["n"]["x"] != found["n"]["x"]
    assert OmegaConf.create(found["t"])
