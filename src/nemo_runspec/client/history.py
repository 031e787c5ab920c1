"""Runs: a pipeline, or a job that was run by hand, and what each step of it made."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nemo_runspec._names import hint
from nemo_runspec.artifacts.view import StoreView
from nemo_runspec.client import html
from nemo_runspec.client.place import ClientError
from nemo_runspec.client.versions import Data, Listing, Version
from nemo_runspec.exceptions import ConfigError
from nemo_runspec.store.names import parse_artifact_reference
from nemo_runspec.store_admin.text import human_time, parse_time

_PIPELINE = "pipeline"
# Answers that ranks of a job leave each other lie beside the records of runs.
_NO_RUN = "resolved-"


@dataclass(frozen=True, repr=False)
class Step:
    """One artifact of a run.

    Attributes:
        reference: ``name:vN`` of its version.
        recipe: the recipe's address; None where that was not recorded.
        address: the artifact target's; None for a job that was run by hand.
        was_built: whether the run made it; else it was fresh already.
        facts: the record of its job; empty for what was fresh.
    """

    reference: str
    recipe: str | None
    address: str | None
    was_built: bool
    facts: Mapping[str, Any]
    _view: StoreView = field(repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<step {self.name}: {self.reference}{'' if self.was_built else ', was fresh'}>"

    @property
    def name(self) -> str:
        """The artifact's name in the store."""
        return self.reference.rpartition(":")[0]

    @functools.cached_property
    def version(self) -> Version:
        """The version that the run made or found.

        Raises:
            ArtifactVersionNotFoundError: the store has it no more.
        """
        name, _, number = self.reference.rpartition(":v")
        return Version(self._view.store.manifest(name, int(number)), self._view)

    @property
    def data(self) -> Data:
        """What it holds, as attributes: ``run["train"].data.final_loss``."""
        return self.version.data

    def names(self) -> tuple[str, ...]:
        """What it can be called in ``run[…]``: by artifact, target or recipe, whole or the end."""
        whole = [self.name, *(each for each in (self.address, self.recipe) if each)]
        ends = [re.split(r"[/:]", each)[-1].removesuffix(".artifact") for each in whole]
        return tuple(dict.fromkeys([*whole, *ends]))

    def row(self) -> Mapping[str, str]:
        """What stands of it in a table."""
        return {
            "step": self.name,
            "version": f"v{self.reference.rpartition(':v')[2]}",
            "recipe": self.recipe or "",
            "built": "built" if self.was_built else "was fresh",
        }


