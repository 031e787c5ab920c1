"""Artifacts, lineage and metrics in Weights & Biases, best effort on top of the manifests.

A run costs at most ten seconds and one warning whatever W&B's server does, and never its exit
code or a manifest: see :mod:`~nemo_runspec.wandb_tracking.session`. ``wandb`` is imported by name
alone (:mod:`nemo_runspec.optional`), so that only recipes that list it have it.
"""
