"""A store to look at, from Python and in notebooks.

    from nemo_runspec import store

    model = store.artifact("nano3-sft-model").latest
    model.metrics["loss"], model.inputs, model.lineage(direction="both")
    weights = model.load()

    run = store.latest_run("nano3")
    run["train"].data.final_loss

Nothing here writes. The store is that of ``[artifacts]`` in ``env.toml``, or what :func:`use` says,
or the ``root`` of a call.
"""

from __future__ import annotations

from nemo_runspec.client.browsing import artifact, artifacts, latest_run, run, runs, use
from nemo_runspec.client.history import Run, Step
from nemo_runspec.client.place import ClientError
from nemo_runspec.client.versions import NamedArtifact, Version

__all__ = [
    "ClientError",
    "NamedArtifact",
    "Run",
    "Step",
    "Version",
    "artifact",
    "artifacts",
    "latest_run",
    "run",
    "runs",
    "use",
]
