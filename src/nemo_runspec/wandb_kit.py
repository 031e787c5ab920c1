"""Weights & Biases for recipe scripts: the run of a job, its tags and config, its lineage.

    tracking = setup_artifact_tracking(config)
    if tracking.wandb:
        init_wandb_from_env()
    …
    log_artifact(artifact, tracking)
    finish_run(exit_code=0)

Everything here is best effort: a server that is not there costs a run at most ten seconds and one
warning (:mod:`nemo_runspec.wandb_tracking.session`). Without ``wandb`` nothing happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nemo_runspec.artifacts.checkpoints import (
    patch_checkpoint_logging_both,
    patch_manifest_checkpoint_logging,
    patch_manifest_nemo_rl_checkpoint_logging,
    patch_nemo_rl_checkpoint_logging,
    patch_nemo_rl_checkpoint_logging_both,
    patch_wandb_checkpoint_logging,
    patch_wandb_init_for_lineage,
)
from nemo_runspec.wandb_tracking import patches, runs
from nemo_runspec.wandb_tracking.own_session import known_session, wanted_session

__all__ = [
    "WandbConfig",
    "add_run_tags",
    "finish_run",
    "init_wandb_from_env",
    "init_wandb_if_configured",
    "log_wandb_config",
    "patch_checkpoint_logging_both",
    "patch_manifest_checkpoint_logging",
    "patch_manifest_nemo_rl_checkpoint_logging",
    "patch_nemo_rl_checkpoint_logging",
    "patch_nemo_rl_checkpoint_logging_both",
    "patch_wandb_checkpoint_logging",
    "patch_wandb_http_handler_skip_digest_verification",
    "patch_wandb_init_for_lineage",
    "patch_wandb_local_file_handler_skip_digest_verification",
    "patch_wandb_runid_for_seeded_random",
]


@dataclass
class WandbConfig:
    """A config's ``wandb`` section.

    Attributes:
        project: the project; None for no run.
        entity: the user or team.
        run_name: the run's name.
        tags: its tags.
        notes: what to say of it.
    """

    project: str | None = None
    entity: str | None = None
    run_name: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None

    @property
    def enabled(self) -> bool:
        """Whether a run is asked for."""
        return self.project is not None


def init_wandb_from_env() -> None:
    """Start the run that the job's environment describes, if it names a project.

    ``WANDB_PROJECT``, ``WANDB_ENTITY``, ``WANDB_NAME``, ``WANDB_GROUP``, ``WANDB_JOB_TYPE`` and
    ``WANDB_TAGS`` (by commas) come from ``[wandb]`` of ``env.toml``. A run that is active stays.
    """
    dealings = wanted_session()
    if dealings is not None:
        runs.start_run(dealings)


def init_wandb_if_configured(
    wandb_config: WandbConfig | None,
    job_type: str = "data-prep",
    tags: Sequence[str] | None = None,
) -> None:
    """Start the run that a config describes.

    Args:
        wandb_config: the section; without a project nothing happens.
        job_type: the kind of job.
        tags: more tags.
    """
    if wandb_config is None or not wandb_config.enabled:
        return
    dealings = wanted_session()
    if dealings is None:
        return
    every = [*wandb_config.tags, *(tags or ())]
    dealings.start(
        project=wandb_config.project,
        entity=wandb_config.entity,
        name=wandb_config.run_name,
        tags=every or None,
        notes=wandb_config.notes,
        job_type=job_type,
    )


def finish_run(exit_code: int = 0) -> None:
    """End the active run, if there is one; one that nobody ends counts as crashed.

    Args:
        exit_code: 0 for success.
    """
    dealings = known_session()
    if dealings is not None:
        dealings.finish(exit_code)


def add_run_tags(tags: Sequence[str]) -> None:
    """Add tags to the active run, if there is one."""
    dealings = known_session()
    if dealings is not None:
        runs.add_tags(dealings, tags)


def log_wandb_config(cfg: Any) -> None:
    """Give the active run, if there is one, the values of a config, its secrets masked.

    Args:
        cfg: a dataclass, a mapping, or an object with attributes.
    """
    dealings = known_session()
    if dealings is not None:
        runs.log_config(dealings, cfg)


def patch_wandb_local_file_handler_skip_digest_verification() -> None:
    """Take references to local paths as they are; ``setup_artifact_tracking`` does it too."""
    if known_session() is not None:
        patches.take_local_references_as_they_are()


def patch_wandb_http_handler_skip_digest_verification() -> None:
    """Take references to the web as they are now."""
    if known_session() is not None:
        patches.take_web_references_as_they_are()


def patch_wandb_runid_for_seeded_random() -> None:
    """Let the client draw other ids in each run, however ``random`` is seeded."""
    if known_session() is not None:
        patches.draw_ids_from_the_system()
