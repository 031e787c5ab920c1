"""What a job and its launcher both call the things that TorchX's trackers need.

TorchX reads ``TORCHX_TRACKERS``, names separated by commas: each an entry point of the group
``torchx.tracker`` or ``module:function``, with its setting in ``TORCHX_TRACKER_<NAME>_CONFIG``. A
job's code lies in folders without entry points, and a shell can name no variable after
``module:function``; so each tracker of a job is ``nemo_runspec.torchx_tracker.in_job:NAME`` there,
which finds its factory and its setting by NAME alone.
"""

from __future__ import annotations

import re

JOB_ID_VARIABLE = "TORCHX_JOB_ID"
PARENT_VARIABLE = "TORCHX_PARENT_RUN_ID"
TRACKERS_VARIABLE = "TORCHX_TRACKERS"

STORE_TRACKER = "nemo_runspec"
STORE_FACTORY = "nemo_runspec.torchx_tracker:create_tracker"
IN_JOB = "nemo_runspec.torchx_tracker.in_job"

SCHEME = "runspec"


def config_variable(name: str) -> str:
    """The variable that holds what a tracker is configured with."""
    return f"TORCHX_TRACKER_{_upper(name)}_CONFIG"


def factory_variable(name: str) -> str:
    """The variable that says what makes a tracker, in a job."""
    return f"RUNSPEC_TORCHX_{_upper(name)}"


def run_handle(folder: str, run_id: str) -> str:
    """What TorchX calls a run of ours: ``runspec://JOB-FOLDER/RUN-ID``, as its own handles are.

    Args:
        folder: the name of the job's folder.
        run_id: the id in the run's record; of a job that no store records, ``unrecorded``.
    """
    return f"{SCHEME}://{folder}/{run_id}"


def pipeline_handle(pipeline_id: str) -> str:
    """What TorchX calls a pipeline of ours: the parent of its jobs' runs.

    Args:
        pipeline_id: its id in the facts of those runs.
    """
    return run_handle("pipeline", pipeline_id)


def recorded_id(handle: str) -> str | None:
    """The RUN-ID of a handle of ours; None of any other run."""
    found = re.fullmatch(rf"{SCHEME}://[^/]*/([A-Za-z0-9][A-Za-z0-9._-]*)", handle)
    return None if found is None else found[1]


def _upper(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII).upper()
