"""Artifacts as build outputs: what is stale, why, and running it in order.

Beside that, pipelines of steps as commands of one's own run them: `PipelineConfig`,
`run_pipeline`. Their names come from `nemo_runspec.pipeline.steps`, imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.steps.{_MODULE_OF[name]}")
    value = getattr(module, name)
    globals()[name] = value
    return value
