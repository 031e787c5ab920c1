from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nemo_runspec.evaluator import (
    collect_evaluator_images,
    ensure_wandb_host_env,
    get_non_task_args,
    inject_wandb_env_mappings,
    maybe_auto_squash_evaluator,
    needs_wandb,
    parse_task_flags,
    save_eval_configs,
)
from nemo_runspec.exceptions import UsageError

ARGS = ["-t", "mmlu", "--limit", "5", "--task", "gsm8k", "--task=arc", "-x"]


def test_task_flags() -> None:
    assert parse_task_flags(ARGS) == ["mmlu", "gsm8k", "arc"]
    assert get_non_task_args(ARGS) == ["--limit", "5", "-x"]
    assert parse_task_flags(["--limit", "5"]) is None
    assert get_non_task_args([]) == []
    with pytest.raises(UsageError, match="--task needs a task"):
        parse_task_flags(["--task"])


@pytest.mark.parametrize(
    ("config", "needed"),
    [
        ({}, False),
        ({"execution": {"auto_export": {"destinations": ["wandb", "x"]}}}, True),
        ({"execution": {"auto_export": None}}, False),
        ({"execution": "text"}, False),
        ({"export": {"wandb": {}}}, True),
        ({"export": {"wandb": None}}, False),
        ({"export": {"wandb": {"entity": "${run.wandb.entity}"}}}, True),
    ],
)
def test_needs_wandb(config: dict[str, object], needed: bool) -> None:
    assert needs_wandb(config) is needed
    assert needs_wandb(OmegaConf.create(config)) is needed


def test_wandb_mappings_hold_names_not_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "hunter2")
    config = OmegaConf.create(
        {"evaluation": {"env_vars": {"WANDB_API_KEY": "MY_KEY"}}, "execution": {"env_vars": None}}
    )
    OmegaConf.set_struct(config, True)
    inject_wandb_env_mappings(config)
    inject_wandb_env_mappings(config)
    both = {"WANDB_PROJECT": "WANDB_PROJECT", "WANDB_ENTITY": "WANDB_ENTITY"}
    assert config.evaluation.env_vars == {"WANDB_API_KEY": "MY_KEY", **both}
    assert config.execution.env_vars.export == {"WANDB_API_KEY": "WANDB_API_KEY", **both}
    with pytest.raises(UsageError, match=r"evaluation\.env_vars: 'x' is no table"):
        inject_wandb_env_mappings(OmegaConf.create({"evaluation": {"env_vars": "x"}}))


def test_wandb_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "env.toml").write_text('[wandb]\nproject = "p"\nentity = "e"\n')
    netrc = tmp_path / "netrc"
    netrc.write_text("machine wandb.example login user password from-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NEMOTRON_ENV_FILE", str(tmp_path / "env.toml"))
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    for name in ("WANDB_ENTITY", "WANDB_API_KEY"):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    import os

    ensure_wandb_host_env()
    names = ("WANDB_PROJECT", "WANDB_ENTITY", "WANDB_API_KEY")
    assert [os.environ[name] for name in names] == ["mine", "e", "from-netrc"]


def test_images() -> None:
    config = {
        "deployment": {"image": "reg/vllm:1"},
        "execution": {"proxy": {"image": "/x/proxy.sqsh"}},
    }
    assert collect_evaluator_images(config) == [
        ("deployment.image", "reg/vllm:1"),
        ("execution.proxy.image", "/x/proxy.sqsh"),
    ]
    assert collect_evaluator_images({"deployment": "none", "execution": {"proxy": None}}) == []


@pytest.mark.parametrize(
    ("mode", "dry_run", "tunnel"),
    [("local", False, "ssh"), ("run", True, "ssh"), ("run", False, "local")],
)
def test_squash_is_left_alone(mode: str, dry_run: bool, tunnel: str) -> None:
    config = OmegaConf.create(
        {
            "run": {"env": {"executor": "slurm", "tunnel": tunnel, "host": "h"}},
            "deployment": {"image": "reg/vllm:1"},
        }
    )
    maybe_auto_squash_evaluator(config, mode=mode, dry_run=dry_run, force_squash=False)
    assert config.deployment.image == "reg/vllm:1"


def test_configs_are_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = OmegaConf.create(
        {
            "run": {"env": {"host": "login"}, "data": "x:v1"},
            "execution": {"host": "${run.env.host}", "data": "${art:data}"},
            "key": "${oc.env:HOME}",
        }
    )
    job, evaluation = save_eval_configs(config, "nano3/eval")
    assert (job.name, evaluation.name) == ("job.yaml", "eval.yaml")
    assert sorted(p.name for p in job.parent.iterdir()) == ["eval.yaml", "job.yaml"]
    saved = OmegaConf.to_container(OmegaConf.load(evaluation), resolve=False)
    assert saved == {
        "execution": {"host": "login", "data": "${art:data}"},
        "key": "${oc.env:HOME}",
    }
