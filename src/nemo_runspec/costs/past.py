"""What builds took the last time, from the manifests of their versions."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nemo_runspec.store.lineage import VersionId, made_from
from nemo_runspec.store.model import Manifest

ReadManifests = Callable[[Collection[VersionId]], Mapping[VersionId, Manifest]]


@dataclass(frozen=True)
class Cost:
    """What a build took the last time.

    Attributes:
        gpu_hours: GPUs times hours; None where that is not known.
        seconds: how long it took; None where that is not known.
        node_hours: nodes times hours; None where that is not known.
    """

    gpu_hours: float | None = None
    seconds: float | None = None
    node_hours: float | None = None


@dataclass(frozen=True)
class Amount:
    """What several builds take together.

    Attributes:
        artifacts: how many builds.
        unknown: how many of them nobody knows the GPU-hours of; they are in no sum.
        gpu_hours: of those that are known.
        node_hours: of those that are known.
        seconds: of their jobs one after the other, of those that are known.
    """

    artifacts: int = 0
    unknown: int = 0
    gpu_hours: float = 0.0
    node_hours: float = 0.0
    seconds: float = 0.0

    @property
    def rank(self) -> tuple[float, float, float, int]:
        """What amounts are compared by; those that cost more are greater."""
        return (self.gpu_hours, self.node_hours, self.seconds, self.artifacts)

    def text(self) -> str:
        """The figure that tells most: ``12.3 GPU-hours``, ``3.0 node-hours``, ``75.0 s``.

        What is unknown is said: ``12.3 GPU-hours + 2 unknown``.
        """
        if self.artifacts and self.unknown == self.artifacts and not self.seconds:
            return "unknown"
        known = _known(self.gpu_hours, self.node_hours, self.seconds)
        return f"{known} + {self.unknown:,} unknown" if self.unknown else known

    def to_json(self) -> dict[str, Any]:
        """The attributes as plain data."""
        return {
            "artifacts": self.artifacts,
            "unknown": self.unknown,
            "gpu_hours": round(self.gpu_hours, 6),
            "node_hours": round(self.node_hours, 6),
            "seconds": round(self.seconds, 3),
        }


def add_up(costs: Iterable[Cost | None]) -> Amount:
    """What builds take together.

    Args:
        costs: of each build; None where it was never built.
    """
    all_of_them = list(costs)
    known = [cost for cost in all_of_them if cost is not None]
    return Amount(
        artifacts=len(all_of_them),
        unknown=sum(1 for cost in all_of_them if cost is None or cost.gpu_hours is None),
        # Exact, so that the same builds in another order take the same.
        gpu_hours=math.fsum(cost.gpu_hours or 0.0 for cost in known),
        node_hours=math.fsum(cost.node_hours or 0.0 for cost in known),
        seconds=math.fsum(cost.seconds or 0.0 for cost in known),
    )


def cost_text(cost: Cost) -> str:
    """What one build took, as people write it; empty where nothing is known."""
    if cost.seconds is None and not cost.gpu_hours:
        return ""
    return _known(cost.gpu_hours or 0.0, cost.node_hours or 0.0, cost.seconds or 0.0)


def figure(value: float) -> str:
    """A number with as many digits as tell something: ``0.04``, ``12.3``, ``1,234``."""
    if 0 < value < 0.1:
        return f"{value:.1g}"
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def number_of(value: Any) -> float | None:
    """A fact of a manifest as a number; None where it is none, or too long to be one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None  # an integer may be longer than a float can be


def duration(seconds: float) -> str:
    """A time as people write it: ``75.0 s``, ``1:05 h``."""
    if seconds < 100:
        return f"{figure(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,}:{minutes % 60:02} h"


def cost_of(
    latest: Manifest | None, *, is_fan_out: bool, elements: int | None, read: ReadManifests
) -> Cost | None:
    """What a build would take: what its newest version took.

    The version of a fan-out took no time itself: its elements did, and those that run are taken to
    need as long as the ones that it gathered did on average.

    Args:
        latest: the newest version; None where it was never built.
        is_fan_out: whether it is one job for each element of a list.
        elements: how many of a fan-out's elements run; None where that is not known: as many as
            the last time.
        read: reads versions.

    Returns:
        None where nothing is known.
    """
    own = _own_cost(latest)
    if latest is None or own is None or not is_fan_out:
        return own
    # The elements of a fan-out have their names below its own.
    gathered = [each for each in made_from(latest) if each[0].startswith(f"{latest.name}/")]
    if not gathered or elements == 0:
        return own
    found = [_own_cost(manifest) for manifest in read(gathered).values()]
    costs = [cost for cost in found if cost is not None]
    if not costs:
        return None
    number = len(gathered) if elements is None else elements
    return Cost(
        _plus(own.gpu_hours, [cost.gpu_hours for cost in costs], number),
        _plus(own.seconds, [cost.seconds for cost in costs], number),
        _plus(own.node_hours, [cost.node_hours for cost in costs], number),
    )


def _known(gpu_hours: float, node_hours: float, seconds: float) -> str:
    if gpu_hours:
        return f"{figure(gpu_hours)} GPU-hours"
    # On one node they say no more than the time does.
    if node_hours * 3600 > seconds * 1.01:
        return f"{figure(node_hours)} node-hours"
    return duration(seconds)


def _own_cost(latest: Manifest | None) -> Cost | None:
    if latest is None:
        return None
    run = latest.run
    seconds, nodes = number_of(run.get("seconds")), number_of(run.get("nodes"))
    node_hours = None if seconds is None or nodes is None else seconds * nodes / 3600
    cost = Cost(number_of(run.get("gpu_hours")), seconds, node_hours)
    return None if cost == Cost() else cost


def _plus(own: float | None, each: list[float | None], number: int) -> float | None:
    """A figure and so many times the average of those that are known."""
    known = [value for value in each if value is not None]
    return (own or 0.0) + math.fsum(known) / len(known) * number if known else own
