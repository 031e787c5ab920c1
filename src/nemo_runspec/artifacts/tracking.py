"""The two functions that a recipe script calls.

tracking = setup_artifact_tracking(config)      # before the config is resolved
…
log_artifact(SFTDataArtifact(path=folder, …), tracking)
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from nemo_runspec.artifacts.job_context import job_context
from nemo_runspec.artifacts.resolver import config_settings, register_config_artifacts
from nemo_runspec.artifacts.settings import artifacts_settings
from nemo_runspec.artifacts.view import open_view, set_active_view, tracking_is_off
from nemo_runspec.manifest_tracker import ManifestTracker, set_tracker

if TYPE_CHECKING:
    from nemo_runspec.artifacts.types import Artifact
    from nemo_runspec.store import Manifest

_logger = logging.getLogger(__name__)

_said: set[str] = set()

NO_WANDB = (
    "artifacts.wandb is set, but this version of nemo_runspec tracks artifacts with manifests "
    "only: nothing is sent to Weights & Biases"
)
TRACKING_OFF = (
    "artifacts are not tracked (artifacts.manifest.root is null): log_artifact records nothing"
)


@dataclass(frozen=True)
class ArtifactTrackingResult:
    """What :func:`setup_artifact_tracking` set up.

    Attributes:
        manifest: whether versions are recorded in a store.
        wandb: whether they are logged to Weights & Biases.
        qualified_names: W&B's names of the inputs; none without W&B.
        tracker: what records them; None when they are not.
    """

    manifest: bool = False
    wandb: bool = False
    qualified_names: list[str] = field(default_factory=list)
    tracker: ManifestTracker | None = field(default=None, repr=False)


def setup_artifact_tracking(
    config: DictConfig | Mapping[str, Any], *, artifacts_key: str = "run"
) -> ArtifactTrackingResult:
    """Set up what the config's ``artifacts`` section asks for, and make its ``${art:…}`` work.

    Call it before the config is resolved or turned into dataclasses. Without the section the
    store is ``.runspec/artifacts`` in the repository; a planned job's store is the plan's.
    ``artifacts.manifest.root: null`` turns the tracking off.

    Args:
        config: the script's config.
        artifacts_key: the section that names the artifacts.

    Returns:
        What is on.

    Raises:
        EnvError: the ``artifacts`` section is broken.
        StoreError: no versions can be recorded at such a root.
        JobContextError: the job context is broken.
    """
    document = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    settings = config_settings(document) or artifacts_settings(None)
    if settings.wandb:
        _say_once(NO_WANDB)
    view = open_view(settings, job_context())
    tracker = None if view is None else ManifestTracker.of_view(view)
    set_active_view(view)
    set_tracker(tracker)
    if view is not None and importlib.util.find_spec("fsspec") is not None:
        # art:// works from here on.
        from nemo_runspec import filesystem as filesystem
    source = tracking_is_off if view is None else (lambda: view)
    names = register_config_artifacts(document, artifacts_key, view=source)
    return ArtifactTrackingResult(
        manifest=tracker is not None, qualified_names=names, tracker=tracker
    )


def log_artifact(
    artifact: Artifact, tracking: ArtifactTrackingResult, *, name: str | None = None
) -> Manifest | None:
    """Write an artifact's ``metadata.json`` and record it as a new version.

    Args:
        artifact: what was made; its data is written.
        tracking: from :func:`setup_artifact_tracking`.
        name: what to log it as; default: its own name, else what the job's target promises, else
            its type.

    Returns:
        The version's manifest; None, said once, when tracking is off.

    Raises:
        ArtifactError: the data cannot be read, or the store not be written.
    """
    if tracking.tracker is None:
        _say_once(TRACKING_OFF)
        return None
    if artifact.producer is None:
        artifact.producer = tracking.tracker.get_run_id()
    artifact.write_metadata()
    return tracking.tracker.record_artifact(artifact, name, artifact._used_artifacts)


def _say_once(message: str) -> None:
    if message not in _said:
        _said.add(message)
        _logger.warning(message)
