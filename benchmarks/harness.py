"""Measuring beside a peer: contenders in turn in one run, and what is told is their ratio.

A machine that others use makes seconds mean little. Two contenders that run in turn see the same
load, so the ratio of each pair means something, and the median of the ratios does not mind the pair
in which something else woke up.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Contender = Callable[[], object]
Seconds = tuple[float, ...]


@dataclass(frozen=True)
class Figure:
    """One thing of ours beside its peer.

    Args:
        name: what is measured.
        ours, peer: what the two are.
        our_seconds, peer_seconds: how long each took, pair by pair.
        amount, unit: what was done in that time; then rates are shown: `amount` `unit`/s. Without
            it the times themselves are, in `unit`.
    """

    name: str
    ours: str
    peer: str
    our_seconds: Seconds
    peer_seconds: Seconds
    unit: str = "s"
    amount: float | None = None

    @property
    def ratios(self) -> Seconds:
        """Our time as a multiple of the peer's, pair by pair: less is faster."""
        return tuple(a / b for a, b in zip(self.our_seconds, self.peer_seconds, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return the figure for a JSON file, with every sample."""
        return {**asdict(self), "median_ratio": statistics.median(self.ratios)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Figure:
        """Return the figure that `to_dict` made the document of."""
        values = {key: value for key, value in document.items() if key != "median_ratio"}
        for key in ("our_seconds", "peer_seconds"):
            values[key] = tuple(values[key])
        return cls(**values)


def alternate(
    contenders: Mapping[str, Contender], rounds: int, warm_ups: int = 1
) -> dict[str, Seconds]:
    """Return each contender's times in seconds, `rounds` of them, taken in turn: A B C A B C …

    Args:
        contenders: by name; one that returns a number has measured itself, in seconds.
        rounds: how often each is measured.
        warm_ups: how often each runs before, unmeasured.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(warm_ups + rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            measured = run()
            seconds = time.perf_counter() - started
            if turn >= warm_ups:
                times[name].append(measured if isinstance(measured, float) else seconds)
    return {name: tuple(seconds) for name, seconds in times.items()}


def machine() -> str:
    """Return the machine in a line: cores, load, system and Python."""
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores, load {load} (1, 5, 15 min), {system}, {python}"


def table(title: str, figures: Sequence[Figure]) -> str:
    """Return figures as text: what, the medians, and the ratio with its range."""
    width = max(len(title), *(len(figure.name) for figure in figures))
    head = f"{title:{width}}  {'ours':>18}{'peer':>18}{'ratio':>8}{'lowest-highest':>17}"
    lines = [head, "-" * len(head)]
    for figure in figures:
        ratios = figure.ratios
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}" if len(ratios) > 1 else "one run"
        lines += [
            f"{figure.name:{width}}  {_shown(figure, figure.our_seconds):>18}"
            f"{_shown(figure, figure.peer_seconds):>18}"
            f"{statistics.median(ratios):>8.2f}{spread:>17}",
            f"    {figure.ours} : {figure.peer}",
        ]
    return "\n".join(lines)


def _shown(figure: Figure, seconds: Seconds) -> str:
    median = statistics.median(seconds)
    if figure.amount is None:
        return f"{median:.2f} {figure.unit}"
    rate = figure.amount / median
    return f"{rate:,.0f} {figure.unit}/s" if rate >= 100 else f"{rate:.1f} {figure.unit}/s"
