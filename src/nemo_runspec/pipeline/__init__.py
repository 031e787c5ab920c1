"""Artifacts as build outputs: what is stale, why, and running it in order.

Beside that, pipelines of steps as commands of one's own run them: `PipelineConfig`,
`run_pipeline`. Their names come from `nemo_runspec.pipeline.steps`, imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_runspec._lazy import lazy_names

if TYPE_CHECKING:
    from nemo_runspec.pipeline.steps.config import Launcher, PipelineConfig
    from nemo_runspec.pipeline.steps.experiment import run_nemo_run
    from nemo_runspec.pipeline.steps.local import run_local
    from nemo_runspec.pipeline.steps.run import run_pipeline
    from nemo_runspec.pipeline.steps.sbatch import (
        generate_pipeline_commands,
        generate_sbatch_script,
        run_sbatch,
    )

__all__ = [
    "Launcher",
    "PipelineConfig",
    "generate_pipeline_commands",
    "generate_sbatch_script",
    "run_local",
    "run_nemo_run",
    "run_pipeline",
    "run_sbatch",
]

_NAMES = {
    "config": ("Launcher", "PipelineConfig"),
    "experiment": ("run_nemo_run",),
    "local": ("run_local",),
    "run": ("run_pipeline",),
    "sbatch": ("generate_pipeline_commands", "generate_sbatch_script", "run_sbatch"),
}

__getattr__ = lazy_names(
    __name__,
    {name: f"{__name__}.steps.{module}" for module, names in _NAMES.items() for name in names},
)
