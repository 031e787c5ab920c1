"""Logging the checkpoints of training frameworks, which save them on their own.

    tracking = setup_artifact_tracking(config)
    if tracking.manifest:
        patch_manifest_checkpoint_logging()

Megatron-Bridge calls ``on_save_checkpoint_success(checkpoint_path, save_dir, iteration,
wandb_writer)`` of ``megatron.bridge.training.utils.wandb_utils`` on one rank, when a checkpoint
is complete; NeMo-RL's ``CheckpointManager.finalize_checkpoint(checkpoint_path)`` renames
``tmp_step_N`` to ``step_N``. What they do stays; a manifest is written besides. A store that does
not answer is said in the log and costs no training.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.job_context import job_context
from nemo_runspec.artifacts.tracking import NO_WANDB
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.manifest_tracker import get_tracker
from nemo_runspec.optional import optional_import

_logger = logging.getLogger(__name__)

_MEGATRON_BRIDGE = "megatron.bridge.training.utils.wandb_utils"
_NEMO_RL = "nemo_rl.utils.checkpoint"
_NEED = "logging its checkpoints"
_PATCHED = "_nemo_runspec_original"
# Where NeMo-Run mounts the job's folder in the container; no other job sees that path.
_CONTAINER_FOLDER = "/nemo_run"


def patch_manifest_checkpoint_logging() -> None:
    """Log each checkpoint of Megatron-Bridge with its path, iteration and the inputs used.

    The name is what the job's target promises, else Megatron-Bridge's own for it; the path is
    the folder of all checkpoints, as ``pretrained_checkpoint`` wants it.

    Raises:
        MissingPackageError: Megatron-Bridge is not installed.
    """
    library = optional_import(_MEGATRON_BRIDGE, needed_for=_NEED, distribution="megatron-bridge")
    original = library.on_save_checkpoint_success
    if hasattr(original, _PATCHED):
        return

    @functools.wraps(original)
    def on_save_checkpoint_success(
        checkpoint_path: str, save_dir: str, iteration: int, wandb_writer: Any = None
    ) -> Any:
        name, _ = library._get_artifact_name_and_version(Path(save_dir), Path(checkpoint_path))
        _log(name, save_dir, iteration, checkpoint_path)
        return original(checkpoint_path, save_dir, iteration, wandb_writer)

    setattr(on_save_checkpoint_success, _PATCHED, original)
    library.on_save_checkpoint_success = on_save_checkpoint_success


def patch_checkpoint_logging_both() -> None:
    """As :func:`patch_manifest_checkpoint_logging`; Megatron-Bridge logs to W&B as it does.

    Raises:
        MissingPackageError: Megatron-Bridge is not installed.
    """
    patch_manifest_checkpoint_logging()


def patch_wandb_checkpoint_logging() -> None:
    """Keep its place: Megatron-Bridge logs to W&B as it does, and nothing is added."""
    _logger.warning(NO_WANDB)


def patch_wandb_init_for_lineage(
    *, artifact_qualified_names: Sequence[str] = (), tags: Sequence[str] | None = None
) -> None:
    """Keep its place: W&B is told nothing of the inputs; the manifests hold them.

    Args:
        artifact_qualified_names: W&B's names of the inputs.
        tags: for the run.
    """
    _logger.warning(NO_WANDB)


def patch_manifest_nemo_rl_checkpoint_logging(artifact_name: str = "rl") -> None:
    """Log each checkpoint of NeMo-RL with its path, step and the inputs used.

    Args:
        artifact_name: what to log it as, where no target promises a name.

    Raises:
        MissingPackageError: NeMo-RL is not installed.
    """
    manager = optional_import(_NEMO_RL, needed_for=_NEED, distribution="nemo-rl").CheckpointManager
    original: Callable[..., Any] = manager.finalize_checkpoint
    if hasattr(original, _PATCHED):
        return

    @functools.wraps(original)
    def finalize_checkpoint(self: Any, checkpoint_path: Any) -> Any:
        done = original(self, checkpoint_path)
        made = Path(checkpoint_path)
        step = int(made.name.rpartition("_")[2])
        _log(artifact_name, made.parent / f"step_{step}", step, made.parent / f"step_{step}")
        return done

    setattr(finalize_checkpoint, _PATCHED, original)
    manager.finalize_checkpoint = finalize_checkpoint


def patch_nemo_rl_checkpoint_logging_both(artifact_name: str = "rl") -> None:
    """As :func:`patch_manifest_nemo_rl_checkpoint_logging`; W&B is told nothing.

    Args:
        artifact_name: what to log it as, where no target promises a name.

    Raises:
        MissingPackageError: NeMo-RL is not installed.
    """
    patch_manifest_nemo_rl_checkpoint_logging(artifact_name)


def patch_nemo_rl_checkpoint_logging(artifact_name: str = "rl") -> None:
    """Keep its place: W&B is told nothing.

    Args:
        artifact_name: what it would be logged as.
    """
    _logger.warning(NO_WANDB)


def _log(
    name: str, path: os.PathLike[str] | str, iteration: int, checkpoint: os.PathLike[str] | str
) -> None:
    tracker = get_tracker()
    if tracker is None:
        return
    try:
        context = job_context()
        promised = None if context is None else context.artifact
        tracker.log_model_checkpoint(
            promised or name,
            _outside(path),
            iteration,
            metadata={"checkpoint_path": _outside(checkpoint)},
        )
    except NemoRunspecError as error:
        _logger.warning("checkpoint %s is not logged: %s", iteration, error)


def _outside(path: os.PathLike[str] | str) -> str:
    """A path as other jobs see it: that of the job's folder within the container they do not."""
    inside = os.path.realpath(path)
    if inside != _CONTAINER_FOLDER and not inside.startswith(f"{_CONTAINER_FOLDER}/"):
        return inside
    folder = _mount_source(_CONTAINER_FOLDER, _mounts()) or os.environ.get("NEMO_RUN_DIR")
    return inside if folder is None else folder + inside[len(_CONTAINER_FOLDER) :]


def _mounts() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    except OSError:
        return ""  # no Linux


def _mount_source(target: str, mounts: str) -> str | None:
    """What folder of the same machine a bind mount shows, from ``/proc/self/mountinfo`` (proc(5)).

    Its fields: id, parent, device, path within the device's filesystem, where it is mounted, …
    """
    entries = [fields for line in mounts.splitlines() if len(fields := line.split()) > 4]
    bound = next((fields for fields in entries if fields[4] == target), None)
    if bound is None or bound[3] == "/":
        return None
    whole = next((f for f in entries if f[2] == bound[2] and f[3] == "/"), None)
    return bound[3] if whole is None else whole[4].rstrip("/") + bound[3]
