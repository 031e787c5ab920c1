"""A tracker of TorchX that keeps its records in a store, beside the versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torchx.tracker.api import Lineage, TrackerArtifact, TrackerBase, TrackerSource

from nemo_runspec.masking import mask_secrets
from nemo_runspec.store import Store
from nemo_runspec.torchx_tracker import recorded
from nemo_runspec.torchx_tracker.records import ARTIFACTS, METADATA, Link, Records

# What a run's record says of others than itself.
_NOT_METADATA = frozenset({"schema", "steps", "versions"})


@dataclass(frozen=True)
class RunLineage(Lineage):
    """What a run was made from, and what was made from it.

    Attributes:
        run_id: the run.
        sources: every link above it: of the run itself, of what it was made from, and so on.
        descendants: every link below it.
    """

    run_id: str
    sources: tuple[Link, ...]
    descendants: tuple[Link, ...]


class StoreTracker(TrackerBase):
    """The tracker: what TorchX was told counts, over what our own jobs recorded of themselves.

    Any number of processes may write; of two that say something of one key, the last one counts.

    Args:
        store: the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records = Records(store.backend)

    def add_artifact(
        self, run_id: str, name: str, path: str, metadata: Mapping[str, object] | None = None
    ) -> None:
        """Note an artifact of a run; of two of the same name, the last one counts."""
        shown = None if metadata is None else mask_secrets(dict(metadata))
        self._records.write(
            run_id, ARTIFACTS, name, {"path": mask_secrets(str(path)), "metadata": shown}
        )

    def artifacts(self, run_id: str) -> Mapping[str, TrackerArtifact]:
        """The artifacts of a run, by name; the versions that it made are ``name:vN``."""
        runs = recorded.read_one(self._store, run_id)
        found = {
            manifest.reference: TrackerArtifact(
                manifest.reference,
                manifest.path,
                {
                    "type": manifest.type,
                    "created_at": manifest.created_at,
                    "content": manifest.content,
                    **manifest.metadata,
                },
            )
            for made in runs.made.values()
            for manifest in made
        }
        for name, said in self._records.read(run_id, ARTIFACTS).items():
            found[name] = TrackerArtifact(name, str(said.get("path")), said.get("metadata"))
        return found

    def add_metadata(self, run_id: str, **kwargs: object) -> None:
        """Note facts of a run; of two of the same key, the last one counts. Secrets are masked."""
        for key, value in kwargs.items():
            self._records.write(run_id, METADATA, key, {"value": mask_secrets({key: value})[key]})

    def metadata(self, run_id: str) -> Mapping[str, object]:
        """The facts of a run; of one that we recorded, also who ran it, when and from what."""
        runs = recorded.read_one(self._store, run_id)
        facts: dict[str, Any] = {}
        for document in runs.documents.values():
            facts.update(
                (key, value)
                for key, value in document.items()
                if value is not None and key not in _NOT_METADATA
            )
        said = self._records.read(run_id, METADATA)
        return {**facts, **{key: each.get("value") for key, each in said.items()}}

    def add_source(self, run_id: str, source_id: str, artifact_name: str | None = None) -> None:
        """Note that a run was made from another one, or from anything else that has an id."""
        self._records.write_source(Link(run_id, source_id, artifact_name or None))

    def sources(self, run_id: str, artifact_name: str | None = None) -> Iterable[TrackerSource]:
        """What a run was made from.

        Args:
            run_id: the run.
            artifact_name: only the links that say this.
        """
        links = [*recorded.read_one(self._store, run_id).links(), *self._records.sources(run_id)]
        return [
            TrackerSource(link.source_id, link.artifact_name)
            for link in dict.fromkeys(links)
            if artifact_name is None or link.artifact_name == artifact_name
        ]

    def lineage(self, run_id: str) -> RunLineage:
        """All that a run was made from, and all that was made from it, transitively."""
        links = self._links()
        above: dict[str, list[Link]] = {}
        below: dict[str, list[Link]] = {}
        for link in links:
            above.setdefault(link.run_id, []).append(link)
            below.setdefault(link.source_id, []).append(link)
        return RunLineage(
            run_id,
            _follow(run_id, above, lambda link: link.source_id),
            _follow(run_id, below, lambda link: link.run_id),
        )

    def run_ids(self, **kwargs: Any) -> Iterable[str]:
        """The ids of the runs, sorted.

        Args:
            kwargs: ``parent_run_id``: only those that were made from this run.

        Raises:
            TypeError: they are asked for by anything else.
        """
        parent = kwargs.pop("parent_run_id", None)
        if kwargs:
            raise TypeError(f"runs cannot be found by {', '.join(kwargs)}; give parent_run_id")
        if parent is None:
            return sorted({*self._records.runs(), *recorded.all_handles(self._store)})
        return sorted({link.run_id for link in self._links() if link.source_id == parent})

    def __repr__(self) -> str:
        return f"StoreTracker({self._store.root!r})"

    def _links(self) -> list[Link]:
        recorded_links = recorded.read_all(self._store).links()
        return list(dict.fromkeys([*recorded_links, *self._records.links()]))


def _follow(start: str, links: Mapping[str, list[Link]], towards: Any) -> tuple[Link, ...]:
    found: dict[Link, None] = {}
    seen, waiting = {start}, [start]
    while waiting:
        for link in links.get(waiting.pop(0), ()):
            found[link] = None
            nearest = towards(link)
            if nearest not in seen:
                seen.add(nearest)
                waiting.append(nearest)
    return tuple(found)