@dataclass(frozen=True, repr=False)
class Run:
    """One `materialize` (``pants materialize``), or one job that was run by hand.

    Attributes:
        id: of its record in the store.
        facts: the record: user, host, commit, dirty, profile, started_at, ended_at, exit_code …
        steps: the artifacts that it was about, in order; of one that still runs, those made so far.
    """

    id: str
    facts: Mapping[str, Any]
    steps: Listing[Step]

    def __repr__(self) -> str:
        names = ", ".join(each.name for each in self.steps[:5])
        return f"<run {self.id}: {names}{', …' if len(self.steps) > 5 else ''}>"

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def is_pipeline(self) -> bool:
        """Whether it brought a graph of artifacts up to date; else it was one job."""
        return self.facts.get("kind") == _PIPELINE

    @property
    def started_at(self) -> str:
        """When, ISO 8601 with zone."""
        return str(self.facts.get("started_at") or "")

    @property
    def ended_at(self) -> str | None:
        """When, ISO 8601 with zone; None while it runs, and where it was killed."""
        found = self.facts.get("ended_at")
        return None if found is None else str(found)

    @property
    def succeeded(self) -> bool | None:
        """Whether all that it was asked for is there; None where its end is not recorded."""
        if self.ended_at is None:
            return None
        return not self.facts.get("exit_code")

    def __getitem__(self, name: str) -> Step:
        """A step, by its artifact, target or recipe.

        Raises:
            ClientError: there is none, or there are several; the message names what there is.
        """
        found = [each for each in self.steps if each.name == name] or [
            each for each in self.steps if name in each.names()
        ]
        if len(found) == 1:
            return found[0]
        if found:
            named = ", ".join(each.name for each in found)
            raise ClientError(f"{name!r} is several steps of run {self.id}: {named}; name one")
        known = [each.names()[-1] for each in self.steps]
        raise ClientError(f"run {self.id} has no step {name!r}; {hint(name, known, kind='Steps')}")

    def __contains__(self, name: object) -> bool:
        return any(name in each.names() for each in self.steps)

    def matches(self, pattern: str) -> bool:
        """Whether it is about an artifact, target or recipe, as :func:`runs` takes it."""
        told = [self.id, *map(str, self.facts.get("roots") or ())]
        told += [name for each in self.steps for name in each.names()]
        told += [str(self.facts[key]) for key in ("recipe", "address") if self.facts.get(key)]
        if any(character in pattern for character in "*?["):
            return any(fnmatch.fnmatchcase(each, pattern) for each in told)
        word = re.compile(rf"(?<![A-Za-z0-9]){re.escape(pattern)}(?![A-Za-z0-9])")
        return any(word.search(each) for each in told)

    def row(self) -> Mapping[str, str]:
        """What stands of it in a table."""
        state = {None: "not ended", True: "succeeded", False: "failed"}[self.succeeded]
        return {
            "run": self.id,
            "started": human_time(self.started_at),
            "state": state,
            "by": str(self.facts.get("user") or ""),
            "steps": ", ".join(each.name for each in self.steps),
        }

    def _repr_html_(self) -> str:
        return html.table([each.row() for each in self.steps], title=f"run {self.id}")


def read_runs(view: StoreView) -> list[Run]:
    """All runs that a store has a record of, the newest first."""
    store = view.store
    ids = [each for each in store.runs() if not each.startswith(_NO_RUN)]
    records = store.read_runs(ids)
    jobs: dict[str, list[Mapping[str, Any]]] = {}
    for own_id, record in records.items():
        jobs.setdefault(str(record.get(_PIPELINE)), []).append({"id": own_id, **record})
    found = [
        Run(own_id, record, Listing(_steps(view, record, jobs.get(own_id, ()))))
        for own_id, record in records.items()
        if str(record.get(_PIPELINE)) not in records
    ]
    return sorted(found, key=lambda each: (_moment(each.started_at), each.id), reverse=True)


def _steps(
    view: StoreView, record: Mapping[str, Any], jobs: Iterable[Mapping[str, Any]]
) -> list[Step]:
    """Of a pipeline the steps that it recorded, then what else its jobs made; of a job its own."""
    found: dict[str, Step] = {}
    ordered = sorted(jobs, key=lambda each: _moment(str(each.get("started_at"))))
    made = {text: job for job in ordered for text in _references(job.get("versions"))}
    for told in record.get("steps") or ():
        for reference in _references([told.get("version")]):
            found[reference] = Step(
                reference,
                told.get("recipe"),
                told.get("address"),
                bool(told.get("built")),
                made.get(reference, {}),
                view,
            )
    if record.get("kind") != _PIPELINE:
        made = dict.fromkeys(_references(record.get("versions")), record)
    for reference, job in made.items():
        if reference not in found:
            found[reference] = Step(
                reference, job.get("recipe"), job.get("address"), True, job, view
            )
    return list(found.values())


def _references(told: Any) -> list[str]:
    """Those of some texts that are ``name:vN``: records are written by other versions, too."""
    found = []
    for text in told if isinstance(told, list) else ():
        try:
            reference = parse_artifact_reference(str(text))
        except ConfigError:
            continue
        if reference.number is not None:
            found.append(str(reference))
    return found


def _moment(text: str) -> float:
    moment = parse_time(text)
    return 0.0 if moment is None else moment.timestamp()
