"""A job's run and a pipeline's, as OpenLineage speaks of runs, before they are events."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nemo_runspec.artifacts.job_context import JobContext, JobInput
from nemo_runspec.masking import mask_secrets
from nemo_runspec.openlineage.naming import DatasetName, artifact_name, uri_name
from nemo_runspec.store.model import Manifest
from nemo_runspec.store.names import parse_artifact_reference

RECIPE = "RECIPE"
PIPELINE = "PIPELINE"

# What a run was started with, among the facts of it.
_PARAMETERS = ("profile", "nodes", "gpus", "host", "bundle", "commit", "dirty", "key", "element")


@dataclass(frozen=True)
class JobName:
    """A job and its run.

    Attributes:
        run_id: a UUID as text.
        namespace: the jobs' namespace.
        name: what the job is called: an address.
    """

    run_id: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Dataset:
    """A version, an artifact whose version is not known yet, or data of no store.

    Attributes:
        name: what it is called.
        version: ``vN``, if it is known.
        kind: the class that logged it; None of data of no store.
        uri: where the data is, secrets masked.
        source: the store's root; None of data of no store.
        owner: who made it.
        is_new: whether the run that tells of it made it.
    """

    name: DatasetName
    version: str | None = None
    kind: str | None = None
    uri: str | None = None
    source: str | None = None
    owner: str | None = None
    is_new: bool = False


@dataclass(frozen=True)
class LineageRun:
    """A run and what is known of it.

    Attributes:
        job: which.
        kind: :data:`RECIPE` or :data:`PIPELINE`.
        started_at: ISO 8601 with zone.
        ended_at: the same, once it has ended.
        parent: the pipeline that it is part of.
        owner: who runs it.
        commit: of the working tree.
        path: the folder of its code in the repository.
        repository: the repository's URL, without secrets.
        parameters: what it was started with.
        inputs: what it reads.
        outputs: what it makes.
    """

    job: JobName
    kind: str
    started_at: str
    ended_at: str | None = None
    parent: JobName | None = None
    owner: str | None = None
    commit: str | None = None
    path: str | None = None
    repository: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()


def run_of_context(
    context: JobContext,
    namespace: str,
    *,
    parent: JobName | None = None,
    repository: str | None = None,
) -> LineageRun:
    """The run of a job, as it was told of itself before it started.

    Args:
        context: the job's.
        namespace: the jobs' namespace.
        parent: the pipeline that it is part of.
        repository: the repository's URL.
    """
    root = context.root or ""
    used = dict.fromkeys(
        (each.name, each.version) for each in (*context.input_list, *context.inputs.values())
    )
    inputs = {(e.name, e.version): e for e in (*context.input_list, *context.inputs.values())}
    promised = (
        (Dataset(artifact_name(root, context.artifact), source=root),) if context.artifact else ()
    )
    facts = {**context.run, "key": context.key, "element": context.element}
    return _run(
        facts,
        namespace,
        fallback=context.artifact or "job",
        parent=parent,
        repository=repository,
        inputs=tuple(_input(root, inputs[one]) for one in used),
        outputs=promised,
    )


def run_of_manifests(
    manifests: Iterable[Manifest],
    root: str,
    namespace: str,
    *,
    kinds: Mapping[str, str] | None = None,
    parent: JobName | None = None,
    repository: str | None = None,
) -> LineageRun:
    """The run that made some versions, as their manifests have it.

    Args:
        manifests: of versions that one run made; at least one.
        root: the store's root.
        namespace: the jobs' namespace.
        kinds: the class of each version that was used, by reference, as far as that is known.
        parent: the pipeline that it was part of.
        repository: the repository's URL.
    """
    made = list(manifests)
    first = made[0]
    types = kinds or {}
    used = dict.fromkeys(text for each in made for text in each.used_artifacts)
    outside = dict.fromkeys(uri for each in made for uri in each.inputs)
    facts = {**first.run, "key": first.key, "element": first.extra.get("element")}
    facts.setdefault("started_at", first.created_at)
    facts.setdefault("ended_at", max(each.created_at for each in made))
    return _run(
        facts,
        namespace,
        fallback=first.name,
        identity=f"{root}/{first.reference}",
        parent=parent,
        repository=repository,
        inputs=(
            *(_used(root, text, types.get(text)) for text in used),
            *(Dataset(uri_name(uri), uri=str(mask_secrets(uri))) for uri in outside),
        ),
        outputs=tuple(_output(root, each) for each in made),
    )


def run_uuid(run_id: Any, identity: str) -> str:
    """A run's id as a UUID: the id itself where it is one, else the one that `identity` gives."""
    try:
        return str(uuid.UUID(str(run_id)))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, identity))


def _run(
    facts: Mapping[str, Any],
    namespace: str,
    *,
    fallback: str,
    parent: JobName | None,
    repository: str | None,
    inputs: tuple[Dataset, ...],
    outputs: tuple[Dataset, ...],
    identity: str = "",
) -> LineageRun:
    name = str(facts.get("address") or facts.get("recipe") or fallback)
    recipe = str(facts.get("recipe") or facts.get("address") or "")
    return LineageRun(
        JobName(run_uuid(facts.get("id"), identity or fallback), namespace, name),
        RECIPE,
        started_at=str(facts["started_at"]),
        ended_at=_text(facts.get("ended_at")),
        parent=parent,
        owner=_text(facts.get("user")),
        commit=_text(facts.get("commit")),
        path=recipe.removeprefix("//").partition(":")[0] or None,
        repository=repository,
        parameters={
            key: str(mask_secrets(facts[key])) for key in _PARAMETERS if facts.get(key) is not None
        },
        inputs=inputs,
        outputs=outputs,
    )


def _input(root: str, item: JobInput) -> Dataset:
    return Dataset(
        artifact_name(root, item.name),
        version=f"v{item.version}",
        kind=item.type,
        uri=str(mask_secrets(item.path)),
        source=root,
    )


def _output(root: str, manifest: Manifest) -> Dataset:
    return Dataset(
        artifact_name(root, manifest.name),
        version=f"v{manifest.version}",
        kind=manifest.type,
        uri=str(mask_secrets(manifest.path)),
        source=root,
        owner=_text(manifest.run.get("user")),
        is_new=True,
    )


def _used(root: str, text: str, kind: str | None) -> Dataset:
    reference = parse_artifact_reference(text)
    return Dataset(
        artifact_name(root, reference.name), version=reference.version, kind=kind, source=root
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
