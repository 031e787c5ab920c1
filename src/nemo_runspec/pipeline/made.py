"""What is told of a version once it is made: where its manifest is, its W&B page, its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nemo_runspec.artifacts.metrics import METRICS, last_values, read_metrics
from nemo_runspec.artifacts.plain import plain_json
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.store import Store

_MOST_METRICS = 6


def version_details(store: Store, name: str, version: int) -> dict[str, Any]:
    """What there is to tell of a version, as JSON has it.

    Never fails: the version is made, whatever can be told of it.

    Args:
        store: the store.
        name: the artifact's name in it.
        version: the version's number.

    Returns:
        ``{"manifest": folder, "wandb": URL or None, "metrics": {name: number}}``.
    """
    details: dict[str, Any] = {
        "manifest": f"{store.root.rstrip('/')}/{name}/v{version}",
        "wandb": None,
        "metrics": {},
    }
    try:
        manifest = store.manifest(name, version)
        logged = store.attachment(name, version, METRICS)
    except NemoRunspecError:
        return details
    numbers = {**_numbers(manifest.metadata), **last_values(read_metrics(logged))}
    return {
        **details,
        "wandb": _url(manifest.extra.get("tracking")),
        "metrics": plain_json(numbers),
    }


def labelled_details(details: Mapping[str, Any]) -> dict[str, str]:
    """The same for people: what the completion panel says, by label.

    Args:
        details: as :func:`version_details` gives it; empty where nothing was made.
    """
    told = {"Manifest": details.get("manifest"), "W&B": details.get("wandb")}
    numbers = list((details.get("metrics") or {}).items())
    if numbers:
        shown = ", ".join(f"{name} {float(value):g}" for name, value in numbers[:_MOST_METRICS])
        more = len(numbers) - _MOST_METRICS
        told["Metrics"] = shown + (f" and {more} more" if more > 0 else "")
    return {label: str(text) for label, text in told.items() if text}


def _numbers(metadata: Any) -> dict[str, float]:
    if not isinstance(metadata, Mapping):
        return {}
    return {
        str(key): float(value)
        for key, value in metadata.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def _url(document: Any) -> str | None:
    url = document.get("url") if isinstance(document, Mapping) else None
    return url if isinstance(url, str) and url else None
