"""What was made from what, as values: the one graph that every form of it is rendered from.

It comes from the manifests of a store (:mod:`nemo_runspec.lineage.recorded`), or from a plan joined
with them (:mod:`nemo_runspec.lineage.joined`). The JSON document (schema "1",
:func:`to_document`) is what ``--format=json`` prints and what the HTML page holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

SCHEMA = "1"


class Kind(str, Enum):
    """What a node stands for."""

    VERSION = "version"
    """A version that a store has."""
    TARGET = "target"
    """An artifact target whose version is not there."""
    EXTERNAL = "external"
    """Data that no artifact holds: a path or a URL; or a version that only another store has."""


class State(str, Enum):
    """What is known of a node: a plan's word where there is a plan, else the store's."""

    FRESH = "fresh"
    STALE = "stale"
    DEPENDS = "depends"
    RUNNING = "running"
    BLOCKED = "blocked"
    GONE = "gone"
    """Recorded; its data was deleted or overwritten."""
    MISSING = "missing"
    """A target that was never built, or a version that the store does not have."""
    RECORDED = "recorded"
    """The store has it; whether it is fresh was not asked."""
    EXTERNAL = "external"


@dataclass(frozen=True)
class Mark:
    """What somebody said of a version.

    Attributes:
        by: who.
        at: when, ISO 8601 with zone.
        reason: why.
        reference: ``name:vN`` that it was said of: of a revocation, it may be one above.
    """

    by: str
    at: str
    reason: str
    reference: str


@dataclass(frozen=True)
class Spent:
    """What making a version took.

    Attributes:
        seconds: wall-clock time of its job.
        gpu_hours: GPUs times hours.
        nodes: how many.
        gpus: of each node.
    """

    seconds: float | None = None
    gpu_hours: float | None = None
    nodes: int | None = None
    gpus: int | None = None


@dataclass(frozen=True)
class Card:
    """A page that a job attached to its version.

    Attributes:
        title: what it is called.
        kind: ``html`` or ``markdown``.
        body: its text.
    """

    title: str
    kind: str
    body: str


@dataclass(frozen=True)
class LineageNode:
    """A version, a target without one, or data from outside.

    Attributes:
        id: ``name:vN`` of a version, ``target:ADDRESS``, or ``external:URI``.
        kind: which of them.
        name: the artifact's name in the store; the path or URL of external data.
        state: see :class:`State`.
        version: the number of the version; of a target that is not fresh, None.
        address: the artifact target, where it is known.
        reasons: why it is not fresh (``category``, ``what``, ``old``, ``new``, ``text`` each).
        accepted: who let it stand for a key that it was not made with.
        revoked: who refused it, or one that it was made from.
        gone: why its data is no more there.
        aliases: the aliases that mean it now.
        spent: what it took; of a target this and all that follows is its newest version's.
        metrics: numbers by name: the last of each logged series, and those of its metadata.
        series: logged metrics by name: (step, value, at) each, in order.
        cards: what its job attached.
        log: the path of its job's log, where that is known.
        document: the whole ``manifest.json``; empty where there is none.
    """

    id: str
    kind: Kind
    name: str
    state: State
    version: int | None = None
    address: str | None = None
    reasons: tuple[Mapping[str, Any], ...] = ()
    accepted: Mark | None = None
    revoked: Mark | None = None
    gone: str | None = None
    aliases: tuple[str, ...] = ()
    spent: Spent = Spent()
    metrics: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, tuple[tuple[int | None, float, str], ...]] = field(default_factory=dict)
    cards: tuple[Card, ...] = ()
    log: str | None = None
    document: Mapping[str, Any] = field(default_factory=dict)

    @property
    def run(self) -> Mapping[str, Any]:
        """The facts of its job: user, host, commit, dirty, profile, recipe, started_at …"""
        found = self.document.get("run")
        return found if isinstance(found, Mapping) else {}

    @property
    def type(self) -> str | None:
        """The class that logged it."""
        found = self.document.get("type")
        return None if found is None else str(found)

    @property
    def created_at(self) -> str | None:
        """When, ISO 8601 with zone."""
        found = self.document.get("created_at")
        return None if found is None else str(found)


@dataclass(frozen=True)
class LineageEdge:
    """That one was made from the other.

    Attributes:
        above: id of what was used.
        below: id of what was made from it.
        key: the key of the config's ``run`` section that names it, where that is known.
    """

    above: str
    below: str
    key: str | None = None


@dataclass(frozen=True)
class Lineage:
    """A graph.

    Attributes:
        roots: ids of the nodes that were asked for.
        nodes: in topological order: what is above stands before what is made from it.
        edges: sorted by (below, position among its inputs).
        store: the store's root.
        direction: ``upstream``, ``downstream`` or ``both``: which side of the roots was asked for.
    """

    roots: tuple[str, ...]
    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]
    store: str
    direction: str = "upstream"

    def node(self, id_: str) -> LineageNode:
        """The node with this id; KeyError if there is none."""
        for node in self.nodes:
            if node.id == id_:
                return node
        raise KeyError(id_)


def to_document(lineage: Lineage) -> dict[str, Any]:
    """The graph as plain data, as ``--format=json`` prints it.

    Returns:
        ``schema``, ``store``, ``direction``, ``roots``, ``nodes`` (fields as in
        :class:`LineageNode`; ``document`` is the manifest) and ``edges``
        (``above``, ``below``, ``key``). A number that is none (NaN) or infinite is null.
    """
    return {
        "schema": SCHEMA,
        "store": lineage.store,
        "direction": lineage.direction,
        "roots": list(lineage.roots),
        "nodes": [_plain(vars(node)) for node in lineage.nodes],
        "edges": [asdict(edge) for edge in lineage.edges],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        # JSON has no NaN and no infinities.
        return value if math.isfinite(value) else None
    if isinstance(value, (Mark, Spent, Card)):
        return {key: _plain(each) for key, each in vars(value).items()}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
