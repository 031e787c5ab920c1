"""``--max-gpu-hours``: the same limit for a plan and for what runs it."""

from __future__ import annotations

from nemo_runspec.command_line import Given
from nemo_runspec.costs.bill import Bill
from nemo_runspec.costs.past import figure
from nemo_runspec.exceptions import UsageError

MAX_GPU_HOURS = "--max-gpu-hours"

_SHOWN = 3


def gpu_hours_limit(given: Given) -> float | None:
    """What ``--max-gpu-hours`` says; None where it was not given.

    Raises:
        UsageError: it is no number, or less than 0.
    """
    text = given.value(MAX_GPU_HOURS)
    if text is None:
        return None
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours < float("inf"):
        raise UsageError(f"{MAX_GPU_HOURS} needs a number, not {text!r}")
    return hours


def over_limit(bill: Bill, limit: float) -> str | None:
    """Why a bill is over a limit, with the figure, the limit and the dearest causes.

    Args:
        bill: what would run; all of it counts, what runs only perhaps too.
        limit: GPU-hours.

    Returns:
        One line; None where it is not over it.
    """
    hours, unknown = bill.at_most.gpu_hours, bill.at_most.unknown
    if hours <= limit:
        return None
    known = bill.at_most.artifacts - unknown
    counted = f"{known} artifact{'' if known == 1 else 's'}"
    more = f" and {unknown} more of unknown cost" if unknown else ""
    dearest = [charge for charge in bill.charges if charge.at_most.gpu_hours][:_SHOWN]
    causes = "; ".join(
        f"{charge.cause.text} ({figure(charge.at_most.gpu_hours)})" for charge in dearest
    )
    left = sum(1 for charge in bill.charges if charge.at_most.gpu_hours) - len(dearest)
    others = f"; and {left} more" if left else ""
    return (
        f"this would take about {hours:.2f} GPU-hours ({counted}, by what they took "
        f"the last time{more}), more than {MAX_GPU_HOURS} {limit:g}; "
        f"what causes it: {causes}{others}"
    )


def not_in_limit(bill: Bill, limit: float) -> str | None:
    """What a limit was not compared with, because nobody knows what it costs; None for nothing."""
    unknown = bill.at_most.unknown
    if not unknown:
        return None
    names = [item.name for item in bill.items if item.cost is None or item.cost.gpu_hours is None]
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return (
        f"what {unknown} artifact{'' if unknown == 1 else 's'} cost is not known ({shown}), so "
        f"{MAX_GPU_HOURS} {limit:g} was compared with {bill.at_most.gpu_hours:.2f} GPU-hours of "
        "the others alone"
    )
