"""An artifact that was found, and its fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nemo_runspec._names import hint
from nemo_runspec.exceptions import ConfigError


@dataclass(frozen=True)
class ResolvedArtifact:
    """An artifact that was found.

    Attributes:
        name: its name in the store.
        version: the version that the reference meant, ``vN``.
        path: where its data is: a path or a URL.
        type: the class that logged it.
        iteration: the training step of a checkpoint.
        metadata: its ``metadata.json``.
        qualified_name: W&B's name for it, where W&B was asked.
        is_stored: whether it is a version of the store; else W&B alone has it.
    """

    name: str
    version: str
    path: str
    type: str | None = None
    iteration: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    qualified_name: str | None = None
    is_stored: bool = True

    @property
    def reference(self) -> str:
        """``name:vN``; ``wandb://entity/project/name:vN`` for what W&B alone has."""
        if self.is_stored or self.qualified_name is None:
            return f"{self.name}:{self.version}"
        return f"wandb://{self.qualified_name}"


def artifact_field(artifact: ResolvedArtifact, name: str) -> Any:
    """A field of an artifact, in its native type.

    ``metadata.X`` is X in ``metadata.json``. Any other name is looked for among path, version,
    name, type and iteration, then at the top level of ``metadata.json``, then in its
    ``metadata``.

    Raises:
        ConfigError: there is no such field; the message lists those there are.
    """
    nested = artifact.metadata.get("metadata")
    inner = nested if isinstance(nested, Mapping) else {}
    own = {
        "path": artifact.path,
        "version": artifact.version,
        "name": artifact.name,
        "type": artifact.type,
        "iteration": artifact.iteration,
    }
    facts = {key: value for key, value in own.items() if value is not None}
    prefix, _, rest = name.partition(".")
    layers = [artifact.metadata, inner] if prefix == "metadata" and rest else []
    wanted = rest if layers else name
    for layer in layers or [facts, artifact.metadata, inner]:
        if wanted in layer:
            return layer[wanted]
    known = {*facts, *map(str, artifact.metadata), *map(str, inner)} - {"metadata"}
    raise ConfigError(
        f"artifact '{artifact.name}:{artifact.version}' has no field {name!r}; "
        f"{hint(wanted, known, kind='Fields')}"
    )
