"""The elements of a fan-out over a list that is known at run time alone.

``foreach = "data:shards"`` takes the list ``shards`` from the metadata of the input ``data``; each
element is a build of its own, cached by what the element is, wherever in the list it stands:

- an element that names data (a file of the input, another path or URL; or a mapping with such a
  value) counts with that data's content, one with a ``sha256``, ``digest`` or ``etag`` of its own
  with that. It stands for the input: when other elements change, this one does not run again;
- any other element (a number, a language) counts together with the whole input.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nemo_runspec._names import hint
from nemo_runspec.exceptions import ConfigError
from nemo_runspec.pipeline.key import as_json, canonical_json
from nemo_runspec.store.names import parse_artifact_reference
from nemo_runspec.utils import url_scheme
from runspec.plan import PlanArtifact, PlanInput

_STATED = frozenset({"digest", "etag", "sha256"})
_INPUT = "<input>"
_DIGITS = 8


class ForeachError(ConfigError):
    """A ``foreach`` does not name a list."""


@dataclass(frozen=True)
class ElementTask:
    """One element of a fan-out, and the build that it asks for.

    Attributes:
        address: the target's address.
        name: the artifact's name: the target's, ``/`` and eight digits of the element's digest.
            Elements that are equal share it, and the key.
        index: where it stands in the list; no part of the key.
        value: the element as the metadata has it.
        digest: SHA-256 of the element, the input's own path left out.
        evidence: what of it counts in the key: its value and its data's fingerprints.
        stands_for_input: it counts instead of the input whose list it is in.
    """

    address: str
    name: str
    index: int
    value: Any
    digest: str
    evidence: Any
    stands_for_input: bool


def foreach_input(artifact: PlanArtifact) -> PlanInput:
    """The input whose metadata has the list.

    Raises:
        ForeachError: no input goes by that key or name.
    """
    key, _ = _split(artifact)
    named = {each.key: each for each in artifact.inputs if each.key is not None}
    by_name = {parse_artifact_reference(each.reference).name: each for each in artifact.inputs}
    found = named.get(key) or by_name.get(key)
    if found is None:
        raise ForeachError(
            f"{artifact.address}: foreach = {artifact.foreach!r}: no input is called {key!r}; "
            f"{hint(key, [*named, *by_name], kind='Inputs')}"
        )
    return found


def elements_of(
    artifact: PlanArtifact,
    metadata: Mapping[str, Any],
    path: str,
    fingerprint: Callable[[str], str | None],
) -> tuple[ElementTask, ...]:
    """The elements of a fan-out, in list order.

    Args:
        artifact: the target.
        metadata: the input's ``metadata.json``.
        path: where the input's data is.
        fingerprint: tells the fingerprint of the data at a path or URL; None when there is none.

    Raises:
        ForeachError: the field is missing, or no list.
    """
    values = _list(artifact, metadata)
    return tuple(_task(artifact, n, value, path, fingerprint) for n, value in enumerate(values))


def _split(artifact: PlanArtifact) -> tuple[str, str]:
    key, colon, field = (artifact.foreach or "").partition(":")
    if not key or not colon or not field:
        raise ForeachError(
            f"{artifact.address}: foreach = {artifact.foreach!r} is not of the form KEY:FIELD, "
            'such as "data:shards"'
        )
    return key, field


def _list(artifact: PlanArtifact, metadata: Mapping[str, Any]) -> list[Any]:
    key, field = _split(artifact)
    inner = metadata.get("metadata")
    nested: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}
    wanted = field.removeprefix("metadata.")
    for layer in (metadata, nested):
        if wanted in layer:
            value = layer[wanted]
            if isinstance(value, list):
                return value
            raise ForeachError(
                f"{artifact.address}: foreach = {artifact.foreach!r}: {wanted} of {key} is no "
                f"list but {type(value).__name__}"
            )
    known = [*(name for name in metadata if name != "metadata"), *nested]
    raise ForeachError(
        f"{artifact.address}: foreach = {artifact.foreach!r}: {key} has no field {wanted!r}; "
        f"{hint(wanted, map(str, known), kind='Fields')}"
    )


def _task(
    artifact: PlanArtifact,
    index: int,
    value: Any,
    path: str,
    fingerprint: Callable[[str], str | None],
) -> ElementTask:
    plain = as_json(value)
    counted = _without(plain, path.rstrip("/"))
    digest = hashlib.sha256(canonical_json(counted).encode("ascii")).hexdigest()
    content = [
        [_without(text, path.rstrip("/")), found]
        for text in _texts(plain)
        if (found := fingerprint(_located(text, path))) is not None
    ]
    stated = isinstance(plain, Mapping) and not _STATED.isdisjoint(plain)
    evidence = {"value": counted, "content": content}
    return ElementTask(
        address=artifact.address,
        name=f"{artifact.name}/{digest[:_DIGITS]}",
        index=index,
        value=value,
        digest=digest,
        evidence=evidence,
        stands_for_input=bool(content) or stated,
    )


def _texts(value: Any) -> Iterator[str]:
    """The texts that may name data: the element itself, or the values of a mapping."""
    values = value.values() if isinstance(value, Mapping) else [value]
    return (each for each in values if isinstance(each, str) and each and "\0" not in each)


def _located(text: str, path: str) -> str:
    if url_scheme(text) is not None or os.path.isabs(text):
        return text
    return f"{path.rstrip('/')}/{text}"


def _without(value: Any, path: str) -> Any:
    """The value with the input's own path, which another build does not share, left out."""
    if isinstance(value, Mapping):
        return {key: _without(item, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_without(item, path) for item in value]
    if isinstance(value, str) and path and (value == path or value.startswith(f"{path}/")):
        return _INPUT + value[len(path) :]
    return value
