"""A version as a node: its manifest, and what was said of it since."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.metrics import last_values
from nemo_runspec.costs.past import number_of
from nemo_runspec.jobs import JobPaths
from nemo_runspec.lineage.marks import Marks
from nemo_runspec.lineage.model import Kind, LineageNode, Spent, State
from nemo_runspec.masking import mask_secrets
from nemo_runspec.store.documents import exported_document
from nemo_runspec.store.lineage import VersionId, version_id
from nemo_runspec.store.model import Manifest

# Names of files, packages and artifacts are keys there, and none of a secret.
_NAMED = ("files", "inputs", "requirements")


def version_node(manifest: Manifest, marks: Marks) -> LineageNode:
    """A version that the store has."""
    one = (manifest.name, manifest.version)
    series = marks.series.get(one, {})
    gone = marks.gone.get(one)
    document = shown_document(manifest)
    run = document.get("run", {})
    return LineageNode(
        id=manifest.reference,
        kind=Kind.VERSION,
        name=manifest.name,
        state=State.RECORDED if gone is None else State.GONE,
        version=manifest.version,
        address=_text(run.get("address")),
        accepted=marks.accepted.get(one),
        revoked=marks.revoked.get(one),
        gone=gone,
        aliases=marks.aliases.get(one, ()),
        spent=spent_of(manifest),
        metrics={
            **numbers(document["metadata"]),
            **last_values(series),
        },
        series=series,
        cards=marks.cards.get(one, ()),
        log=_log(run),
        document=document,
    )


def shown_document(manifest: Manifest) -> dict[str, Any]:
    """A version's ``manifest.json`` as others may see it: secrets masked."""
    shown: dict[str, Any] = mask_secrets(exported_document(manifest))
    shown["used_artifacts"] = list(manifest.used_artifacts)
    explain = manifest.explain or {}
    named = {name: explain[name] for name in _NAMED if name in explain}
    return {**shown, "explain": {**shown["explain"], **named}} if named else shown


def external_node(reference: str) -> LineageNode:
    """Data that no artifact holds, or a version that only another store has.

    Args:
        reference: a path, a URL, or ``name:vN``.
    """
    one = version_id(reference)
    if one is None:
        shown = str(mask_secrets(reference))
        return LineageNode(origin_id(reference), Kind.EXTERNAL, shown, State.EXTERNAL)
    return LineageNode(origin_id(reference), Kind.EXTERNAL, one[0], State.MISSING, version=one[1])


def origin_id(reference: str) -> str:
    """The id of what something was made from, as a manifest or a target says it."""
    one = version_id(reference)
    return f"external:{mask_secrets(reference)}" if one is None else f"{one[0]}:v{one[1]}"


def origins(manifest: Manifest) -> list[str]:
    """What a version was made from, versions first, each as its manifest says it."""
    return list(dict.fromkeys((*manifest.used_artifacts, *manifest.inputs)))


def origin_key(manifest: Manifest, used: VersionId) -> str | None:
    """The keys of the config's ``run`` section that named a version that it was made from.

    Args:
        manifest: the version that was made.
        used: the one that it was made from.
    """
    parts, explain = manifest.parts or {}, manifest.explain or {}
    versions = explain.get("inputs")
    told = versions if isinstance(versions, Mapping) else {}
    keys = []
    for part in parts.get("inputs") or ():
        key, name = part[0], str(part[1])
        if key is None or not (used[0] == name or used[0].endswith(f"/{name}")):
            continue
        # One name may stand behind several keys, each pinned to a version of its own.
        if told.get(f"{key}={name}", f"v{used[1]}") == f"v{used[1]}":
            keys.append(str(key))
    return ", ".join(dict.fromkeys(keys)) or None


def spent_of(manifest: Manifest) -> Spent:
    """What making a version took, as far as it is known."""
    run = manifest.run
    nodes, gpus = number_of(run.get("nodes")), number_of(run.get("gpus"))
    return Spent(
        seconds=number_of(run.get("seconds")),
        gpu_hours=number_of(run.get("gpu_hours")),
        nodes=None if nodes is None else int(nodes),
        gpus=None if gpus is None else int(gpus),
    )


def numbers(metadata: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an artifact's metadata by dotted key, in order."""
    found: dict[str, float] = {}
    waiting = [("", metadata)]
    while waiting:
        path, here = waiting.pop(0)
        for key, value in here.items():
            name = f"{path}.{key}".lstrip(".")
            number = number_of(value)
            if number is not None:
                found[name] = number
            elif isinstance(value, Mapping):
                waiting.append((name, value))
    return found


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _log(run: Mapping[str, Any]) -> str | None:
    if run.get("log"):
        return str(run["log"])
    # Those who recorded it before there was a `log` said where the job was.
    return str(JobPaths(Path(str(run["job"]))).log) if run.get("job") else None
