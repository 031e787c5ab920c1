"""The store as a tracker of TorchX: what ``torchx.tracker.api.AppRun`` says in a job is kept in it.

A job that we launch has it without further ado. Elsewhere ``.torchxconfig`` names it, by the entry
point of our wheel, which TorchX takes the key for:

    [torchx:tracker]
    nemo_runspec = nemo_runspec.torchx_tracker:create_tracker

    [tracker:nemo_runspec]
    config = /lustre/team/artifacts

Where no wheel of ours is installed, the variable ``TORCHX_TRACKERS`` does, by module and function:
``nemo_runspec.torchx_tracker:create_tracker``. ``torchx tracker list jobs``, ``metadata RUN`` and
``artifacts RUN`` then answer from the store: for what TorchX was told, and for what our own jobs
recorded. Needs ``torchx``, so a recipe that uses it lists it under ``dependencies``.
"""

from nemo_runspec.torchx_tracker.factory import create_tracker

__all__ = ["create_tracker"]
