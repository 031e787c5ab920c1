"""Artifacts and their versions, to look at."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nemo_runspec._names import hint
from nemo_runspec.artifacts.cards import Card, cards_of
from nemo_runspec.artifacts.metrics import METRICS, Series, last_values, read_metrics
from nemo_runspec.artifacts.view import StoreView, note_use, resolved
from nemo_runspec.client import html
from nemo_runspec.client.place import ClientError
from nemo_runspec.store.lineage import Revocations, made_from
from nemo_runspec.store.model import Manifest, Tombstone
from nemo_runspec.store.survey import survey
from nemo_runspec.store_admin.text import human_time

if TYPE_CHECKING:
    from nemo_runspec.client.lineage import VersionLineage

T = TypeVar("T", bound="html.Shown")

_NUMBER = re.compile(r"v?([0-9]{1,18})")


class Listing(tuple[T, ...], Generic[T]):
    """Several of a kind, shown as a table in a notebook."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return html.table([each.row() for each in self])


@dataclass(frozen=True, repr=False)
class Data:
    """What a version holds, as attributes: ``version.data.final_loss``.

    The fields of its metadata; of a value (``save_value``) also ``value``, and the keys of a dict;
    and ``path``.
    """

    _version: Version

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        known = self._version.metadata
        if name in known:
            return known[name]
        if name == "path":
            return self._version.path
        if self._version.is_value:
            value = self._version.load()
            if name == "value":
                return value
            if isinstance(value, Mapping) and name in value:
                return value[name]
        raise AttributeError(
            f"{self._version.reference} has no field {name!r}; "
            f"{hint(name, dir(self), kind='Fields')}"
        )

    def __dir__(self) -> list[str]:
        more = ["path", *(["value"] if self._version.is_value else [])]
        return sorted({*map(str, self._version.metadata), *more})

    def __repr__(self) -> str:
        return f"<data of {self._version.reference}: {', '.join(dir(self))}>"


