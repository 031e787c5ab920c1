"""The run of this process: started from the job's environment, tagged, configured, ended."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import Any

from nemo_runspec.artifacts.notes import warn_once
from nemo_runspec.artifacts.plain import plain_json
from nemo_runspec.masking import mask_secrets
from nemo_runspec.wandb_tracking.session import Session

DEFAULT_JOB_TYPE = "data-prep"
NO_PROJECT = (
    "nothing is sent to Weights & Biases: no project is named; set project in [wandb] of env.toml "
    "(or WANDB_PROJECT), or artifacts.wandb=false"
)


def start_run(session: Session, environ: Mapping[str, str] | None = None) -> Any | None:
    """The active run, started where there is none, as the job's environment says.

    Args:
        session: the dealings with W&B.
        environ: ``WANDB_PROJECT``, ``_ENTITY``, ``_NAME``, ``_GROUP``, ``_JOB_TYPE``, ``_TAGS``;
            default: that of the process.

    Returns:
        The run; None without a project, said once.
    """
    active = session.run
    if active is not None:
        return active
    environment = os.environ if environ is None else environ
    project = environment.get("WANDB_PROJECT")
    if not project:
        warn_once(NO_PROJECT)
        return None
    tags = [tag for tag in environment.get("WANDB_TAGS", "").split(",") if tag]
    return session.start(
        project=project,
        entity=environment.get("WANDB_ENTITY") or None,
        name=environment.get("WANDB_NAME") or None,
        group=environment.get("WANDB_GROUP") or None,
        job_type=environment.get("WANDB_JOB_TYPE") or DEFAULT_JOB_TYPE,
        tags=tags or None,
    )


def add_tags(session: Session, tags: Iterable[str]) -> None:
    """Add tags to the active run, if there is one."""
    if session.run is not None:
        session.expect(tags=tags)


def log_config(session: Session, config: Any) -> None:
    """Give the active run, if there is one, the values of a config, its secrets masked.

    Args:
        session: the dealings with W&B.
        config: a dataclass, a mapping, or an object with attributes.
    """
    run = session.run
    if run is None:
        return
    values = mask_secrets(plain_json(_fields(config)))
    session.submit(
        "saying the run's config", lambda: run.config.update(values, allow_val_change=True)
    )


def _fields(config: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return dataclasses.asdict(config)
    if isinstance(config, Mapping):
        return {str(key): value for key, value in config.items()}
    return dict(vars(config))
