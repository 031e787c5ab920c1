"""The runs that a store recorded itself, as TorchX's trackers speak of runs.

A run is what ``_runs/{id}.json`` says of a job or a pipeline; its artifacts are the versions that
it made, its sources the runs that made what it used, and the pipeline that it was part of.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nemo_runspec.store import Manifest, Store
from nemo_runspec.store.lineage import VersionId, made_from
from nemo_runspec.store.names import parse_artifact_reference
from nemo_runspec.torchx_names import pipeline_handle, recorded_id, run_handle
from nemo_runspec.torchx_tracker.records import Link

_URI = "art://"
# As nemo_runspec.pipeline.run_record keeps it.
_PIPELINE = "pipeline"


@dataclass(frozen=True)
class Runs:
    """Some recorded runs.

    Attributes:
        documents: their records, by handle.
        made: the versions that each made, by handle.
        above: the versions that those were made from.
    """

    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    made: Mapping[str, tuple[Manifest, ...]] = field(default_factory=dict)
    above: Mapping[VersionId, Manifest] = field(default_factory=dict)

    def links(self) -> list[Link]:
        """What each was made from."""
        found: dict[Link, None] = {}
        for handle, document in self.documents.items():
            pipeline = document.get("pipeline")
            if pipeline:
                found[Link(handle, pipeline_handle(str(pipeline)), None)] = None
            # What a pipeline made its jobs made: theirs are the sources.
            made = () if document.get("kind") == _PIPELINE else self.made[handle]
            for manifest in made:
                for used in made_from(manifest):
                    reference = f"{used[0]}:v{used[1]}"
                    source = self.above.get(used)
                    named = None if source is None else _handle_of(source)
                    found[Link(handle, named or f"{_URI}{reference}", reference)] = None
        return list(found)


def all_handles(store: Store) -> list[str]:
    """The handles of all runs that were recorded."""
    return sorted(_documents(store, store.runs()))


def read_all(store: Store) -> Runs:
    """All recorded runs: four rounds of requests, however many there are."""
    return _runs(store, _documents(store, store.runs()))


def read_one(store: Store, handle: str) -> Runs:
    """The run with this handle, alone; empty if no record of it is there."""
    run_id = recorded_id(handle)
    if run_id is None:
        return Runs()
    found = _documents(store, [run_id])
    return _runs(store, {one: document for one, document in found.items() if one == handle})


def _documents(store: Store, run_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    bodies = store.backend.read_many([f"_runs/{run_id}.json" for run_id in run_ids])
    found = {}
    for body in bodies.values():
        try:
            document = json.loads(body)
        except ValueError:
            continue  # one broken record hides no other run
        handle = _handle(document) if isinstance(document, dict) else None
        if handle is not None:
            found[handle] = document
    return found


def _runs(store: Store, documents: Mapping[str, Mapping[str, Any]]) -> Runs:
    ids = {handle: _version_ids(document) for handle, document in documents.items()}
    manifests = store.manifests({one for each in ids.values() for one in each})
    used = {above for manifest in manifests.values() for above in made_from(manifest)}
    above = {**store.manifests(used - set(manifests)), **manifests}
    made = {
        handle: tuple(manifests[one] for one in each if one in manifests)
        for handle, each in ids.items()
    }
    return Runs(documents, made, above)


def _version_ids(document: Mapping[str, Any]) -> list[VersionId]:
    steps = [step["version"] for step in document.get("steps", ()) if step.get("built")]
    texts = [*document.get("versions", ()), *steps]
    found = (parse_artifact_reference(str(text)) for text in texts)
    return [(one.name, one.number) for one in found if one.number is not None]


def _handle_of(manifest: Manifest) -> str | None:
    return _handle(manifest.run)


def _handle(facts: Mapping[str, Any]) -> str | None:
    """The handle of the run that these facts are of; None if they do not identify one."""
    job, run_id = facts.get("job"), facts.get("id")
    if facts.get("kind") == _PIPELINE:
        return pipeline_handle(str(run_id))
    if not job or not run_id:
        return None
    return run_handle(str(job).rstrip("/").rpartition("/")[2], str(run_id))