@dataclass(frozen=True, repr=False)
class Version:
    """One version of an artifact.

    Attributes:
        manifest: its ``manifest.json``.
    """

    manifest: Manifest
    _view: StoreView = field(repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<{self.type} {self.reference}>"

    def __hash__(self) -> int:
        return hash((self._view.root, self.reference))

    @property
    def name(self) -> str:
        """The artifact's name in the store."""
        return self.manifest.name

    @property
    def number(self) -> int:
        """N of ``vN``."""
        return self.manifest.version

    @property
    def reference(self) -> str:
        """``name:vN``."""
        return self.manifest.reference

    @property
    def type(self) -> str:
        """The class that logged it."""
        return self.manifest.type

    @property
    def is_value(self) -> bool:
        """Whether it is an object that ``save_value`` wrote."""
        return self.type == "ValueArtifact"

    @property
    def path(self) -> str:
        """Where its data is: a path or a URL."""
        return self.manifest.path

    @property
    def created_at(self) -> str:
        """When, ISO 8601 with zone."""
        return self.manifest.created_at

    @property
    def run(self) -> Mapping[str, Any]:
        """The facts of its job: user, host, commit, dirty, recipe, address, started_at …"""
        return self.manifest.run

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The artifact's own fields."""
        return self.manifest.metadata

    @property
    def data(self) -> Data:
        """Its fields, as attributes."""
        return Data(self)

    @functools.cached_property
    def series(self) -> Mapping[str, Series]:
        """What its job logged by ``log_metric``: by name (step, value, when) in order."""
        return read_metrics(self._attached.get(METRICS))

    @property
    def metrics(self) -> Mapping[str, float]:
        """Numbers by name: those of its metadata, and the last of each series."""
        numbers = {
            key: float(value)
            for key, value in self.metadata.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        return {**numbers, **last_values(self.series)}

    @property
    def cards(self) -> tuple[Card, ...]:
        """The pages that its job wrote by ``card``."""
        return cards_of(self._attached)

    @property
    def inputs(self) -> Listing[Version]:
        """The versions that it was made from, as far as this store has them."""
        found = self._view.store.manifests(made_from(self.manifest))
        ordered = (found[one] for one in made_from(self.manifest) if one in found)
        return Listing(Version(each, self._view) for each in ordered)

    @property
    def used_by(self) -> Listing[Version]:
        """The versions that were made from it; reads the manifests of the whole store."""
        own = (self.name, self.number)
        found = self._view.store.manifests(survey(self._view.store).versions)
        below = sorted(one for one, manifest in found.items() if own in made_from(manifest))
        return Listing(Version(found[one], self._view) for one in below)

    @property
    def aliases(self) -> tuple[str, ...]:
        """The aliases that mean it now."""
        found = self._view.store.aliases(self.name)
        return tuple(sorted(alias for alias, number in found.items() if number == self.number))

    @property
    def revoked(self) -> Tombstone | None:
        """Why it, or one that it was made from, must not be used; None when it may."""
        found = Revocations(self._view.store).find(self.name, self.number)
        return None if found is None else found.tombstone

    @property
    def gone(self) -> str | None:
        """Why its data is not there any more; None when nobody marked it."""
        return self._view.store.gone(self.name, self.number)

    def load(self, *, serializer: str | None = None) -> Any:
        """The artifact: an object of its class, or the value that ``save_value`` wrote.

        It counts as used by what this process logs.

        Args:
            serializer: ``"pickle"`` to read a pickle, which runs the code in it.

        Raises:
            ArtifactRevokedError: it, or one that it was made from, was revoked.
            ArtifactError: it does not fit its class, or is a pickle that was not asked for.
        """
        from nemo_runspec.artifacts.types import artifact_of
        from nemo_runspec.artifacts.values import value_of

        store = self._view.store
        Revocations(store).check(self.name, self.number)
        found = resolved(self.manifest, store.metadata(self.name, self.number))
        note_use(self.reference)
        if self.is_value:
            return value_of(found, self._view.storage_options, serializer=serializer)
        return artifact_of(found)

    def lineage(self, direction: str = "upstream") -> VersionLineage:
        """What it was made from, what was made from it, or both; printed it is a tree.

        Args:
            direction: ``upstream``, ``downstream`` or ``both``.

        Raises:
            ClientError: it is none of them.
        """
        from nemo_runspec.client.lineage import lineage_of
        from nemo_runspec.lineage.recorded import DIRECTIONS

        if direction not in DIRECTIONS:
            raise ClientError(f"there is no direction {direction!r}; {hint(direction, DIRECTIONS)}")
        return lineage_of(self._view.store, (self.name, self.number), direction)

    @functools.cached_property
    def _attached(self) -> Mapping[str, bytes]:
        return self._view.store.attached(self.name, self.number)

    def row(self) -> Mapping[str, str]:
        """What stands of it in a table."""
        return {
            "version": self.reference,
            "type": self.type,
            "created": human_time(self.created_at),
            "by": str(self.run.get("user") or ""),
            "path": self.path,
        }

    def _repr_html_(self) -> str:
        facts = {
            "type": self.type,
            "path": self.path,
            "created": human_time(self.created_at),
            "by": "@".join(str(self.run[key]) for key in ("user", "host") if self.run.get(key)),
            "recipe": self.run.get("recipe"),
            "commit": self.run.get("commit"),
            "aliases": ", ".join(self.aliases),
            "inputs": ", ".join(self.manifest.used_artifacts),
            **{f"metric {name}": html.number(value) for name, value in self.metrics.items()},
            **{
                f"metadata {key}": value
                for key, value in self.metadata.items()
                if key not in self.metrics
            },
            "cards": ", ".join(each.title for each in self.cards),
        }
        return html.facts(self.reference, facts)


@dataclass(frozen=True, repr=False)
class NamedArtifact:
    """An artifact: all versions of one name.

    Attributes:
        name: its name in the store.
    """

    name: str
    _view: StoreView = field(repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<artifact {self.name}>"

    @property
    def latest(self) -> Version:
        """Its highest version, revoked or not."""
        found = self._view.store.latest_manifests([self.name])
        return Version(found[self.name], self._view)

    @property
    def versions(self) -> Listing[Version]:
        """All its versions, the newest first."""
        store = self._view.store
        found = store.manifests([(self.name, number) for number in store.versions(self.name)])
        return Listing(Version(found[one], self._view) for one in sorted(found, reverse=True))

    @property
    def aliases(self) -> Mapping[str, Version]:
        """The version that each alias means."""
        found = sorted(self._view.store.aliases(self.name).items())
        return {alias: self.version(number) for alias, number in found}

    def version(self, which: int | str) -> Version:
        """One of its versions.

        Args:
            which: ``3``, ``"v3"``, ``"latest"`` or an alias.

        Raises:
            ArtifactVersionNotFoundError: it has none such; the message says which there are.
        """
        if which == "latest":
            return self.latest
        store = self._view.store
        match = _NUMBER.fullmatch(str(which))
        if match is not None:
            return Version(store.manifest(self.name, int(match[1])), self._view)
        aliases = store.aliases(self.name)
        if which not in aliases:
            known = hint(str(which), [*aliases, "latest"], kind="Aliases")
            raise ClientError(f"{self.name} has no alias {which!r} in {store.root}; {known}")
        return Version(store.manifest(self.name, aliases[str(which)]), self._view)

    def __getitem__(self, which: int | str) -> Version:
        return self.version(which)

    def __iter__(self) -> Iterator[Version]:
        return iter(self.versions)

    def __len__(self) -> int:
        return len(self._view.store.versions(self.name))

    def row(self) -> Mapping[str, str]:
        """What stands of it in a table."""
        latest = self.latest
        return {
            "artifact": self.name,
            "latest": f"v{latest.number}",
            "type": latest.type,
            "created": human_time(latest.created_at),
            "by": str(latest.run.get("user") or ""),
        }

    def _repr_html_(self) -> str:
        aliases = self._view.store.aliases(self.name)
        meaning = {
            number: ", ".join(sorted(a for a, n in aliases.items() if n == number))
            for number in aliases.values()
        }
        rows = [{**one.row(), "aliases": meaning.get(one.number, "")} for one in self.versions]
        return html.table(rows, title=self.name)
