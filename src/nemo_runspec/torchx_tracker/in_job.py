"""The trackers of a job, each by its name: ``nemo_runspec.torchx_tracker.in_job:NAME``.

What makes a tracker, and what it is given, the launcher has put into variables named after it
(:mod:`nemo_runspec.torchx_names`). Each comes guarded: one that fails does not fail the job.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from torchx.tracker.api import TrackerBase, build_trackers

from nemo_runspec.torchx_names import config_variable, factory_variable
from nemo_runspec.torchx_tracker.guard import GuardedTracker


def __getattr__(name: str) -> Callable[[str | None], TrackerBase]:
    """The factory of the tracker that the job knows by this name."""
    factory = os.environ.get(factory_variable(name))
    if name.startswith("__") or not factory:
        raise AttributeError(f"this job was given no TorchX tracker {name!r}")
    wanted = factory

    def create(config: str | None = None) -> TrackerBase:
        # TorchX looks for the setting in a variable that no shell can set.
        given = config or os.environ.get(config_variable(name))
        return GuardedTracker(name, lambda: _make(wanted, given))

    return create


def _make(factory: str, config: str | None) -> TrackerBase:
    made = list(build_trackers({factory: config}))
    if not made:
        raise LookupError(
            f"there is no {factory}: name an entry point of torchx.tracker or module:function, "
            "and let the job depend on it"
        )
    return made[0]
