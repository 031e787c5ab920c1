"""The key of a build: a digest of everything that decides what it makes.

The canonical form stands in ``docs/key.md`` with test vectors; a change of it is a change of
:data:`FORM`, for every key of every store changes with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

FORM = "runspec-key-1"

# One for all: json.dumps makes a new one for each call.
_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
)


@dataclass(frozen=True)
class InputPart:
    """An input as it counts.

    Attributes:
        key: the key of the config's ``run`` section that names it; None when the target alone does.
        name: the artifact's name.
        identity: what it is taken for (:attr:`nemo_runspec.store.Manifest.identity`); None when
            the job goes on without it.
    """

    key: str | None
    name: str
    identity: str | None


@dataclass(frozen=True)
class KeyParts:
    """What a key is made of.

    Attributes:
        recipe: address of the recipe.
        code: digest of its first-party sources.
        environment: ``requirements`` (digest of the locked subset), ``constraints`` (of the
            interpreter), ``inherit_path`` and ``image``: the one that really runs, None without.
        command: ``launch``, ``cmd``, ``workdir`` and ``passthrough``.
        env: the variables that the recipe declares, secrets left out.
        inputs: in order of declaration.
        config: the composed config, as canonical JSON (:func:`canonical_json`).
        external: (uri as written, fingerprint) of each external input, in order.
        output: ``path`` and ``type``, where the target names an output: what is recorded of a
            script that logs nothing itself.
        element: the element of a fan-out that the build is for, as JSON-able data.
    """

    recipe: str
    code: str
    environment: Mapping[str, Any]
    command: Mapping[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[InputPart, ...] = ()
    config: str = "{}"
    external: tuple[tuple[str, str], ...] = ()
    output: Mapping[str, Any] = field(default_factory=dict)
    element: Any = None

    def with_inputs(self, inputs: tuple[InputPart, ...], element: Any = None) -> KeyParts:
        """The same build with these inputs, and for this element."""
        return replace(self, inputs=inputs, element=element)

    def document(self) -> dict[str, Any]:
        """The parts as a manifest keeps them: plain data for JSON."""
        document = self._rest()
        document["config"] = json.loads(self.config)
        return document

    @cached_property
    def canonical(self) -> str:
        """The text whose digest is the key, the same as ``canonical_json([FORM, document()])``."""
        # The config is canonical already, and by far the longest: it is put in as it is.
        members = {key: canonical_json(value) for key, value in self._rest().items()}
        members["config"] = self.config
        inside = ",".join(f'"{key}":{members[key]}' for key in sorted(members))
        return f'["{FORM}",{{{inside}}}]'

    def _rest(self) -> dict[str, Any]:
        rest: dict[str, Any] = {
            "code": self.code,
            "command": dict(self.command),
            "env": dict(self.env),
            "environment": dict(self.environment),
            "external": [list(each) for each in self.external],
            "inputs": [[each.key, each.name, each.identity] for each in self.inputs],
            "recipe": self.recipe,
        }
        if self.output:
            rest["output"] = dict(self.output)
        if self.element is not None:
            rest["element"] = self.element
        return rest


@dataclass(frozen=True)
class GatherParts:
    """What the key of a fan-out's gathered version is made of: its elements, in list order.

    Attributes:
        recipe: address of the recipe that made the elements.
        elements: (digest of the element, identity of its version); None for one that the gather
            goes on without.
    """

    recipe: str
    elements: tuple[tuple[str, str | None], ...]

    def document(self) -> dict[str, Any]:
        """The parts as a manifest keeps them: plain data for JSON."""
        return {"recipe": self.recipe, "elements": [list(each) for each in self.elements]}

    @property
    def canonical(self) -> str:
        """The text whose digest is the key."""
        return canonical_json([FORM, self.document()])


Parts = KeyParts | GatherParts


def key_of(parts: Parts) -> str:
    """The key: SHA-256 of the parts' canonical form, 64 hexadecimal digits."""
    return hashlib.sha256(parts.canonical.encode("ascii")).hexdigest()


def canonical_json(value: Any) -> str:
    """One text for one value: ASCII, keys sorted, no spaces, no NaN.

    Args:
        value: plain data for JSON (see :func:`as_json`).

    Raises:
        ValueError: a number that JSON has not.
    """
    return _ENCODER.encode(value)


def as_json(value: Any) -> Any:
    """Data of a config as JSON can hold it, different values kept apart.

    A key that is no text becomes ``<int 1>``, a value that JSON has not ``<float nan>``.
    """
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, str) else _tagged(key): as_json(item)
            for key, item in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [as_json(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and value - value == 0:  # neither infinite nor NaN
        return value
    return _tagged(value)


def _tagged(value: Any) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return f"<{type(value).__name__} {text}>"
