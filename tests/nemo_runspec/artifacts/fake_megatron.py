"""Megatron-Bridge and NeMo-RL in outline: what their checkpoint code calls, and how.

They need GPUs and a container; the shapes here are those of
``megatron.bridge.training.utils.wandb_utils`` and ``nemo_rl.utils.checkpoint``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

calls: list[tuple[str, str, int]] = []


def _get_artifact_name_and_version(save_dir: Path, checkpoint_path: Path) -> tuple[str, str]:
    return save_dir.name, checkpoint_path.name


def _get_wandb_artifact_tracker_filename(save_dir: str) -> Path:
    return Path(save_dir) / "tracker.txt"


def _on_save_checkpoint_success(
    checkpoint_path: str, save_dir: str, iteration: int, wandb_writer: Any
) -> None:
    calls.append((checkpoint_path, save_dir, iteration))


class CheckpointManager:
    def finalize_checkpoint(self, checkpoint_path: Path) -> None:
        checkpoint_path.rename(checkpoint_path.with_name(checkpoint_path.name[len("tmp_") :]))


def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make both importable for a test; gives Megatron-Bridge's module back."""
    calls.clear()
    wandb_utils: Any = ModuleType("megatron.bridge.training.utils.wandb_utils")
    wandb_utils._get_artifact_name_and_version = _get_artifact_name_and_version
    wandb_utils._get_wandb_artifact_tracker_filename = _get_wandb_artifact_tracker_filename
    wandb_utils.on_save_checkpoint_success = _on_save_checkpoint_success
    checkpoint: Any = ModuleType("nemo_rl.utils.checkpoint")
    checkpoint.CheckpointManager = type("CheckpointManager", (CheckpointManager,), {})
    for module in (wandb_utils, checkpoint):
        parts = module.__name__.split(".")
        for count in range(1, len(parts)):
            name = ".".join(parts[:count])
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return wandb_utils
