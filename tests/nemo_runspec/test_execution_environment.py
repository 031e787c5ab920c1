from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from nemo_runspec.execution import ExecutionError, build_env_vars
from nemo_runspec.execution.environment import inherited_environment
from tests.nemo_runspec.executor_contract import NASTY


def test_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    wandb = {"project": "p q", "entity": "e", "name": "n", "group": "g", "job_type": "${run.kind}"}
    job = OmegaConf.create({"run": {"kind": "sft", "wandb": {**wandb, "tags": ["a", 1]}}})
    assert build_env_vars(job) == {
        "WANDB_PROJECT": "p q",
        "WANDB_ENTITY": "e",
        "WANDB_NAME": "n",
        "WANDB_GROUP": "g",
        "WANDB_JOB_TYPE": "sft",
        "WANDB_TAGS": "a,1",
    }
    assert build_env_vars(OmegaConf.create({})) == {}


def test_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HOME", raising=False)
    job = OmegaConf.create({"run": {"wandb": {"project": "p"}}})
    declared: dict[str, Any] = {
        "remote_job_dir": "/jobs",
        "env_vars": {"WANDB_PROJECT": "mine", **NASTY},
    }
    found = build_env_vars(job, declared)
    assert (found["NEMO_RUN_DIR"], found["HF_HOME"]) == ("/jobs", "/jobs/hf")
    assert found["WANDB_PROJECT"] == "mine"
    assert {name: found[name] for name in NASTY} == NASTY
    monkeypatch.setenv("HF_HOME", "/else")
    assert build_env_vars(job, declared)["HF_HOME"] == "/else"


def test_values_become_text() -> None:
    values = {"A": 1, "B": True, "C": None, "D": 0.5}
    assert build_env_vars(OmegaConf.create({}), {"env_vars": values}) == {
        "A": "1",
        "B": "true",
        "C": "",
        "D": "0.5",
    }


@pytest.mark.parametrize("wrong", ["A=1", {"A": [1]}, {"A=B": "1"}, {"": "1"}])
def test_wrong_variables(wrong: object) -> None:
    with pytest.raises(ExecutionError, match=r"run\.env\.env_vars"):
        build_env_vars(OmegaConf.create({}), {"env_vars": wrong})


def test_what_a_job_inherits() -> None:
    mine = {"HOME": "/h", "PEXES": "1", "PYTHONSTARTUP": "s"}
    python = ("PYTHONPATH", "PYTHONHOME", "RUNSPEC_PYTHON", "RUNSPEC_LAUNCHER_PYTHON")
    others = dict.fromkeys((*python, "PEX", "PEX_ROOT", "__PEX_X__"), "/p")
    assert inherited_environment({**mine, **others}) == mine
