"""Logging the checkpoints of training frameworks, which save them on their own.

    tracking = setup_artifact_tracking(config)
    if tracking.manifest and tracking.wandb:
        patch_checkpoint_logging_both()
    elif tracking.wandb:
        patch_wandb_checkpoint_logging()
    elif tracking.manifest:
        patch_manifest_checkpoint_logging()

Megatron-Bridge calls ``on_save_checkpoint_success(checkpoint_path, save_dir, iteration,
wandb_writer)`` of ``megatron.bridge.training.utils.wandb_utils`` on one rank, when a checkpoint
is complete; NeMo-RL's ``CheckpointManager.finalize_checkpoint(checkpoint_path)`` renames
``tmp_step_N`` to ``step_N``. With W&B, its logging of ours stands in for Megatron-Bridge's own:
that one neither waits for the artifact nor knows the folder by a path that other jobs see. What
records a version is the tracker that ``setup_artifact_tracking`` set. A store or a server that
does not answer is said in the log and costs no training.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nemo_runspec._patching import patch
from nemo_runspec.artifacts.current import get_tracker
from nemo_runspec.artifacts.job_context import job_context
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.optional import optional_import
from nemo_runspec.wandb_tracking import patches
from nemo_runspec.wandb_tracking.own_session import wanted_session

_logger = logging.getLogger(__name__)

_MEGATRON_BRIDGE = "megatron.bridge.training.utils.wandb_utils"
_NEMO_RL = "nemo_rl.utils.checkpoint"
_NEED = "logging its checkpoints"
# Where NeMo-Run mounts the job's folder in the container; no other job sees that path.
_CONTAINER_FOLDER = "/nemo_run"


class _Checkpoint(NamedTuple):
    """What Megatron-Bridge says of a checkpoint that it has saved."""

    checkpoint_path: str
    save_dir: str
    iteration: int
    wandb_writer: Any


def patch_manifest_checkpoint_logging() -> None:
    """Log each checkpoint of Megatron-Bridge with its path, iteration and the inputs used.

    The name is what the job's target promises, else Megatron-Bridge's own for it; the path is
    the folder of all checkpoints, as ``pretrained_checkpoint`` wants it.

    Raises:
        MissingPackageError: Megatron-Bridge is not installed.
    """
    _patch_megatron_bridge(_let_it_log)


def patch_checkpoint_logging_both() -> None:
    """As :func:`patch_manifest_checkpoint_logging`, and then to W&B instead of Megatron-Bridge.

    Raises:
        MissingPackageError: Megatron-Bridge is not installed.
    """
    _patch_megatron_bridge(_note_project)


def patch_wandb_checkpoint_logging() -> None:
    """Log each checkpoint of Megatron-Bridge to W&B, instead of Megatron-Bridge.

    Raises:
        MissingPackageError: Megatron-Bridge is not installed.
    """
    _patch_megatron_bridge(_note_project)


def patch_wandb_init_for_lineage(
    *, artifact_qualified_names: Sequence[str] = (), tags: Sequence[str] | None = None
) -> None:
    """Tell the run, as soon as the framework starts it, what it uses, and its tags.

    A run that the server does not take is kept on disk, and the training goes on.

    Args:
        artifact_qualified_names: W&B's names of the inputs: ``tracking.qualified_names``.
        tags: for the run.
    """
    session = wanted_session()
    if session is None:
        return
    session.expect(map(str, artifact_qualified_names), map(str, tags or ()))
    patches.patch_init(session)


def patch_manifest_nemo_rl_checkpoint_logging(artifact_name: str = "rl") -> None:
    """Log each checkpoint of NeMo-RL with its path, step and the inputs used.

    Args:
        artifact_name: what to log it as, where no target promises a name.

    Raises:
        MissingPackageError: NeMo-RL is not installed.
    """
    manager = optional_import(_NEMO_RL, needed_for=_NEED, distribution="nemo-rl").CheckpointManager

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def finalize_checkpoint(self: Any, checkpoint_path: Any) -> Any:
            done = original(self, checkpoint_path)
            made = Path(checkpoint_path)
            step = int(made.name.rpartition("_")[2])
            final = made.parent / f"step_{step}"
            _log(artifact_name, final, step, final, alias=f"step_{step}")
            return done

        return finalize_checkpoint

    patch(manager, "finalize_checkpoint", make)


def patch_nemo_rl_checkpoint_logging_both(artifact_name: str = "rl") -> None:
    """As :func:`patch_manifest_nemo_rl_checkpoint_logging`, and then to W&B.

    Args:
        artifact_name: what to log it as, where no target promises a name.

    Raises:
        MissingPackageError: NeMo-RL is not installed.
    """
    patch_manifest_nemo_rl_checkpoint_logging(artifact_name)


def patch_nemo_rl_checkpoint_logging(artifact_name: str = "rl") -> None:
    """As :func:`patch_manifest_nemo_rl_checkpoint_logging`, to W&B alone.

    Args:
        artifact_name: what to log it as, where no target promises a name.

    Raises:
        MissingPackageError: NeMo-RL is not installed.
    """
    patch_manifest_nemo_rl_checkpoint_logging(artifact_name)


def _patch_megatron_bridge(after: Callable[[Any, Callable[..., Any], _Checkpoint], Any]) -> None:
    """Log what Megatron-Bridge saves, and then do what is to be done instead of its own logging."""
    library = optional_import(_MEGATRON_BRIDGE, needed_for=_NEED, distribution="megatron-bridge")
    # Looked up now: a version without it fails here, not after hours of training.
    name_of = library._get_artifact_name_and_version

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def on_save_checkpoint_success(
            checkpoint_path: str, save_dir: str, iteration: int, wandb_writer: Any = None
        ) -> Any:
            name, version = name_of(Path(save_dir), Path(checkpoint_path))
            _log(name, save_dir, iteration, checkpoint_path, alias=version)
            saved = _Checkpoint(checkpoint_path, save_dir, iteration, wandb_writer)
            return after(library, original, saved)

        return on_save_checkpoint_success

    patch(library, "on_save_checkpoint_success", make)


def _let_it_log(library: Any, original: Callable[..., Any], saved: _Checkpoint) -> Any:
    return original(*saved)


def _note_project(library: Any, original: Callable[..., Any], saved: _Checkpoint) -> None:
    """Write where Megatron-Bridge looks up what a checkpoint that it loads was logged as."""
    run = getattr(saved.wandb_writer, "run", None)
    if not run:
        return
    try:
        file = library._get_wandb_artifact_tracker_filename(saved.save_dir)
        file.write_text(f"{run.entity}/{run.project}")
    except Exception as error:  # its own code, or the client's
        _logger.debug("%s: W&B's project is not noted: %s", saved.save_dir, error)


def _log(
    name: str,
    path: os.PathLike[str] | str,
    iteration: int,
    checkpoint: os.PathLike[str] | str,
    *,
    alias: str | None = None,
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
            alias=alias,
        )
    except (NemoRunspecError, OSError) as error:
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
