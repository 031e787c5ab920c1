"""The inputs of a job, all at once: what a join works with."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, overload

from nemo_runspec.artifacts.job_context import MissingInput, job_context
from nemo_runspec.artifacts.references import ResolvedArtifact
from nemo_runspec.artifacts.resolver import registered_artifacts
from nemo_runspec.artifacts.types import Artifact, artifact_of
from nemo_runspec.artifacts.view import (
    TrackingOffError,
    active_view,
    note_use,
    resolved,
    resolved_input,
)
from nemo_runspec.exceptions import (
    ArtifactError,
    ArtifactNotFoundError,
    ArtifactVersionNotFoundError,
)
from nemo_runspec.store.model import Manifest
from nemo_runspec.store.names import parse_artifact_reference

_logger = logging.getLogger(__name__)

# Who logged it, when and where to: nothing that one would collect.
_PROVENANCE = frozenset({"created_at", "metadata", "producer", "tracking"})


class InputsError(ArtifactError):
    """The inputs of a job are not what its script expects."""


@dataclass(frozen=True)
class Inputs(Sequence[Artifact]):
    """The inputs of a job, in order of declaration.

    Attributes:
        artifacts: those that are there.
        missing: those that the job goes on without, and why.
    """

    artifacts: tuple[Artifact, ...]
    missing: tuple[MissingInput, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Artifact: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Artifact, ...]: ...

    def __getitem__(self, index: int | slice) -> Artifact | tuple[Artifact, ...]:
        return self.artifacts[index]

    def __len__(self) -> int:
        return len(self.artifacts)

    def __iter__(self) -> Iterator[Artifact]:
        return iter(self.artifacts)


def load_inputs() -> Inputs:
    """The inputs of this job as artifacts, in order of declaration.

    In a planned job they are what its target declares: each member of a generator too. Elsewhere
    they are what the config's ``run`` section names, once ``setup_artifact_tracking`` has read it.
    A fan-out (``foreach``) is the versions of its elements, in the list's order.

    Returns:
        The inputs; what could not be made is in ``missing``, and said.

    Raises:
        InputsError: nobody said what the inputs are.
        ArtifactError: one of the config's cannot be found.
        StoreError: the store, which says what a fan-out's elements are, cannot be read.
    """
    context = job_context()
    if context is not None:
        for missing in context.missing:
            _logger.warning("input %s is missing: %s", missing.name, missing.reason)
        found = [resolved_input(item) for item in context.input_list or context.inputs.values()]
        missing_ones = context.missing
    else:
        found, missing_ones = registered_artifacts(), ()
        if not found:
            raise InputsError(
                "this script has no inputs: run it as an artifact's recipe, or name artifacts in "
                "the config's run section and call setup_artifact_tracking(config) first"
            )
    branches: list[ResolvedArtifact] = []
    for item in found:
        note_use(item.reference)
        elements, absent = _elements(item)
        branches += elements
        missing_ones = (*missing_ones, *absent)
    return Inputs(tuple(artifact_of(item) for item in branches), missing_ones)


def _elements(item: ResolvedArtifact) -> tuple[list[ResolvedArtifact], list[MissingInput]]:
    """The versions that a fan-out's gathered, and those that it is without; else the item alone."""
    fields = item.metadata.get("metadata")
    if "elements" not in (fields if isinstance(fields, Mapping) else item.metadata):
        return [item], []
    try:
        store = active_view().store
        gathered = store.manifest(item.name, int(item.version.removeprefix("v")))
    except (TrackingOffError, ArtifactNotFoundError, ArtifactVersionNotFoundError):
        return [item], []  # W&B alone has it; fan-outs are in a store
    references = gathered.extra.get("elements")
    if references is None:
        return [item], []  # a script called a field of its own that
    parsed = [parse_artifact_reference(text) for text in references]
    wanted = [(one.name, one.number or 0) for one in parsed]
    manifests = store.manifests(wanted)
    found = [manifests.get(one) or store.manifest(*one) for one in wanted]
    absent = [
        MissingInput(each["name"], each["reason"]) for each in gathered.extra.get("missing", ())
    ]
    for each in absent:
        _logger.warning("input %s is missing: %s", each.name, each.reason)
    return [resolved(one, _document(one)) for one in found], absent


def _document(manifest: Manifest) -> dict[str, Any]:
    """What ``metadata.json`` says, as the manifest has it: so that one request reads them all."""
    return {
        **manifest.metadata,
        "type": manifest.type,
        "metadata": manifest.metadata,
        "created_at": manifest.created_at,
        "producer": manifest.producer,
    }


@overload
def merge_artifacts(inputs: Sequence[Any], /) -> SimpleNamespace: ...


@overload
def merge_artifacts(target: Any, inputs: Sequence[Any], /) -> SimpleNamespace: ...


def merge_artifacts(*arguments: Any) -> SimpleNamespace:
    """Collect the fields of several inputs into lists, one value for each input, in their order.

        merged = merge_artifacts(inputs)        # merged.final_loss == [2.1, 1.9]
        merge_artifacts(self, inputs)           # self.final_loss == [2.1, 1.9]

    Args:
        target: what is given the lists as attributes; may be left out.
        inputs: artifacts, mappings, or any objects with attributes.

    Returns:
        The lists by field.

    Raises:
        InputsError: there are no inputs, or a field is missing in one of them.
        TypeError: not one or two arguments.
    """
    if not 1 <= len(arguments) <= 2:
        raise TypeError("merge_artifacts takes (inputs) or (self, inputs)")
    branches = list(arguments[-1])
    if not branches:
        raise InputsError("there are no inputs to merge")
    fields = [_fields(branch) for branch in branches]
    merged: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for branch in fields for name in branch):
        without = [n for n, branch in enumerate(fields) if name not in branch]
        if without:
            raise InputsError(
                f"{name!r} is missing in {_label(branches[without[0]], without[0])}; give every "
                "input the field, or collect it by hand: "
                f"[getattr(item, {name!r}, None) for item in inputs]"
            )
        merged[name] = [branch[name] for branch in fields]
    if len(arguments) == 2:
        for name, values in merged.items():
            setattr(arguments[0], name, values)
    return SimpleNamespace(**merged)


def _fields(branch: Any) -> dict[str, Any]:
    if isinstance(branch, Artifact):
        # Optional fields count as there: they are declared by the class.
        own = {
            name: getattr(branch, name)
            for name in type(branch).model_fields
            if name not in _PROVENANCE
        }
        name = branch.name if branch.uri is None else branch._name
        return {**own, **branch.metadata, "name": name, "version": branch.version}
    if isinstance(branch, Mapping):
        return {str(key): value for key, value in branch.items()}
    try:
        public = vars(branch)
    except TypeError as error:
        raise InputsError(f"{branch!r} has no fields to merge") from error
    return {key: value for key, value in public.items() if not key.startswith("_")}


def _label(branch: Any, index: int) -> str:
    uri = branch.uri if isinstance(branch, Artifact) else None
    return f"input {index}" + (f" ({uri})" if uri else "")
