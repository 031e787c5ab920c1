"""Whether a build is fresh: the one function that the plan and the run both ask.

The plan asks with what is known beforehand (an input that runs is :class:`Open`), the schedule
again just before each job, with what its inputs really came out as. That is why what the plan says
is what runs: stale ⊆ ran ⊆ stale ∪ depends, as long as nothing fails (below a failure nothing can
run) and nobody else makes the same meanwhile.

How a schedule uses it, for each artifact in topological order once all its inputs are done::

    decision = decide(world, artifact, upstream, wanted=address in plan.roots)
    FRESH, GONE   its `made` is what those below build on; nothing runs
    STALE         first the addresses in `needs` (their data is gone: decide them with wanted=True
                  and run them), then decide once more, then run it with `key`, `parts`,
                  `explain` and `inputs` (pinned versions), and record it; a foreach artifact runs
                  those of `elements` that are not fresh, then is decided again and gathered
    RUNNING       wait for `holder` to be done, then decide again
    BLOCKED       nothing runs; those below get Absent(name, why, skip=on_failure == "skip")
    DEPENDS       never, when all of `upstream` is Made or Absent

Leases that the schedule itself holds (``world.lease_id(name, key)``) stand in ``world.held``; they
keep nothing from running. ``world.forget()`` before a decision makes it see what others wrote, and
external inputs as they are now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from nemo_runspec.pipeline.elements import ElementTask, elements_of, foreach_input
from nemo_runspec.pipeline.key import GatherParts, InputPart, Parts, key_of
from nemo_runspec.pipeline.reason import Category, Reason
from nemo_runspec.pipeline.world import Found, World
from nemo_runspec.store.model import KeyRecord
from runspec.plan import PlanArtifact, PlanInput


class State(str, Enum):
    """What a plan says of an artifact."""

    FRESH = "fresh"
    """The store has it."""
    STALE = "stale"
    """It runs, for certain: unless what it is made from fails, or somebody else is quicker."""
    DEPENDS = "depends"
    """It runs, unless what is above it comes out the same."""
    RUNNING = "running"
    """Somebody else is making it now."""
    BLOCKED = "blocked"
    """An input is missing, revoked or failed: it cannot run."""
    GONE = "gone"
    """The store has it, its data is deleted, and nothing needs it."""


@dataclass(frozen=True)
class Made:
    """An input that is there.

    Attributes:
        name: the artifact's name as the target or the reference says it.
        store_name: its name in the store: within the namespace it was found in.
        version: the version's number.
        identity: what it counts as in a key.
        path: where its data is.
        gone: its data is not there any more; to be made again before anything reads it.
    """

    name: str
    store_name: str
    version: int
    identity: str
    path: str
    gone: bool = False

    @property
    def reference(self) -> str:
        """``name:vN`` in the store."""
        return f"{self.store_name}:v{self.version}"


@dataclass(frozen=True)
class Absent:
    """An input that is not there and will not be.

    Attributes:
        name: the artifact's name.
        why: one sentence.
        skip: those below go on without it (``on_failure="skip"``).
    """

    name: str
    why: str
    skip: bool = False


@dataclass(frozen=True)
class Open:
    """An input that is not known yet: it runs, or may run.

    Attributes:
        name: the artifact's name.
        elsewhere: somebody else is making it, or something that it is made from, and may go on to
            what is below.
    """

    name: str
    elsewhere: bool = False


Upstream = Made | Absent | Open


@dataclass(frozen=True)
class ResolvedInput:
    """An input of a target and what it is now."""

    input: PlanInput
    now: Upstream


@dataclass(frozen=True)
class ElementDecision:
    """An element of a fan-out and whether its version is fresh."""

    task: ElementTask
    decision: Decision


@dataclass(frozen=True)
class Decision:
    """What was found out about one build.

    Attributes:
        state: what it means for a run.
        name: the artifact's name.
        reasons: why it is not fresh, most telling first; empty when it is.
        inputs: what it is made from, in order of declaration.
        key: its key; None when an input is not known yet or missing.
        parts: what the key is made of; None without a key.
        explain: what the parts stand for, for the manifest.
        found: the record that the store has of the key, if it has one.
        needs: addresses of inputs whose data is gone and has to be made again first.
        holder: who is making it now, in their own words.
        elements: of a foreach artifact whose list is known, in list order.
    """

    state: State
    name: str
    reasons: tuple[Reason, ...] = ()
    inputs: tuple[ResolvedInput, ...] = ()
    key: str | None = None
    parts: Parts | None = None
    explain: Mapping[str, Any] = field(default_factory=dict)
    found: Found | None = None
    needs: tuple[str, ...] = ()
    holder: Mapping[str, Any] | None = None
    elements: tuple[ElementDecision, ...] = ()

    @property
    def record(self) -> KeyRecord | None:
        """The record that the store has of the key."""
        return None if self.found is None else self.found.record

    @property
    def made(self) -> Made | None:
        """What those below build on; None unless it is fresh or gone."""
        if self.found is None or self.state not in (State.FRESH, State.GONE):
            return None
        record = self.found.record
        return Made(
            self.name,
            self.found.store_name,
            record.version,
            record.identity,
            record.path,
            gone=self.state is State.GONE,
        )


def outcome(artifact: PlanArtifact, decision: Decision) -> Upstream:
    """What a decision means for those that are made from the artifact."""
    if decision.made is not None:
        return decision.made
    if decision.state is State.BLOCKED:
        why = decision.reasons[0].text() if decision.reasons else "cannot be made"
        return Absent(artifact.name, why, skip=artifact.on_failure == "skip")
    return Open(
        artifact.name,
        elsewhere=decision.state is State.RUNNING or _is_elsewhere(decision.inputs),
    )


def decide(
    world: World,
    artifact: PlanArtifact,
    upstream: Mapping[str, Upstream],
    *,
    forced: bool = False,
    wanted: bool = False,
) -> Decision:
    """Whether an artifact is fresh, and if not, why.

    Args:
        world: the store, the configs, the machine: all that a key depends on but the inputs.
        artifact: the target.
        upstream: what each artifact that it is made from is now, by address; inputs that the plan
            does not make are looked up in the store, once for each world.
        forced: it was asked for anew whatever the store has.
        wanted: it was asked for by name, or something that runs needs its data: if that is gone it
            has to be made again.

    Returns:
        The decision; nothing is written.

    Raises:
        NemoRunspecError: its config cannot be composed, or the store cannot be read.
    """
    inputs = _resolve_inputs(world, artifact, upstream)
    blocked = _blocked(world, artifact, inputs)
    if blocked:
        return Decision(State.BLOCKED, artifact.name, blocked, inputs)
    if any(isinstance(each.now, Open) for each in inputs):
        return _open(world, artifact, inputs, forced)
    if artifact.foreach is not None:
        return _decide_foreach(world, artifact, inputs, forced=forced, wanted=wanted)
    parts = world.parts(artifact, _input_parts(inputs))
    explain = _Explain(world, artifact, inputs)
    return _decide_build(world, artifact.name, inputs, parts, explain, forced=forced, wanted=wanted)


def decide_element(
    world: World,
    artifact: PlanArtifact,
    task: ElementTask,
    inputs: tuple[ResolvedInput, ...],
    *,
    forced: bool = False,
    wanted: bool = False,
) -> Decision:
    """Whether the version of one element of a fan-out is fresh; otherwise as :func:`decide`.

    Args:
        world: as for :func:`decide`.
        artifact: the target.
        task: the element.
        inputs: the target's, all of them known: those of its own decision.
        forced: as for :func:`decide`.
        wanted: as for :func:`decide`.
    """
    source = foreach_input(artifact)
    counted = tuple(
        replace(part, identity="element")
        if each.input == source and not world.counts_whole_input(artifact, task, source)
        else part
        for each, part in zip(inputs, _input_parts(inputs), strict=True)
    )
    parts = world.parts(artifact, counted, element=task.evidence)
    explain = _Explain(world, artifact, inputs)
    return _decide_build(world, task.name, inputs, parts, explain, forced=forced, wanted=wanted)


def decide_gather(
    world: World,
    artifact: PlanArtifact,
    inputs: tuple[ResolvedInput, ...],
    elements: Sequence[tuple[ElementTask, str | None]],
    *,
    forced: bool = False,
    wanted: bool = False,
) -> Decision:
    """Whether the version that gathers a fan-out is fresh; otherwise as :func:`decide`.

    Args:
        world: as for :func:`decide`.
        artifact: the target.
        inputs: those of its own decision.
        elements: each element in list order and the identity of its version; None for one that
            failed and is left out.
        forced: as for :func:`decide`.
        wanted: as for :func:`decide`.
    """
    parts = GatherParts(
        artifact.recipe, tuple((task.digest, identity) for task, identity in elements)
    )
    explain = _Explain(world, artifact, inputs)
    return _decide_build(world, artifact.name, inputs, parts, explain, forced=forced, wanted=wanted)


@dataclass(frozen=True)
class _Explain:
    """What the parts of a key stand for, made when it is first asked for."""

    world: World
    artifact: PlanArtifact
    inputs: tuple[ResolvedInput, ...]

    def document(self) -> dict[str, Any]:
        versions = {
            (each.input.key, each.now.name): f"v{each.now.version}"
            for each in self.inputs
            if isinstance(each.now, Made)
        }
        return self.world.explain(self.artifact, versions)


def _decide_build(
    world: World,
    name: str,
    inputs: tuple[ResolvedInput, ...],
    parts: Parts,
    explain: _Explain,
    *,
    forced: bool,
    wanted: bool,
) -> Decision:
    key = key_of(parts)
    found = world.find(name, key)
    base = Decision(State.FRESH, name, (), inputs, key, parts, found=found)
    if found is not None and not forced:
        reason = world.refusal(found)
        if reason is None:
            return base
        if reason.category is Category.GONE and not wanted:
            return replace(base, state=State.GONE, reasons=(reason,))
        reasons: tuple[Reason, ...] = (reason,)
    elif forced:
        reasons = (Reason(Category.FORCED, "asked for anew (--force)"),)
    else:
        reasons = ()
    document = explain.document()
    stale = replace(
        base,
        state=State.STALE,
        reasons=reasons or world.reasons(name, parts, document),
        explain=document,
        found=None,
        needs=_needs(inputs),
    )
    if forced:
        return stale
    held = world.holder(world.lease_id(name, key))
    if held is None:
        return stale
    return replace(stale, state=State.RUNNING, holder=held)


def _decide_foreach(
    world: World,
    artifact: PlanArtifact,
    inputs: tuple[ResolvedInput, ...],
    *,
    forced: bool,
    wanted: bool,
) -> Decision:
    source = foreach_input(artifact)
    made = next(each.now for each in inputs if each.input == source)
    if not isinstance(made, Made):
        why = f"foreach: {made.name} is missing, so its list is not known"
        return Decision(State.BLOCKED, artifact.name, (Reason(Category.BLOCKED, why),), inputs)
    metadata = world.metadata(made.store_name, made.version)
    tasks = elements_of(artifact, metadata, made.path, world.data_fingerprint)

    def look(wanted: bool) -> tuple[ElementDecision, ...]:
        return tuple(
            ElementDecision(
                task, decide_element(world, artifact, task, inputs, forced=forced, wanted=wanted)
            )
            for task in tasks
        )

    elements = look(wanted=False)
    running = _unfinished(artifact, inputs, elements)
    if running is not None:
        return _unfinished(artifact, inputs, look(wanted=True)) or running
    gather = decide_gather(
        world,
        artifact,
        inputs,
        [(each.task, _identity(each)) for each in elements],
        forced=forced,
        wanted=wanted,
    )
    if gather.state is State.STALE or wanted:
        # Gathering, and whoever reads what was gathered, needs the data of each element.
        again = look(wanted=True)
        unfinished = _unfinished(artifact, inputs, again)
        if unfinished is not None:
            return unfinished
    elif any(each.decision.state is State.GONE for each in elements) and (
        gather.state is State.FRESH
    ):
        gone = Reason(Category.GONE, "the data of an element is gone")
        gather = replace(gather, state=State.GONE, reasons=(gone,))
    return replace(gather, elements=elements)


def _identity(element: ElementDecision) -> str | None:
    made = element.decision.made
    return None if made is None else made.identity


def _unfinished(
    artifact: PlanArtifact,
    inputs: tuple[ResolvedInput, ...],
    elements: tuple[ElementDecision, ...],
) -> Decision | None:
    """The decision for a fan-out with elements that are not there; None when all are."""
    left = [each for each in elements if each.decision.made is None]
    if not left:
        return None
    running = [each for each in left if each.decision.state is State.RUNNING]
    count = f"{len(left)} of {len(elements)} elements stale"
    state = State.RUNNING if len(running) == len(left) else State.STALE
    # Elements are stale for one and the same reason more often than not.
    others = dict.fromkeys(reason for each in left for reason in each.decision.reasons)
    return Decision(
        state,
        artifact.name,
        (Reason(Category.ELEMENT, count), *others),
        inputs,
        explain=left[0].decision.explain,
        needs=_needs(inputs),
        holder=running[0].decision.holder if state is State.RUNNING else None,
        elements=elements,
    )


def _open(
    world: World, artifact: PlanArtifact, inputs: tuple[ResolvedInput, ...], forced: bool
) -> Decision:
    """The decision for an artifact with inputs that are not known yet.

    One that was never built is stale whatever its inputs come out as: no version can have its key.
    """
    reasons: list[Reason] = []
    if forced:
        reasons.append(Reason(Category.FORCED, "asked for anew (--force)"))
    else:
        reasons.extend(world.own_reasons(artifact, _Explain(world, artifact, inputs).document()))
    is_new = any(reason.category is Category.NEVER_BUILT for reason in reasons)
    is_certain = forced or (is_new and not _is_elsewhere(inputs))
    if not is_certain:
        names = dict.fromkeys(each.now.name for each in inputs if isinstance(each.now, Open))
        reasons.extend(Reason(Category.UPSTREAM, f"input {name} may change") for name in names)
    return Decision(
        State.STALE if is_certain else State.DEPENDS,
        artifact.name,
        tuple(reasons),
        inputs,
        needs=_needs(inputs),
    )


def _is_elsewhere(inputs: tuple[ResolvedInput, ...]) -> bool:
    """Whether somebody else is about to make one of the inputs."""
    return any(isinstance(each.now, Open) and each.now.elsewhere for each in inputs)


def _resolve_inputs(
    world: World, artifact: PlanArtifact, upstream: Mapping[str, Upstream]
) -> tuple[ResolvedInput, ...]:
    resolved = []
    for each in artifact.inputs:
        if each.artifact is not None:
            now = upstream[each.artifact]
        else:
            found = world.resolve(each.reference)
            if isinstance(found, str):
                now = Absent(each.reference, found)
            else:
                now = Made(
                    found.name,
                    found.store_name,
                    found.version,
                    found.identity,
                    found.path,
                )
        resolved.append(ResolvedInput(each, now))
    return tuple(resolved)


def _blocked(
    world: World, artifact: PlanArtifact, inputs: tuple[ResolvedInput, ...]
) -> tuple[Reason, ...]:
    missing = dict.fromkeys(
        Reason(Category.BLOCKED, f"input {each.now.name}: {each.now.why}")
        for each in inputs
        if isinstance(each.now, Absent) and not each.now.skip
    )
    outside = (Reason(Category.BLOCKED, why) for why in world.external_problems(artifact))
    return (*missing, *outside)


def _input_parts(inputs: tuple[ResolvedInput, ...]) -> tuple[InputPart, ...]:
    return tuple(
        InputPart(
            each.input.key,
            each.now.name,
            each.now.identity if isinstance(each.now, Made) else None,
        )
        for each in inputs
    )


def _needs(inputs: tuple[ResolvedInput, ...]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(
            each.input.artifact
            for each in inputs
            if isinstance(each.now, Made) and each.now.gone and each.input.artifact is not None
        )
    )
