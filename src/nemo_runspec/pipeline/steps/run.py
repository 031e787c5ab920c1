"""`run_pipeline`: steps in order, by the launcher that the config names.

A step starts when the one before it has succeeded, whatever the launcher, and reads on standard
input what that one wrote to standard output, where both run as processes of one script.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from nemo_runspec.exceptions import NemoRunspecError, UsageError
from nemo_runspec.pipeline.steps.config import PipelineConfig
from nemo_runspec.step import Step


def run_pipeline(
    config: PipelineConfig, steps: Sequence[Step], extra_args: Sequence[str] | None = None
) -> int:
    """Runs steps one after the other.

    Args:
        config: how and where.
        steps: what, in order.
        extra_args: arguments that each step gets.

    Returns:
        The exit code: 0 if all went well or was submitted, else that of the step that failed; 2
        after one `error: …` line if the config cannot be run.
    """
    try:
        config.check()
        if not steps:
            raise UsageError("a pipeline needs at least one step")
        config.say(f"pipeline: {' -> '.join(step.name for step in steps)} ({config.launcher})")
        return _launch(config, steps, list(extra_args or []))
    except NemoRunspecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _launch(config: PipelineConfig, steps: Sequence[Step], extra_args: list[str]) -> int:
    if config.launcher == "local":
        from nemo_runspec.pipeline.steps.local import run_local

        return run_local(config, steps, extra_args)
    if config.launcher == "sbatch":
        from nemo_runspec.pipeline.steps.sbatch import run_sbatch

        return run_sbatch(config, steps, extra_args)
    from nemo_runspec.pipeline.steps.experiment import run_nemo_run

    return run_nemo_run(config, steps, extra_args)
