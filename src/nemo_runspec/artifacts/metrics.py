"""Numbers that a job logs on its way, attached to the versions that it makes.

    from nemo_runspec.artifacts import log_metric

    for step, batch in enumerate(batches):
        log_metric("train/loss", train(batch), step)

They are part of no key and of no content: a version is the same with and without them.
"""

from __future__ import annotations

import functools
import json
import operator
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from nemo_runspec.artifacts.notes import METRICS, notebook, warn_once
from nemo_runspec.artifacts.plain import plain_json
from nemo_runspec.exceptions import ArtifactError
from nemo_runspec.masking import mask_secrets

__all__ = ["METRICS", "MetricError", "Series", "last_values", "log_metric", "read_metrics"]

Series = tuple[tuple[int | None, float, str], ...]
"""The values of a metric in the order they were logged: step, value, when (ISO 8601)."""

_MOST_NAME = 1000


class MetricError(ArtifactError, ValueError):
    """Something is no metric."""


def log_metric(name: str, value: Any, step: int | None = None) -> None:
    """Note a number about what this job makes.

    It is attached to the next version that this process logs and to those after it, and at its end
    to the last one; a script that logs none has it attached to the version that is made of its
    output. In a distributed job rank 0 does it, and the others' are dropped. A W&B run that is
    active gets it, too.

    Args:
        name: what it is called, such as ``train/loss``; a secret in it is masked.
        value: the number: Python's, NumPy's, or a tensor of one element; NaN and infinities too.
        step: of the training, or of whatever there are steps of.

    Raises:
        MetricError: it is no number, the step no whole number, or the name no text.
    """
    if not isinstance(name, str) or not 0 < len(name) <= _MOST_NAME:
        raise MetricError(
            f"{name!r:.80} cannot be the name of a metric; write a text, such as loss"
        )
    number = _number(name, value)
    at = None if step is None else _step(name, step)
    book = notebook()
    if not book.is_kept:
        return
    shown = _masked(name)
    # The name first: what stands before the value tells one series from another.
    document = {"name": shown, "value": plain_json(number), "step": at, "at": _now()}
    book.add_metric(json.dumps(document) + "\n")
    _tell_wandb(shown, number, at)


def read_metrics(body: bytes | None) -> dict[str, Series]:
    """What was logged, by name.

    Args:
        body: a ``metrics.jsonl``; None where there is none. A line that a kill cut short is left
            out.
    """
    found: dict[str, list[tuple[int | None, float, str]]] = {}
    for line in (body or b"").splitlines():
        try:
            document = json.loads(line)
            name, value = document["name"], float(document["value"])
            step, at = document.get("step"), str(document["at"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if isinstance(name, str) and (step is None or isinstance(step, int)):
            found.setdefault(name, []).append((step, value, at))
    return {name: tuple(values) for name, values in found.items()}


def last_values(series: Mapping[str, Series]) -> dict[str, float]:
    """The value of each metric that was logged last."""
    return {name: values[-1][1] for name, values in series.items() if values}


def _number(name: str, value: Any) -> float:
    # A text that reads as a number is a mistake all the same.
    if not isinstance(value, (str, bytes, bytearray)):
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError, RuntimeError):
            pass  # whatever arrays and tensors of more than one element say
    raise MetricError(f"the metric {name!r} is {value!r:.80}, which is no number; log a number")


def _step(name: str, step: Any) -> int:
    try:
        return operator.index(step)
    except TypeError:
        raise MetricError(
            f"the step of the metric {name!r} is {step!r:.80}; give a whole number, or none"
        ) from None


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


@functools.lru_cache(maxsize=4096)
def _masked(name: str) -> str:
    return str(mask_secrets(name))


def _tell_wandb(name: str, value: float, step: int | None) -> None:
    """Hand a value on to the W&B run of this process, if the script has one."""
    run = getattr(sys.modules.get("wandb"), "run", None)
    if not run:
        return
    try:
        # W&B throws away what comes with a step that is behind the run's own.
        ahead = step is not None and step >= getattr(run, "step", 0)
        run.log({name: value}, **({"step": step} if ahead else {}))
    except Exception as error:  # whatever its client raises: the metric itself is kept
        warn_once(f"W&B did not take a metric ({type(error).__name__}); it is kept all the same")
