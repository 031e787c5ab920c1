"""The two functions that a recipe script calls.

tracking = setup_artifact_tracking(config)      # before the config is resolved
…
log_artifact(SFTDataArtifact(path=folder, …), tracking)
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from nemo_runspec.artifacts.current import Tracker, set_tracker
from nemo_runspec.artifacts.job_context import job_context
from nemo_runspec.artifacts.notes import warn_once
from nemo_runspec.artifacts.resolver import config_settings, register_config_artifacts
from nemo_runspec.artifacts.settings import ArtifactsSettings, artifacts_settings
from nemo_runspec.artifacts.view import StoreView, set_active_view, tracking_is_off
from nemo_runspec.manifest_tracker import ManifestTracker
from nemo_runspec.wandb_tracking import patches
from nemo_runspec.wandb_tracking.catalog import view_with_wandb
from nemo_runspec.wandb_tracking.own_session import wanted_session
from nemo_runspec.wandb_tracking.session import Session
from nemo_runspec.wandb_tracking.tracker import BothTrackers, WandbTracker

if TYPE_CHECKING:
    from nemo_runspec.artifacts.types import Artifact
    from nemo_runspec.store.model import Manifest

TRACKING_OFF = (
    "artifacts are not tracked (artifacts.manifest.root is null): log_artifact records nothing"
)


@dataclass(frozen=True)
class ArtifactTrackingResult:
    """What :func:`setup_artifact_tracking` set up.

    Attributes:
        manifest: whether versions are recorded in a store.
        wandb: whether they are logged to Weights & Biases.
        qualified_names: W&B's names of the inputs, for ``patch_wandb_init_for_lineage``; none
            without W&B.
        tracker: what records them; None when they are not.
    """

    manifest: bool = False
    wandb: bool = False
    qualified_names: list[str] = field(default_factory=list)
    tracker: Tracker | None = field(default=None, repr=False)


def setup_artifact_tracking(
    config: DictConfig | Mapping[str, Any], *, artifacts_key: str = "run"
) -> ArtifactTrackingResult:
    """Set up what the config's ``artifacts`` section asks for, and make its ``${art:…}`` work.

    Call it before the config is resolved or turned into dataclasses. Without the section the
    store is ``.runspec/artifacts`` in the repository; a planned job's store is the plan's.
    ``artifacts.manifest.root: null`` turns the manifests off, ``artifacts.wandb: false`` W&B.

    With both, each version is recorded in the store first and then logged to W&B, which is also
    asked first which version a reference means; the inputs of a planned job stay pinned.

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
    session = _wandb_session(settings)
    view = view_with_wandb(settings, session, job_context())
    tracker = _tracker(view, settings, session)
    set_active_view(view)
    set_tracker(tracker)
    if settings.root is not None and importlib.util.find_spec("fsspec") is not None:
        # art:// works from here on.
        from nemo_runspec import filesystem as filesystem
    source = tracking_is_off if view is None else (lambda: view)
    names = register_config_artifacts(document, artifacts_key, view=source)
    if session is not None:
        session.expect(names)
    return ArtifactTrackingResult(
        manifest=settings.root is not None,
        wandb=session is not None,
        qualified_names=names,
        tracker=tracker,
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
        The version's manifest; None where W&B alone has it, or, said once, when tracking is off.

    Raises:
        ArtifactError: the data cannot be read, or the store not be written.
    """
    if tracking.tracker is None:
        warn_once(TRACKING_OFF)
        return None
    if artifact.producer is None:
        artifact.producer = tracking.tracker.get_run_id()
    artifact.write_metadata()
    return tracking.tracker.record_artifact(artifact, name, artifact._used_artifacts)


def _wandb_session(settings: ArtifactsSettings) -> Session | None:
    if not settings.wandb:
        return None
    session = wanted_session()
    if session is None:
        return None
    patches.take_local_references_as_they_are()
    patches.patch_init(session)
    return session


def _tracker(
    view: StoreView | None, settings: ArtifactsSettings, session: Session | None
) -> Tracker | None:
    if view is None:
        return None
    if session is None:
        return ManifestTracker.of_view(view)
    wandb = WandbTracker(session, view)
    return wandb if settings.root is None else BothTrackers(ManifestTracker.of_view(view), wandb)
