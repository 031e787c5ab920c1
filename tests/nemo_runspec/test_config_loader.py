from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.config import (
    build_job_config,
    extract_train_config,
    generate_job_dir,
    load_config,
    parse_config,
    save_configs,
)
from nemo_runspec.exceptions import ConfigError, OverrideError


@pytest.fixture(autouse=True)
def no_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEMOTRON_ENV_FILE", raising=False)


def plain(config: Any) -> dict[str, Any]:
    container = OmegaConf.to_container(config, resolve=False)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def job(
    train: dict[str, Any], ctx: GlobalContext | None = None, profile: dict[str, Any] | None = None
) -> dict[str, Any]:
    made = build_job_config(
        OmegaConf.create(train),
        ctx or GlobalContext(),
        "nano3/pretrain",
        "train.py",
        ["prog"],
        env_profile=None if profile is None else OmegaConf.create(profile),
    )
    return plain(made)


def train_of(train: dict[str, Any], *, for_remote: bool = False) -> dict[str, Any]:
    return plain(extract_train_config(OmegaConf.create(job(train)), for_remote=for_remote))


def test_parse_config_takes_the_default_or_the_named_one(tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text("steps: 10\n", encoding="utf-8")
    (tmp_path / "tiny.yaml").write_text("defaults: default\nlr: 1\n", encoding="utf-8")
    assert parse_config(GlobalContext(), tmp_path, "default") == {"steps": 10}
    ctx = GlobalContext(config="tiny", dotlist=["steps=3"])
    assert parse_config(ctx, tmp_path, "default") == {"steps": 3, "lr": 1}
    with pytest.raises(OverrideError, match=r"tiny\.yaml has no key 'stepz'"):
        parse_config(GlobalContext(config="tiny", dotlist=["stepz=3"]), tmp_path, "default")


def test_job_config_says_how_it_came_about() -> None:
    ctx = GlobalContext(
        config="tiny", run="dlw", dotlist=["steps=1", "note=${x"], passthrough=["--mock", "a b"]
    )
    train = OmegaConf.create({"steps": 10, "note": ""})
    argv = ["prog", "--run", "dlw", "x=${oc.env:HOME}", "\\${y}"]
    with pytest.raises(OverrideError):
        build_job_config(train, ctx, "nano3/pretrain", "train.py", argv)
    ctx.dotlist[1] = "note='\\${x}'"
    made = build_job_config(train, ctx, "nano3/pretrain", "train.py", argv)
    run: Any = OmegaConf.to_container(made, resolve=True)
    assert run["steps"] == 1
    assert run["run"] == {
        "mode": "run",
        "profile": "dlw",
        "env": {},
        "cli": {
            "argv": argv,
            "dotlist": ["steps=1", "note='\\${x}'"],
            "passthrough": ["--mock", "a b"],
            "config": "tiny",
        },
        "recipe": {"name": "nano3/pretrain", "script": "train.py"},
    }


def test_profile_and_yaml_merge_into_run_env() -> None:
    env = job(
        {
            "run": {
                "data": "d:latest",
                "env": {
                    "container_image": "yaml-image",
                    "nodes": 8,
                    "time": "01:00:00",
                    "env_vars": {"A": "yaml", "B": "yaml"},
                    "mounts": ["/y:/y", "${auto_mount:git+https://h/o/r.git@main,/opt/r}"],
                    "sbatch": {"x": 1},
                },
            }
        },
        profile={
            "executor": "slurm",
            "container_image": "profile-image",
            "nodes": 1,
            "gpus_per_node": 4,
            "time": "04:00:00",
            "env_vars": {"B": "profile", "C": "profile"},
            "mounts": ["/p:/p"],
            "sbatch": {"y": 2},
        },
    )["run"]["env"]
    assert env == {
        "executor": "slurm",
        "container_image": "yaml-image",
        "nodes": 8,
        "gpus_per_node": 4,
        "time": "04:00:00",
        "env_vars": {"A": "yaml", "B": "profile", "C": "profile"},
        "mounts": ["/y:/y", "${auto_mount:git+https://h/o/r.git@main,/opt/r}", "/p:/p"],
        "sbatch": {"x": 1, "y": 2},
    }


def test_overrides_win_over_the_profile() -> None:
    ctx = GlobalContext(run="p", dotlist=["run.env.nodes=2", "run.env.env_vars.A=1"])
    env = job({}, ctx, {"nodes": 16, "env_vars": {"A": "0"}})["run"]["env"]
    assert env == {"nodes": 2, "env_vars": {"A": 1}}


@pytest.mark.parametrize(
    ("yaml_env", "profile", "image"),
    [
        ({"container": "old"}, {}, "old"),
        ({"container": "old"}, {"container_image": "profile"}, "old"),
        ({"container_image": "new"}, {"container": "profile"}, "new"),
        ({}, {"container": "profile"}, "profile"),
        ({"container_image": None}, {"container_image": "profile"}, "profile"),
    ],
)
def test_the_older_name_of_the_image(
    yaml_env: dict[str, Any], profile: dict[str, Any], image: str
) -> None:
    env = job({"run": {"env": yaml_env}}, profile=profile)["run"]["env"]
    assert env["container_image"] == image
    assert env.get("container", image) == image


def test_mounts_may_be_an_interpolation_but_no_text() -> None:
    train = {"shared": ["/a:/a"], "run": {"env": {"mounts": "${shared}"}}}
    assert job(train, profile={"mounts": ["/b:/b"]})["run"]["env"]["mounts"] == ["/a:/a", "/b:/b"]
    with pytest.raises(ConfigError, match=r"mounts must be a list .*not '/a:/a'"):
        job({}, profile={"mounts": "/a:/a"})


def test_team_settings_come_from_env_toml(tmp_path: Path) -> None:
    (tmp_path / "env.toml").write_text(
        '[wandb]\nproject = "team"\nentity = "us"\n'
        '[artifacts]\nbackend = "file"\nroot = "/store"\n',
        encoding="utf-8",
    )
    made = job({"run": {"wandb": {"project": None, "tags": ["a"]}}})
    assert made["run"]["wandb"] == {"project": "team", "entity": "us", "tags": ["a"]}
    assert made["artifacts"] == {"manifest": {"root": "/store"}}
    own = job({"artifacts": {"wandb": False, "manifest": {"root": "/mine"}}})
    assert own["artifacts"] == {"manifest": {"root": "/mine"}, "wandb": False}
    ctx = GlobalContext(dotlist=["artifacts.manifest.root=null", "artifacts.wandb=false"])
    assert job({}, ctx)["artifacts"] == {"manifest": {"root": None}, "wandb": False}


def test_train_config_is_what_the_script_sees() -> None:
    train = train_of(
        {
            "run": {
                "data": "nano3-pretrain-data:latest",
                "model": "super3/rl/data",
                "image": "redis:7",
                "env": {"remote_job_dir": "/jobs", "nodes": 2, "time": "04:00:00"},
            },
            "recipe": {"blend": "${art:data,path}/blend.json", "init": "${art:model}"},
            "logger": {"project": "${run.wandb.project}", "name": "${run.recipe.name}"},
            "nodes": "${run.env.nodes}",
            "cache": "${run.env.remote_job_dir}/hf",
            "env": "${run.env}",
            "artifacts": {"wandb": True},
        }
    )
    assert train == {
        "run": {"data": "nano3-pretrain-data:latest", "model": "super3/rl/data"},
        "recipe": {"blend": "${art:data,path}/blend.json", "init": "${art:model}"},
        "logger": {"project": "${run.wandb.project}", "name": "nano3/pretrain"},
        "nodes": 2,
        "cache": "/jobs/hf",
        "env": {"remote_job_dir": "/jobs", "nodes": 2, "time": "04:00:00"},
        "artifacts": {"wandb": True},
    }


def test_paths_into_the_checkout_move_with_a_remote_job(tmp_path: Path) -> None:
    config = {
        "here": "${oc.env:PWD}/data/a b",
        "absolute": f"{tmp_path}/x.json",
        "neighbour": f"{tmp_path}-2/x.json",
        "job": "${oc.env:NEMO_RUN_DIR,.}/out",
    }
    assert train_of(config) == config
    assert train_of(config, for_remote=True) == {
        "here": "${oc.env:NEMO_RUN_DIR}/code/data/a b",
        "absolute": "${oc.env:NEMO_RUN_DIR}/code/x.json",
        "neighbour": f"{tmp_path}-2/x.json",
        "job": "${oc.env:NEMO_RUN_DIR,.}/out",
    }


def make_job_dir(base: str) -> str:
    return str(generate_job_dir("nano3/../pre train;rm", Path(base)))


def test_job_folders_are_never_shared(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        folders = pool.map(make_job_dir, [str(tmp_path)] * 24)
    assert len(set(folders)) == 24
    assert {Path(folder).parent for folder in folders} == {tmp_path / ".runspec" / "jobs"}


def test_job_folder_is_at_the_repository_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    assert generate_job_dir("nano3/pretrain").parent == tmp_path / ".runspec" / "jobs"


def test_saved_configs_hide_secrets_and_read_back(tmp_path: Path) -> None:
    made = OmegaConf.create(
        {
            "run": {"cli": {"argv": ["prog", "logger.api_key=s3cret", "--hf-token", "s3cret"]}},
            "logger": {"api_key": "s3cret", "key_from": {"api_key": "${oc.env:KEY}"}},
            "tokenizer": "gpt2",
            "name": "ünï: 'quoted'\nline",
            "time": "04:00:00",
            "max_tokens": 5,
        }
    )
    train = extract_train_config(made)
    job_path, train_path = save_configs(made, train, tmp_path / "a job")
    text = job_path.read_text(encoding="utf-8")
    assert "s3cret" not in text
    assert "tokenizer: gpt2" in text
    assert "api_key: ${oc.env:KEY}" in text
    assert load_config(train_path) == train
    assert stat.S_IMODE(train_path.stat().st_mode) == 0o600
    assert sorted(path.name for path in job_path.parent.iterdir()) == ["job.yaml", "train.yaml"]

    _, harmless = save_configs(made, OmegaConf.create({"tokenizer": "x"}), tmp_path / "other")
    assert stat.S_IMODE(harmless.stat().st_mode) == 0o600


@pytest.mark.parametrize("default", ["base.yaml", "sub/base.yaml"])
def test_the_recipes_default_is_the_same_from_everywhere(tmp_path: Path, default: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / default).write_text("a: here\n")
    configs = tmp_path / "recipe" / "config"
    (configs / "sub").mkdir(parents=True)
    (configs / default).write_text("a: recipe\n")
    assert parse_config(GlobalContext(), configs, default).a == "recipe"
    assert parse_config(GlobalContext(config=default), configs, "x").a == "here"
    (configs / default).unlink()
    with pytest.raises(ConfigError):
        parse_config(GlobalContext(), configs, default)
