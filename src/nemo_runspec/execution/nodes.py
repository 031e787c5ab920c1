"""How the processes of a job on several nodes find each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Nodes:
    """How the processes of a job find each other: words of bash, expanded where the job runs.

    Args:
        count: how many nodes.
        rank: number of this one, from 0, such as `$SLURM_NODEID`.
        head_address: where the others reach number 0, such as `$RUNSPEC_HEAD_ADDRESS`.
        port: a port of number 0 that is free, such as `$RUNSPEC_HEAD_PORT`.
        address: where the others reach this one.
        has_ray: whether a recipe of the launch `ray` finds its Ray; else one is started on these
            nodes, for this job alone.
    """

    count: int = 1
    rank: str = "0"
    head_address: str = "127.0.0.1"
    port: str = "29500"
    address: str = "127.0.0.1"
    has_ray: bool = True
