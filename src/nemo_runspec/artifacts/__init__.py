"""Artifacts: versioned results of recipes, with what they were made from.

    from nemo_runspec.artifacts import ModelArtifact, log_artifact, setup_artifact_tracking

    tracking = setup_artifact_tracking(config)     # before the config is resolved
    config = OmegaConf.to_container(config, resolve=True)     # ${art:data,path} is a path now
    …
    log_artifact(ModelArtifact(path=folder, step=1000), tracking, name="sft-model")

Versions are recorded in a store (:mod:`nemo_runspec.store`). The names come from the modules of
this package, each imported when one of its names is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_runspec._lazy import lazy_names

if TYPE_CHECKING:
    from nemo_runspec.artifacts.cards import card
    from nemo_runspec.artifacts.checkpoints import (
        patch_checkpoint_logging_both,
        patch_manifest_checkpoint_logging,
        patch_manifest_nemo_rl_checkpoint_logging,
        patch_nemo_rl_checkpoint_logging,
        patch_nemo_rl_checkpoint_logging_both,
        patch_wandb_checkpoint_logging,
        patch_wandb_init_for_lineage,
    )
    from nemo_runspec.artifacts.inputs import Inputs, load_inputs, merge_artifacts
    from nemo_runspec.artifacts.metrics import log_metric
    from nemo_runspec.artifacts.tracking import (
        ArtifactTrackingResult,
        log_artifact,
        setup_artifact_tracking,
    )
    from nemo_runspec.artifacts.types import (
        Artifact,
        DataBlendsArtifact,
        ModelArtifact,
        PretrainBlendsArtifact,
        PretrainDataArtifact,
        SFTDataArtifact,
        SplitJsonlDataArtifact,
        TrackingInfo,
        ValueArtifact,
    )
    from nemo_runspec.artifacts.values import (
        Serializer,
        load_value,
        register_serializer,
        save_value,
    )

_PACKAGE = "nemo_runspec.artifacts"
_CARDS = f"{_PACKAGE}.cards"
_CHECKPOINTS = f"{_PACKAGE}.checkpoints"
_INPUTS = f"{_PACKAGE}.inputs"
_METRICS = f"{_PACKAGE}.metrics"
_TRACKING = f"{_PACKAGE}.tracking"
_TYPES = f"{_PACKAGE}.types"
_VALUES = f"{_PACKAGE}.values"

_HOME = {
    "Artifact": _TYPES,
    "ArtifactTrackingResult": _TRACKING,
    "DataBlendsArtifact": _TYPES,
    "Inputs": _INPUTS,
    "ModelArtifact": _TYPES,
    "PretrainBlendsArtifact": _TYPES,
    "PretrainDataArtifact": _TYPES,
    "SFTDataArtifact": _TYPES,
    "Serializer": _VALUES,
    "SplitJsonlDataArtifact": _TYPES,
    "TrackingInfo": _TYPES,
    "ValueArtifact": _TYPES,
    "card": _CARDS,
    "load_inputs": _INPUTS,
    "load_value": _VALUES,
    "log_artifact": _TRACKING,
    "log_metric": _METRICS,
    "merge_artifacts": _INPUTS,
    "patch_checkpoint_logging_both": _CHECKPOINTS,
    "patch_manifest_checkpoint_logging": _CHECKPOINTS,
    "patch_manifest_nemo_rl_checkpoint_logging": _CHECKPOINTS,
    "patch_nemo_rl_checkpoint_logging": _CHECKPOINTS,
    "patch_nemo_rl_checkpoint_logging_both": _CHECKPOINTS,
    "patch_wandb_checkpoint_logging": _CHECKPOINTS,
    "patch_wandb_init_for_lineage": _CHECKPOINTS,
    "register_serializer": _VALUES,
    "save_value": _VALUES,
    "setup_artifact_tracking": _TRACKING,
}

__all__ = [
    "Artifact",
    "ArtifactTrackingResult",
    "DataBlendsArtifact",
    "Inputs",
    "ModelArtifact",
    "PretrainBlendsArtifact",
    "PretrainDataArtifact",
    "SFTDataArtifact",
    "Serializer",
    "SplitJsonlDataArtifact",
    "TrackingInfo",
    "ValueArtifact",
    "card",
    "load_inputs",
    "load_value",
    "log_artifact",
    "log_metric",
    "merge_artifacts",
    "patch_checkpoint_logging_both",
    "patch_manifest_checkpoint_logging",
    "patch_manifest_nemo_rl_checkpoint_logging",
    "patch_nemo_rl_checkpoint_logging",
    "patch_nemo_rl_checkpoint_logging_both",
    "patch_wandb_checkpoint_logging",
    "patch_wandb_init_for_lineage",
    "register_serializer",
    "save_value",
    "setup_artifact_tracking",
]


__getattr__ = lazy_names(__name__, _HOME)
