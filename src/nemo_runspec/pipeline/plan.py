"""What is stale, why, and what it will cost: asked of everything, run never."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nemo_runspec.costs.past import Cost, cost_of
from nemo_runspec.exceptions import EnvError
from nemo_runspec.pipeline.decide import Decision, State, Upstream, decide, outcome
from nemo_runspec.pipeline.graph import Graph
from nemo_runspec.pipeline.left_jobs import LeftJobs
from nemo_runspec.pipeline.outputs import output_root
from nemo_runspec.pipeline.reason import Category, Reason, sentence
from nemo_runspec.pipeline.world import World
from runspec.plan import PlanArtifact

_RUNS = (State.STALE, State.DEPENDS)
# Whose holder may die, so that we make it after all.
_MAY_RUN = (*_RUNS, State.RUNNING)


@dataclass(frozen=True)
class Elements:
    """The elements of a fan-out.

    Attributes:
        total: how many there are.
        stale: how many of them are not there.
    """

    total: int
    stale: int


@dataclass(frozen=True)
class PlannedNode:
    """An artifact target and what a run would do about it.

    Attributes:
        artifact: the target.
        state: see :class:`nemo_runspec.pipeline.decide.State`.
        reasons: why, most telling first; empty when it is fresh.
        key: its key; None while an input is not known.
        version: ``vN`` of the version that has the key; None unless it is fresh or gone.
        path: where the data of that version is, or was.
        cost: of the last build; None for a fresh one, and where it was never built.
        holder: who is making it now.
        elements: of a fan-out whose list is known.
        unchecked: external inputs that are not looked at, as the target says.
    """

    artifact: PlanArtifact
    state: State
    reasons: tuple[Reason, ...] = ()
    key: str | None = None
    version: str | None = None
    path: str | None = None
    cost: Cost | None = None
    holder: Mapping[str, Any] | None = None
    elements: Elements | None = None
    unchecked: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return self.artifact.address

    @property
    def name(self) -> str:
        return self.artifact.name

    @property
    def why(self) -> str:
        """The reasons in one line; empty when it is fresh."""
        return sentence(self.reasons)


@dataclass(frozen=True)
class PlanResult:
    """What a run would do.

    Attributes:
        nodes: in the order in which they would be made.
        needs_bundles: addresses of the recipes that have to be packaged for a run.
        store: the store's root.
        requests: how many requests were sent to an object store.
    """

    nodes: tuple[PlannedNode, ...]
    needs_bundles: tuple[str, ...]
    store: str
    requests: int = 0

    @property
    def is_fresh(self) -> bool:
        """Whether a run would do nothing, and nothing keeps it from that."""
        return all(node.state in (State.FRESH, State.GONE) for node in self.nodes)

    def node(self, address: str) -> PlannedNode:
        """The node with this address; KeyError if there is none."""
        for node in self.nodes:
            if node.address == address:
                return node
        raise KeyError(address)


def make_plan(world: World, *, force: Collection[str] = ()) -> PlanResult:
    """What a run would do now; nothing is written but what saves composing the next time.

    Args:
        world: the graph, the store, the machine.
        force: addresses of artifacts to make anew whatever the store has.

    Returns:
        Every artifact of the graph, in topological order.

    Raises:
        UsageError: a forced address is not in the plan.
        NemoRunspecError: a config cannot be composed, or the store cannot be read.
    """
    graph = world.graph
    forced = {graph.artifact(address).address for address in force}
    world.preload()
    with contextlib.suppress(EnvError):  # without a place for outputs nothing was ever built
        world.left_jobs = LeftJobs(output_root(world.settings))
    decisions = _decisions(world, forced)
    _settle_gone(graph, decisions)
    world.flush()
    nodes = tuple(_node(world, one, decisions[one.address]) for one in graph.order)
    needed = {node.artifact.recipe for node in nodes if node.state in _MAY_RUN}
    return PlanResult(nodes, tuple(sorted(needed)), world.store.root, world.store.request_count)


def _decisions(world: World, forced: Collection[str]) -> dict[str, Decision]:
    graph = world.graph
    now: dict[str, Upstream] = {}
    decisions: dict[str, Decision] = {}
    for artifact in graph.order:
        address = artifact.address
        decision = decide(
            world, artifact, now, forced=address in forced, wanted=address in graph.roots
        )
        decisions[address] = decision
        now[address] = outcome(artifact, decision)
    return decisions


def _settle_gone(graph: Graph, decisions: dict[str, Decision]) -> None:
    """Carries on what it means that the data of something is gone.

    What runs needs the data of its inputs: where that is gone, they are made again, and what else
    is made from them may then differ. A state changes here from fresh or gone to depends, and from
    depends to stale, so this takes time in proportion to the graph.
    """
    gone = {address for address, one in decisions.items() if one.state is State.GONE}
    if not gone:
        return
    waiting = deque(address for address, one in decisions.items() if one.state in _RUNS)
    while waiting:
        address = waiting.popleft()
        here = decisions[address]
        for above in gone.intersection(graph.inputs[address]):
            changed = _needed(decisions[above], here)
            if changed is not None:
                decisions[above] = changed
                waiting.append(above)
        for below in graph.consumers[address]:
            if decisions[below].state in (State.FRESH, State.GONE):
                decisions[below] = _without_answer(
                    decisions[below],
                    State.DEPENDS,
                    Reason(Category.UPSTREAM, f"input {here.name} may change"),
                )
                waiting.append(below)


def _needed(decision: Decision, consumer: Decision) -> Decision | None:
    """What becomes of a build whose data is gone when something reads it; None: nothing."""
    certain = consumer.state is State.STALE
    if decision.state is State.STALE or (decision.state is State.DEPENDS and not certain):
        return None
    if certain:
        reason = Reason(Category.UPSTREAM, f"{consumer.name} needs it")
        return _without_answer(decision, State.STALE, reason)
    reason = Reason(Category.UPSTREAM, f"needed if {consumer.name} runs")
    return _without_answer(decision, State.DEPENDS, reason)


def _without_answer(decision: Decision, state: State, reason: Reason) -> Decision:
    return replace(decision, state=state, reasons=(*decision.reasons, reason), found=None)


def _node(world: World, artifact: PlanArtifact, decision: Decision) -> PlannedNode:
    record = decision.record
    elements = None
    if artifact.foreach is not None and (decision.elements or record is not None):
        stale = sum(1 for each in decision.elements if each.decision.made is None)
        elements = Elements(len(decision.elements), stale)
    return PlannedNode(
        artifact=artifact,
        state=decision.state,
        reasons=decision.reasons,
        key=decision.key if decision.state is not State.DEPENDS else None,
        version=None if record is None else f"v{record.version}",
        path=None if record is None else record.path,
        cost=_cost(world, artifact, elements) if decision.state in _MAY_RUN else None,
        holder=decision.holder,
        elements=elements,
        unchecked=world.unchecked(artifact),
    )


def _cost(world: World, artifact: PlanArtifact, elements: Elements | None) -> Cost | None:
    return cost_of(
        world.latest(artifact.name),
        is_fan_out=artifact.foreach is not None,
        elements=None if elements is None else elements.stale,
        read=world.store.manifests,
    )
