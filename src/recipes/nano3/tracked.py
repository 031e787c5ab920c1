"""Configs that name artifacts, and versions of artifacts: what a recipe needs of the library."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from nemo_runspec.artifacts import (
    Artifact,
    ArtifactTrackingResult,
    log_artifact,
    setup_artifact_tracking,
)
from nemo_runspec.exceptions import NemoRunspecError
from recipes.nano3 import settings
from recipes.nano3.errors import InputError

S = TypeVar("S")


def load(path: Path, schema: type[S]) -> tuple[S, ArtifactTrackingResult]:
    """As :func:`recipes.nano3.settings.load`, with each ``${art:…}`` resolved in the store.

    Returns:
        The settings, and what :func:`log` needs.

    Raises:
        InputError: The config is wrong, or an artifact that it names is not there.
    """
    config = settings.read(path)
    try:
        tracking = setup_artifact_tracking(config)
        return settings.check(path, config, schema), tracking
    except NemoRunspecError as error:
        raise InputError(str(error)) from error


def log(artifact: Artifact, tracking: ArtifactTrackingResult) -> None:
    """Records a new version. Raises InputError if the store does not take it."""
    try:
        log_artifact(artifact, tracking)
    except NemoRunspecError as error:
        raise InputError(str(error)) from error
