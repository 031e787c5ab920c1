"""Steps as tasks of NeMo-Run."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from nemo_runspec.exceptions import UsageError
from nemo_runspec.execution.create import create_executor
from nemo_runspec.execution.nemo_run_library import nemo_run
from nemo_runspec.masking import mask_secrets
from nemo_runspec.packaging import REMOTE_SCRIPT, CodePackager
from nemo_runspec.pipeline.steps.config import PipelineConfig
from nemo_runspec.step import Step

_FAILED = 1  # NeMo-Run does not keep the exit code of a task


def run_nemo_run(
    config: PipelineConfig, steps: Sequence[Step], extra_args: Sequence[str] | None = None
) -> int:
    """Runs the steps as tasks of a NeMo-Run experiment, each of which depends on the one before.

    NeMo-Run's local executor runs a task whose dependency failed: there, each step is an
    experiment of its own.

    Returns:
        0 if all went well, or was submitted with `detach`; 1 if a step failed.

    Raises:
        NemoRunspecError: the executor cannot be made.
    """
    if config.dry_run:
        print(json.dumps(_shown(config, steps, extra_args), indent=2))
        return 0
    library = nemo_run("launcher 'nemo-run'")
    if config.executor == "local":
        for step in steps:
            if not _run_experiment(library, config, [step], extra_args, detach=False):
                print(f"error: step {step.name} failed", file=sys.stderr)
                return _FAILED
        return 0
    went_well = _run_experiment(library, config, steps, extra_args, detach=config.detach)
    return 0 if went_well else _FAILED


def _run_experiment(
    library: Any,
    config: PipelineConfig,
    steps: Sequence[Step],
    extra_args: Sequence[str] | None,
    *,
    detach: bool,
) -> bool:
    with library.Experiment(config.job_name) as experiment:
        before: list[str] = []
        for step in steps:
            executor = create_executor(
                config.profile(), config.environment(), _packager(step), attached=not detach
            )
            if not step.torchrun:
                executor.launcher = None
            executor.env_vars["NEMO_EXPERIMENT_ID"] = experiment._id
            task = _task(library, config, step, extra_args)
            before = [experiment.add(task, executor=executor, name=step.name, dependencies=before)]
        experiment.run(detach=detach, tail_logs=not detach)
    if detach:
        return True
    # It waits for its tasks when it is left. A state is TorchX's.
    status = experiment.status(return_dict=True) or {}
    states = [getattr(task.get("status"), "name", None) for task in status.values()]
    return states == ["SUCCEEDED"] * len(steps)


def _task(
    library: Any, config: PipelineConfig, step: Step, extra_args: Sequence[str] | None
) -> Any:
    arguments = list(extra_args or [])
    if config.executor == "local":
        return library.Script(path=_file(step), args=arguments, entrypoint="python")
    # Elsewhere NeMo-Run puts them into shell lines as they are.
    quoted = [shlex.quote(argument) for argument in arguments]
    return library.Script(path=REMOTE_SCRIPT, args=quoted, entrypoint="python")


def _packager(step: Step) -> CodePackager:
    return CodePackager(script_path=_file(step), train_path="")


def _file(step: Step) -> str:
    if step.module_file is None:
        raise UsageError(f"step {step.name}: module {step.module_name} has no file to run")
    return step.module_file


def _shown(
    config: PipelineConfig, steps: Sequence[Step], extra_args: Sequence[str] | None
) -> dict[str, Any]:
    profile = {**config.profile(), "env_vars": config.environment()}
    arguments = list(extra_args or [])
    return {
        "experiment": config.job_name,
        "executor": mask_secrets(profile),
        "steps": [
            {
                "name": step.name,
                "script": _file(step),
                "args": mask_secrets(arguments),
                "torchrun": step.torchrun,
                "after": [steps[number - 1].name] if number else [],
            }
            for number, step in enumerate(steps)
        ],
    }
