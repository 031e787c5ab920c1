"""Which store a tracker keeps its records in."""

from __future__ import annotations

import os
from dataclasses import replace

from nemo_runspec.artifacts.job_context import job_context
from nemo_runspec.artifacts.settings import environment_settings
from nemo_runspec.artifacts.view import open_view, tracking_is_off
from nemo_runspec.torchx_names import STORE_TRACKER, config_variable
from nemo_runspec.torchx_tracker.store_tracker import StoreTracker


def create_tracker(config: str | None) -> StoreTracker:
    """A tracker that keeps its records in a store: what TorchX calls to make one.

    Args:
        config: the store's root; without one ``TORCHX_TRACKER_NEMO_RUNSPEC_CONFIG``, else the
            store of the job, else that of ``env.toml``.

    Raises:
        TrackingOffError: no store is named, and ``env.toml`` turns versions off.
        StoreError: no store can be kept there.
        EnvError: ``env.toml`` is broken.
    """
    root = config or os.environ.get(config_variable(STORE_TRACKER))
    settings, context = environment_settings(), job_context()
    if root:
        settings = replace(settings, root=root)
        if context is not None and context.root != root:
            context = None
    view = open_view(settings, context) or tracking_is_off()
    return StoreTracker(view.store)
