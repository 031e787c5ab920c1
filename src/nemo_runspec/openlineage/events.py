"""Runs as events of OpenLineage's client, and a whole lineage as the events it would have made."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from nemo_runspec.lineage.model import Lineage, LineageNode
from nemo_runspec.openlineage.runs import (
    Dataset,
    JobName,
    LineageRun,
    run_of_manifests,
    run_uuid,
)
from nemo_runspec.openlineage.settings import namespace as jobs_namespace
from nemo_runspec.optional import optional_import
from nemo_runspec.store.documents import read_manifest
from nemo_runspec.store.model import Manifest
from nemo_runspec.version import VERSION

PRODUCER = f"pkg:pypi/nemo-runspec@{VERSION}"
"""Who made the events, as a package URL, which is a URI."""
DISTRIBUTION = "openlineage-python"

_NEEDED_FOR = "OpenLineage"


class State(str, Enum):
    """What an event says of its run."""

    START = "START"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    ABORT = "ABORT"


def run_event(
    run: LineageRun, state: State, *, at: str | None = None, error: str | None = None
) -> Any:
    """An event of a run.

    Args:
        run: the run.
        state: what happened to it.
        at: when, ISO 8601 with zone; default: now.
        error: of a run that failed: why, without secrets.

    Returns:
        The client's ``RunEvent``.

    Raises:
        MissingPackageError: the client is not installed.
        ValueError: something of the run is not as the client wants it.
    """
    told = _client_module("event_v2")
    return told.RunEvent(
        eventType=told.RunState[state.value],
        eventTime=at or datetime.now(timezone.utc).isoformat(),
        run=told.Run(runId=run.job.run_id, facets=_run_facets(run, error)),
        job=told.Job(namespace=run.job.namespace, name=run.job.name, facets=_job_facets(run)),
        inputs=[
            told.InputDataset(each.name.namespace, each.name.name, facets=_dataset_facets(each))
            for each in run.inputs
        ],
        outputs=[
            told.OutputDataset(each.name.namespace, each.name.name, facets=_dataset_facets(each))
            for each in run.outputs
        ],
        producer=PRODUCER,
    )


def lineage_events(lineage: Lineage) -> list[dict[str, Any]]:
    """The events that the runs of a lineage made, or would have made, in topological order.

    Each run that made a version of it has a START and a COMPLETE. Targets that were never made, and
    data of no store, have none.

    Raises:
        MissingPackageError: the client is not installed.
    """
    to_dict = _client_module("serde").Serde.to_dict
    runs: dict[str, list[Manifest]] = {}
    for node in lineage.nodes:
        manifest = _manifest(node)
        if manifest is not None:
            identity = f"{lineage.store}/{manifest.reference}"
            runs.setdefault(run_uuid(manifest.run.get("id"), identity), []).append(manifest)
    kinds = {node.id: node.type for node in lineage.nodes if node.type is not None}
    events = []
    for made in runs.values():
        run = run_of_manifests(made, lineage.store, jobs_namespace(), kinds=kinds)
        start = run_event(_without_outputs(run), State.START, at=run.started_at)
        events += [start, run_event(run, State.COMPLETE, at=run.ended_at or run.started_at)]
    return [to_dict(event) for event in events]


def _manifest(node: LineageNode) -> Manifest | None:
    if node.version is None or not node.document.get("path"):
        return None
    return read_manifest(node.name, node.version, json.dumps(node.document).encode(), node.id)


def _without_outputs(run: LineageRun) -> LineageRun:
    return replace(run, outputs=(), ended_at=None)


def _run_facets(run: LineageRun, error: str | None) -> dict[str, Any]:
    facets = _client_module("facet_v2")
    found: dict[str, Any] = {
        "nominalTime": facets.nominal_time_run.NominalTimeRunFacet(
            nominalStartTime=run.started_at, nominalEndTime=run.ended_at, producer=PRODUCER
        ),
        "processing_engine": facets.processing_engine_run.ProcessingEngineRunFacet(
            version=VERSION,
            name="nemo-runspec",
            openlineageAdapterVersion=VERSION,
            producer=PRODUCER,
        ),
    }
    if run.parent is not None:
        found["parent"] = _parent(run.parent)
    if run.parameters:
        one = facets.execution_parameters_run.ExecutionParameter
        found["executionParameters"] = facets.execution_parameters_run.ExecutionParametersRunFacet(
            parameters=[one(key=key, value=value) for key, value in run.parameters.items()],
            producer=PRODUCER,
        )
    if error is not None:
        found["errorMessage"] = facets.error_message_run.ErrorMessageRunFacet(
            message=error, programmingLanguage="python", producer=PRODUCER
        )
    return found


def _parent(parent: JobName) -> Any:
    module = _client_module("facet_v2").parent_run
    return module.ParentRunFacet(
        run=module.Run(runId=parent.run_id),
        job=module.Job(namespace=parent.namespace, name=parent.name),
        root=module.Root(
            run=module.RootRun(runId=parent.run_id),
            job=module.RootJob(namespace=parent.namespace, name=parent.name),
        ),
        producer=PRODUCER,
    )


def _job_facets(run: LineageRun) -> dict[str, Any]:
    facets = _client_module("facet_v2")
    found: dict[str, Any] = {
        "jobType": facets.job_type_job.JobTypeJobFacet(
            processingType="BATCH", integration="RUNSPEC", jobType=run.kind, producer=PRODUCER
        )
    }
    if run.owner is not None:
        found["ownership"] = facets.ownership_job.OwnershipJobFacet(
            owners=_owners(facets.ownership_job, run.owner), producer=PRODUCER
        )
    if run.repository is not None:
        location = facets.source_code_location_job.SourceCodeLocationJobFacet
        found["sourceCodeLocation"] = location(
            type="git",
            url=run.repository,
            repoUrl=run.repository,
            path=run.path,
            version=run.commit,
            producer=PRODUCER,
        )
    return found


def _dataset_facets(dataset: Dataset) -> dict[str, Any]:
    facets = _client_module("facet_v2")
    found: dict[str, Any] = {}
    if dataset.version is not None:
        found["version"] = facets.dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=dataset.version, producer=PRODUCER
        )
    if dataset.kind is not None:
        is_model = dataset.kind.lower().startswith("model")
        found["datasetType"] = facets.dataset_type_dataset.DatasetTypeDatasetFacet(
            datasetType="MODEL" if is_model else "FILE", subType=dataset.kind, producer=PRODUCER
        )
    if dataset.uri is not None or dataset.source is not None:
        found["dataSource"] = facets.datasource_dataset.DatasourceDatasetFacet(
            name=dataset.source or dataset.name.namespace, uri=dataset.uri, producer=PRODUCER
        )
    if dataset.owner is not None:
        found["ownership"] = facets.ownership_dataset.OwnershipDatasetFacet(
            owners=_owners(facets.ownership_dataset, dataset.owner), producer=PRODUCER
        )
    if dataset.is_new:
        change = facets.lifecycle_state_change_dataset
        found["lifecycleStateChange"] = change.LifecycleStateChangeDatasetFacet(
            lifecycleStateChange=change.LifecycleStateChange.CREATE, producer=PRODUCER
        )
    return found


def _owners(module: Any, name: str) -> Iterable[Any]:
    return [module.Owner(name=f"user:{name}", type="OWNER")]


def _client_module(name: str) -> Any:
    return optional_import(
        f"openlineage.client.{name}", needed_for=_NEEDED_FOR, distribution=DISTRIBUTION
    )
