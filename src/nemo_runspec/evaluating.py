"""`nemo-runspec evaluate`: NeMo Evaluator's launcher, with a config, a profile and artifacts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.display import display_job_config, display_job_submission
from nemo_runspec.exceptions import UsageError
from nemo_runspec.optional import optional_import
from runspec import ArgumentsError, parse_arguments

EVALUATE_HELP = """\
usage: nemo-runspec evaluate -c CONFIG [options] [-t TASK …] [key=value …]

Gives a config to NeMo Evaluator's launcher (pip install nemo-evaluator-launcher):
with the profile's values below `run.env`, the artifacts of its `run` section found
(${art:model,path}), the images as squash files where the profile's Slurm is
reached by ssh, and W&B's variables named where results are exported there. The
launcher submits it itself, also over ssh.

options:
  -c, --config CONFIG       the evaluation's YAML, by name (here) or by path
  -r, --run, --profile PROFILE
  -b, --batch PROFILE       the profile of env.toml whose values the config gets
  -t, --task TASK           only this task of the config; again for more
  -d, --dry-run             show the config that the launcher would get
  --force-squash            convert the container images anew

examples:
  nemo-runspec evaluate -c eval.yaml --run prod -t adlr_mmlu -t hellaswag
  nemo-runspec evaluate -c eval.yaml --run prod run.model=nano3-sft-model:v2
"""

_LAUNCHER = "nemo_evaluator_launcher.api.functional"


def run_evaluate(arguments: Sequence[str]) -> int:
    """The command line of `nemo-runspec evaluate`; returns the exit code.

    Raises:
        NemoRunspecError: the command line, the config, an image or an artifact is not as it has to
            be, or the launcher is not installed.
    """
    from nemo_runspec.evaluator import get_non_task_args, parse_task_flags

    try:
        parsed = parse_arguments(arguments)
    except ArgumentsError as error:
        raise UsageError(str(error)) from error
    if parsed.help or not arguments:
        print(EVALUATE_HELP, end="")
        return 0 if parsed.help else 2
    if parsed.config is None:
        raise UsageError("evaluate needs a config: nemo-runspec evaluate -c CONFIG [options]")
    if parsed.stage:
        raise UsageError("evaluate has no --stage: the launcher sends what it needs itself")
    others = get_non_task_args(parsed.passthrough)
    if others:
        raise UsageError(
            f"evaluate: what is {others[0]!r} for? Beside options and key=value it takes -t TASK"
        )
    context = GlobalContext.from_arguments(parsed)
    return _evaluate(context, list(arguments), parse_task_flags(parsed.passthrough))


def _evaluate(context: GlobalContext, argv: list[str], tasks: list[str] | None) -> int:
    from nemo_runspec.config.loader import build_job_config, parse_config
    from nemo_runspec.env import parse_env
    from nemo_runspec.evaluator import (
        ensure_wandb_host_env,
        inject_wandb_env_mappings,
        maybe_auto_squash_evaluator,
        needs_wandb,
        save_eval_configs,
    )

    name = Path(context.config or "").stem
    config = parse_config(context, Path.cwd(), "default")
    job = build_job_config(config, context, name, "", argv, env_profile=parse_env(context))
    if needs_wandb(job):
        inject_wandb_env_mappings(job)
    for_remote = context.mode != "local"
    if context.dry_run:
        display_job_config(job, for_remote=for_remote)
        return 0
    launch = _launcher()
    maybe_auto_squash_evaluator(
        job, mode=context.mode, dry_run=False, force_squash=context.force_squash
    )
    display_job_config(job, for_remote=for_remote)
    job_file, eval_file = save_eval_configs(job, name, for_remote=for_remote)
    display_job_submission(job_file, eval_file, {}, context.mode, artifacts=job.get("artifacts"))
    ensure_wandb_host_env()
    invocation = launch(_resolved(job), dry_run=False, tasks=tasks)
    if invocation:
        print(f"{name}: evaluation {invocation}; look at it with:")
        print(f"  nemo-evaluator-launcher status {invocation}")
        print(f"  nemo-evaluator-launcher logs {invocation}")
    sys.stdout.flush()
    return 0


def _launcher() -> Callable[..., Any]:
    launcher = optional_import(
        _LAUNCHER, needed_for="nemo-runspec evaluate", distribution="nemo-evaluator-launcher"
    )
    launch: Callable[..., Any] = launcher.run_eval
    return launch


def _resolved(job: Any) -> Any:
    """What the launcher gets: all but our own section, each `${…}` as its value."""
    from omegaconf import OmegaConf

    from nemo_runspec.config.resolvers import (
        clear_artifact_cache,
        register_resolvers_from_config,
    )

    clear_artifact_cache()
    register_resolvers_from_config(job, artifacts_key="run", mode="pre_init")
    plain: Any = OmegaConf.to_container(job, resolve=True)
    return OmegaConf.create({key: value for key, value in plain.items() if key != "run"})
