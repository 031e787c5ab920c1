"""The environment of a job: what it inherits, what is declared, what we tell it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_runspec.execution.errors import ExecutionError

if TYPE_CHECKING:
    from omegaconf import DictConfig

JOB_CONTEXT_VARIABLE = "RUNSPEC_JOB_CONTEXT"
# Set by `pants run`: the plan of what the recipe's config names, and its bundles.
INPUTS_PLAN_VARIABLE = "RUNSPEC_INPUTS_PLAN"
INPUTS_BUNDLES_VARIABLE = "RUNSPEC_INPUTS_BUNDLES"
# Of a command line that another machine relayed here: what git says there, and all else.
GIT_VARIABLE = "RUNSPEC_GIT"
RELAY_PREFIX = "RUNSPEC_RELAY_"

# Of the launcher's own Python, PEX and Pants: none of the job's business.
_DROPPED = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PEX",
    "RUNSPEC_COMMAND",
    GIT_VARIABLE,
    INPUTS_BUNDLES_VARIABLE,
    INPUTS_PLAN_VARIABLE,
    # That of a job around this launcher; each job gets its own.
    JOB_CONTEXT_VARIABLE,
    "RUNSPEC_LAUNCHER_PEX",
    "RUNSPEC_LAUNCHER_PYTHON",
    "RUNSPEC_PYTHON",
)
_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DROPPED_PREFIXES = ("PEX_", "_PEX_", "__PEX_", RELAY_PREFIX)

_WANDB_VARIABLES = {
    "project": "WANDB_PROJECT",
    "entity": "WANDB_ENTITY",
    "name": "WANDB_NAME",
    "group": "WANDB_GROUP",
    "job_type": "WANDB_JOB_TYPE",
}


def is_shell_name(name: str) -> bool:
    """Whether a shell can give a variable this name."""
    return _SHELL_NAME.fullmatch(name) is not None


def is_dropped(name: str) -> bool:
    """Whether a job does not inherit the variable `name` from the launcher."""
    return name in _DROPPED or name.startswith(_DROPPED_PREFIXES)


def inherited_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a job inherits from the launcher's environment."""
    return {name: value for name, value in environ.items() if not is_dropped(name)}


def build_env_vars(
    job_config: DictConfig, env_config: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """The variables that the job config and the profile declare, never a secret of our own finding.

    Args:
        job_config: its `run.wandb` gives WANDB_PROJECT, _ENTITY, _NAME, _GROUP, _JOB_TYPE, _TAGS.
        env_config: the profile (`run.env`): `remote_job_dir` gives NEMO_RUN_DIR and, unless the
            environment has one, HF_HOME; `env_vars` are added as they are and win.

    Returns:
        Variables by name.

    Raises:
        ExecutionError: if `env_vars` is no table of single values.
    """
    env = env_config or {}
    variables: dict[str, str] = {}
    remote_job_dir = env.get("remote_job_dir")
    if remote_job_dir:
        variables["NEMO_RUN_DIR"] = str(remote_job_dir)
        variables["HF_HOME"] = os.environ.get("HF_HOME") or f"{remote_job_dir}/hf"
    variables.update(_wandb_variables(job_config))
    variables.update(_declared_variables(env.get("env_vars")))
    return variables


def _wandb_variables(job_config: DictConfig) -> dict[str, str]:
    from omegaconf import OmegaConf

    node = OmegaConf.select(job_config, "run.wandb")
    wandb = OmegaConf.to_container(node, resolve=True) if node is not None else {}
    if not isinstance(wandb, dict):
        raise ExecutionError(f"run.wandb: {wandb!r} is no table; write run.wandb.project=NAME")
    variables = {
        variable: str(wandb[key]) for key, variable in _WANDB_VARIABLES.items() if wandb.get(key)
    }
    tags = wandb.get("tags")
    if tags:
        variables["WANDB_TAGS"] = tags if isinstance(tags, str) else ",".join(map(str, tags))
    return variables


def _declared_variables(env_vars: Any) -> dict[str, str]:
    if not env_vars:
        return {}
    if not isinstance(env_vars, Mapping):
        raise ExecutionError(f"run.env.env_vars: {env_vars!r} is no table of variables")
    return {str(name): _as_text(str(name), value) for name, value in env_vars.items()}


def _as_text(name: str, value: Any) -> str:
    if not name or "=" in name or "\0" in name:
        raise ExecutionError(f"run.env.env_vars: {name!r} is no name of a variable")
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ExecutionError(f"run.env.env_vars.{name}: {value!r} is no single value")


def runspec_variables(
    folder: Path, output: Path, code: Path, *, attempt: int = 1, context: Path | None = None
) -> dict[str, str]:
    """What a job is told about itself.

    Args:
        folder: the job's folder; its name identifies the job.
        output: where the job is to write.
        code: root of the first-party code it runs.
        attempt: how many times it was started with this output folder, this time included.
        context: the file that tells it about artifacts, if there is one.
    """
    variables = {} if context is None else {JOB_CONTEXT_VARIABLE: str(context)}
    return {
        **variables,
        "NEMO_RUN_DIR": str(folder),
        "NEMO_EXPERIMENT_ID": folder.name,
        "RUNSPEC_OUTPUT_DIR": str(output),
        "RUNSPEC_ATTEMPT": str(attempt),
        "RUNSPEC_CODE_DIR": str(code),
        "PYTHONUNBUFFERED": "1",
    }
