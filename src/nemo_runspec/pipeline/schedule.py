"""Running what is stale, in order: the loop of a pipeline's supervisor.

Each artifact is decided (`nemo_runspec.pipeline.decide`) once all it is made from is known, and
once more under the lease of its key: what somebody else has just made is not made again. Jobs run
in threads that only wait; decisions, leases and events are this thread's alone.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.pipeline.build import Builder
from nemo_runspec.pipeline.decide import (
    Absent,
    Decision,
    ElementDecision,
    Made,
    State,
    Upstream,
    decide,
    decide_element,
    decide_gather,
    outcome,
)
from nemo_runspec.pipeline.elements import ElementTask
from nemo_runspec.pipeline.graph import Graph
from nemo_runspec.pipeline.made import version_details
from nemo_runspec.pipeline.patience import may_come_back
from nemo_runspec.pipeline.progress import duration
from nemo_runspec.pipeline.reason import sentence
from nemo_runspec.pipeline.run import Events, Options, Stop, Summary, describe_holder
from nemo_runspec.pipeline.task import (
    BuildError,
    BuildStopped,
    BuildTask,
    Built,
    Note,
    Queued,
    Started,
)
from nemo_runspec.pipeline.world import World
from nemo_runspec.store import HeldLease, Lease
from runspec.plan import PlanArtifact

_LOOK_SECONDS = 0.3
_LOOK_SECONDS_REMOTE = 2.0
_LOOK_SECONDS_AWAY = 1.0


@dataclass
class _Fanout:
    """A fan-out whose elements are being made."""

    artifact: PlanArtifact
    decision: Decision
    done: dict[str, Made | Absent] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)

    def listed(self) -> list[tuple[dict[str, Any], Made | Absent]]:
        """`index` and `value` of each element, and what came of it, in list order."""
        return [
            ({"index": each.task.index, "value": each.task.value}, self.done[each.task.name])
            for each in self.decision.elements
        ]


@dataclass(frozen=True)
class _Work:
    """Something that may have to run: an artifact, an element of one, or what gathers those.

    Args:
        address: the artifact's.
        part: the element's name; None for the artifact itself.
        element: the element.
    """

    address: str
    part: str | None = None
    element: ElementTask | None = field(default=None, compare=False)


@dataclass
class _Running:
    work: _Work
    task: BuildTask
    lease: Lease


# Position of the artifact, of the element, a number that tells two entries apart, the work.
_Entry = tuple[int, int, int, _Work]


class Schedule:
    """One run over a graph.

    Args:
        graph: the artifacts.
        world: what keys depend on.
        builder: makes versions.
        options: how.
        events: told of what happens.
        stop: tells when to stop.
    """

    def __init__(
        self,
        graph: Graph,
        world: World,
        builder: Builder,
        options: Options,
        events: Events,
        stop: Stop,
    ) -> None:
        self._graph = graph
        self._world = world
        self._builder = builder
        self._options = options
        self._events = events
        self._stop = stop
        self._position = {one.address: n for n, one in enumerate(graph.order)}
        self._known: dict[str, Upstream] = {}
        # What is made again, as those below it took it before.
        self._before: dict[str, Upstream] = {}
        self._waits_for = {address: set(inputs) for address, inputs in graph.inputs.items()}
        self._wanted = set(graph.roots)
        self._forced = set(options.forced)
        # What was not decided yet, and what was and waits for room, each in order.
        self._ready: list[_Entry] = []
        self._runnable: list[_Entry] = []
        self._decisions: dict[_Work, Decision] = {}
        self._pushed = itertools.count()
        self._held: dict[_Work, float] = {}
        self._told_waiting: dict[_Work, str] = {}
        # Since when it cannot be decided, and since when it cannot be started, which takes a lease:
        # a store may be there to be read and not to be written.
        self._undecided_since: dict[_Work, float] = {}
        self._unstarted_since: dict[_Work, float] = {}
        self._fanouts: dict[str, _Fanout] = {}
        self._running: dict[_Work, _Running] = {}
        self._closing: str | None = None
        self._counts = dict.fromkeys(("built", "failed", "stopped", "skipped"), 0)
        self._built: set[str] = set()
        self._fresh: set[str] = set()
        self._ended: set[str] = set()
        self._spent = options.spent_before

    def steps(self) -> list[tuple[PlanArtifact, Made, bool]]:
        """The artifacts that have a version by now, it, and whether this run made it; in order."""
        found = ((each, self._known.get(each.address)) for each in self._graph.order)
        return [
            (each, known, each.address in self._built)
            for each, known in found
            if isinstance(known, Made)
        ]

    def run(self) -> Summary:
        """Bring everything up to date.

        Raises:
            NemoRunspecError: the store, the plan or a config is not as it has to be.
        """
        began = time.monotonic()
        for address, waits in self._waits_for.items():
            if not waits:
                self._push(_Work(address))
        try:
            self._loop()
        except BaseException:
            # Nobody would ever end the jobs, or give the leases back.
            self._stop.ask()
            while self._running:
                message = self._stop.wakeup.get()
                with contextlib.suppress(Exception):  # the first error is the one to tell
                    self._take(message)
            raise
        for one in self._graph.order:
            if one.address not in self._known and one.address not in self._ended:
                self._skip(one, self._why_skipped(one))
        missing = [a for a in self._graph.roots if not isinstance(self._known.get(a), Made)]
        return Summary(
            built=self._counts["built"],
            fresh=len(self._fresh - self._built),
            failed=self._counts["failed"],
            stopped=self._counts["stopped"],
            skipped=self._counts["skipped"],
            seconds=time.monotonic() - began,
            gpu_hours=self._spent,
            exit_code=1 if missing else 0,
        )

    def _loop(self) -> None:
        while True:
            if self._stop.asked and self._closing is None:
                self._closing = "stopped"
            self._start_what_can()
            if not self._running and (self._closing is not None or not self._is_left()):
                return
            try:
                self._take(self._stop.wakeup.get(timeout=self._next_look()))
            except queue.Empty:
                continue

    def _is_left(self) -> bool:
        return bool(self._ready or self._runnable or self._held)

    def _next_look(self) -> float | None:
        """Seconds until a lease of somebody else's is looked at again."""
        if not self._held or self._closing is not None:
            return None
        return max(0.0, min(self._held.values()) - time.monotonic())

    def _push(self, work: _Work) -> None:
        heapq.heappush(self._ready, self._entry(work))

    def _entry(self, work: _Work) -> _Entry:
        index = -1 if work.element is None else work.element.index
        return (self._position[work.address], index, next(self._pushed), work)

    def _start_what_can(self) -> None:
        now = time.monotonic()
        for work in [work for work, at in self._held.items() if at <= now]:
            del self._held[work]
            self._push(work)
        # What is fresh is known at once, however many jobs run.
        while self._ready and self._may_start():
            self._consider(heapq.heappop(self._ready)[-1])
        while self._runnable and len(self._running) < self._options.parallel and self._may_start():
            work = heapq.heappop(self._runnable)[-1]
            self._launch(work, self._decisions.pop(work))

    def _may_start(self) -> bool:
        return self._closing is None and not self._stop.asked

    def _consider(self, work: _Work) -> None:
        """Decide what there is to do, and do it unless that takes a job."""
        if work.element is not None and work.address not in self._fanouts:
            return  # the fan-out was begun anew, or given up
        if self._has_to_wait(work):
            return
        artifact = self._graph.artifacts[work.address]
        try:
            decision = self._decide(work)
        except NemoRunspecError as error:
            self._postpone(work, error, self._undecided_since)
            return
        self._undecided_since.pop(work, None)
        if decision.made is not None:
            self._done(work, decision.made, built=False)
        elif decision.state is State.BLOCKED:
            self._block(work, decision)
        elif decision.needs:
            self._make_again(work, decision.needs)
        elif artifact.foreach is not None and work.element is None and decision.key is None:
            self._fan_out(artifact, decision)
        elif decision.state is State.RUNNING:
            self._wait_for(work, decision.holder or {})
        else:
            if artifact.foreach is not None and work.element is None:
                self._all_elements_made(artifact, decision)
            self._decisions[work] = decision
            heapq.heappush(self._runnable, self._entry(work))

    def _has_to_wait(self, work: _Work) -> bool:
        """Whether an input, known when this was lined up, is being made again for its lost data."""
        if work.element is not None:
            return False
        unknown = {a for a in self._graph.inputs[work.address] if a not in self._known}
        self._waits_for[work.address].update(unknown)
        return bool(unknown)

    def _decide(self, work: _Work) -> Decision:
        artifact = self._graph.artifacts[work.address]
        fanout = self._fanouts.get(work.address)
        name = artifact.name if work.element is None else work.element.name
        forced = work.address in self._forced and name not in self._options.built_before
        if work.element is not None:
            assert fanout is not None
            return decide_element(
                self._world,
                artifact,
                work.element,
                fanout.decision.inputs,
                forced=forced,
                wanted=True,
            )
        if fanout is not None:
            tasks = [(each.task, fanout.done[each.task.name]) for each in fanout.decision.elements]
            return decide_gather(
                self._world,
                artifact,
                fanout.decision.inputs,
                [(t, made.identity if isinstance(made, Made) else None) for t, made in tasks],
                forced=forced,
                wanted=True,
            )
        return decide(
            self._world,
            artifact,
            {address: self._known[address] for address in self._graph.inputs[work.address]},
            forced=forced,
            wanted=work.address in self._wanted,
        )

    def _launch(self, work: _Work, decision: Decision) -> None:
        """Start a job for it, unless somebody else makes or has just made it."""
        assert decision.key is not None
        if self._has_to_wait(work):
            return
        store = self._builder.store
        lease_id = self._world.lease_id(decision.name, decision.key)
        try:
            lease = store.acquire(lease_id, {**self._options.holder, "address": work.address})
        except NemoRunspecError as error:
            self._postpone(work, error, self._unstarted_since)
            return
        if isinstance(lease, HeldLease):
            self._unstarted_since.pop(work, None)
            self._wait_for(work, {**lease.holder, "since": lease.acquired_at})
            return
        self._world.held.add(lease_id)
        try:
            # What was read ahead does not know what was made between the look and the lease.
            store.forget()
            again = self._decide(work)
        except NemoRunspecError as error:
            self._release(lease)
            self._postpone(work, error, self._unstarted_since)
            return
        self._unstarted_since.pop(work, None)
        if again.state is State.STALE and again.key == decision.key and not again.needs:
            self._start(work, again, lease)
            return
        self._release(lease)
        if again.made is not None:
            self._done(work, again.made, built=False)
        else:
            self._push(work)

    def _start(self, work: _Work, decision: Decision, lease: Lease) -> None:
        element = work.element
        task = BuildTask(
            self._graph.artifacts[work.address],
            decision,
            None if element is None else {"index": element.index, "value": element.value},
            forced=work.address in self._forced,
        )
        fanout = None if element is not None else self._fanouts.get(work.address)
        wakeup = self._stop.wakeup

        def tell(news: Started | Queued | Note) -> None:
            wakeup.put((work, news))

        def make() -> Built:
            if fanout is not None:
                built = self._builder.gather(task, fanout.listed(), tell)
            else:
                built = self._builder.build(task, tell, lease.is_mine)
            made = built.made
            details = version_details(self._world.store, made.store_name, made.version)
            return replace(built, details=details)

        def run() -> None:
            result: Any
            try:
                lease.start_beating()
                result = make()
            except BaseException as error:
                result = error
            try:
                # One that cannot be given back is taken over once this process is gone.
                with contextlib.suppress(NemoRunspecError, OSError):
                    lease.release()
            finally:
                wakeup.put((work, result))  # else it would be waited for without end

        threading.Thread(target=run, name=f"build {task.name}", daemon=True).start()
        # What it says is taken after this; one that cannot be started says nothing.
        self._running[work] = _Running(work, task, lease)

    def _take(self, message: Any) -> None:
        """What a thread, or whoever wants us to stop, has to say."""
        if message is None:
            return
        work, result = message
        running = self._running[work]
        name = running.task.name
        if isinstance(result, (Started, Queued, Note)):
            self._tell_news(name, sentence(running.task.decision.reasons), result)
            return
        del self._running[work]
        self._world.held.discard(running.lease.lease_id)
        if isinstance(result, Built):
            self._spent += result.gpu_hours
            self._counts["built"] += 1
            self._events.tell(
                "built",
                name=name,
                version=result.made.version,
                seconds=result.seconds,
                gpu_hours=result.gpu_hours,
                same=result.same or None,
                details=dict(result.details) or None,
            )
            for note in result.notes:
                self._events.tell("note", name=name, text=note)
            self._done(work, result.made, built=True)
            limit = self._options.max_gpu_hours
            if limit is not None and self._spent > limit and self._closing is None:
                self._closing = (
                    f"{self._spent:.2f} GPU-hours were spent, more than the {limit:g} of "
                    "--max-gpu-hours"
                )
                self._events.tell("note", text=f"{self._closing}; nothing more is started")
        elif isinstance(result, BuildStopped):
            self._counts["stopped"] += 1
            self._ended.add(work.address)
            self._events.tell("stopped", name=name, why=str(result))
            if result.unanswered is not None and self._closing is None:
                # Each of the others would wait as long, for nothing.
                self._closing = f"{result.unanswered} does not answer"
                self._events.tell("note", text=f"{self._closing}; nothing more is started")
        elif isinstance(result, BuildError):
            self._fail(work, str(result), None if result.log is None else str(result.log))
        elif isinstance(result, NemoRunspecError):
            self._fail(work, str(result))
        elif isinstance(result, OSError):
            place = f": {result.filename}" if result.filename else ""
            self._fail(work, f"{result.strerror or result}{place}")
        else:
            raise result

    def _tell_news(self, name: str, why: str | None, news: Started | Queued | Note) -> None:
        if isinstance(news, Note):
            self._events.tell("note", name=name, text=news.text)
            return
        kind, why = ("queued", news.why) if isinstance(news, Queued) else ("running", why)
        self._events.tell(
            kind,
            name=name,
            why=why,
            attempt=news.attempt,
            executor=news.executor,
            id=news.job_id,
            job=str(news.paths.folder),
            log=str(news.paths.log),
        )

    def _done(self, work: _Work, made: Made, *, built: bool) -> None:
        if work.element is not None:
            self._element_done(work, made)
            return
        address = work.address
        self._fanouts.pop(address, None)
        # Made once, it is not to be made again for having been forced.
        self._forced.discard(address)
        if built:
            self._built.add(address)
        else:
            self._fresh.add(address)
            self._events.tell(
                "fresh", name=self._graph.artifacts[address].name, version=made.version
            )
        self._settle(address, made)

    def _settle(self, address: str, now: Upstream) -> None:
        self._known[address] = now
        before = self._before.pop(address, now)
        for consumer in self._graph.consumers[address]:
            waits = self._waits_for[consumer]
            waits.discard(address)
            if consumer in self._known and _differs(before, now):
                # Made again, it came out otherwise.
                self._reopen(consumer)
            if not waits and consumer not in self._known:
                self._push(_Work(consumer))

    def _reopen(self, address: str) -> None:
        self._before[address] = self._known.pop(address)
        self._fresh.discard(address)

    def _make_again(self, work: _Work, needs: tuple[str, ...]) -> None:
        """Inputs whose data is gone come first; then this is looked at again."""
        for address in needs:
            self._wanted.add(address)
            if address in self._known:
                self._reopen(address)
                self._push(_Work(address))
        self._waits_for[work.address].update(needs)
        self._fanouts.pop(work.address, None)

    def _all_elements_made(self, artifact: PlanArtifact, decision: Decision) -> None:
        """A fan-out of which nothing but the gathered version is missing."""
        if artifact.address not in self._fanouts:
            made = {each.task.name: each.decision.made for each in decision.elements}
            done: dict[str, Made | Absent] = {n: one for n, one in made.items() if one is not None}
            self._fanouts[artifact.address] = _Fanout(artifact, decision, done)

    def _fan_out(self, artifact: PlanArtifact, decision: Decision) -> None:
        fanout = _Fanout(artifact, decision)
        self._fanouts[artifact.address] = fanout
        tasks: dict[str, ElementDecision] = {}
        for each in decision.elements:
            tasks.setdefault(each.task.name, each)  # equal elements are made once
        fanout.left.update(tasks)
        for each in tasks.values():
            self._push(_Work(artifact.address, each.task.name, each.task))

    def _element_done(self, work: _Work, now: Made | Absent) -> None:
        assert work.element is not None
        fanout = self._fanouts.get(work.address)
        if fanout is None:
            return  # it was begun anew
        fanout.done[work.element.name] = now
        fanout.left.discard(work.element.name)
        if fanout.left:
            return
        artifact = fanout.artifact
        absent = [each for each in fanout.done.values() if isinstance(each, Absent)]
        if absent and (artifact.on_failure != "skip" or len(absent) == len(fanout.done)):
            self._fanouts.pop(work.address)
            why = f"{len(absent)} of {len(fanout.done)} elements failed"
            self._skip(artifact, why)
            self._settle(
                work.address, Absent(artifact.name, why, skip=artifact.on_failure == "skip")
            )
            return
        self._push(_Work(work.address))

    def _fail(self, work: _Work, why: str, log: str | None = None) -> None:
        artifact = self._graph.artifacts[work.address]
        self._counts["failed"] += 1
        name = artifact.name if work.element is None else work.element.name
        self._events.tell("failed", name=name, why=why, log=log)
        tolerated = artifact.on_failure == "skip"
        if not tolerated and not self._options.keep_going and self._closing is None:
            self._closing = f"{name} failed"
        told = f"{why}; log: {log}" if log else why
        absent = Absent(name, f"failed: {told}", skip=tolerated)
        if work.element is not None:
            self._element_done(work, absent)
            return
        self._fanouts.pop(work.address, None)
        self._ended.add(work.address)
        self._settle(work.address, absent)

    def _block(self, work: _Work, decision: Decision) -> None:
        """It cannot run: for a failure above it, or for an input that there is not."""
        artifact = self._graph.artifacts[work.address]
        why = sentence(decision.reasons)
        now = outcome(artifact, decision)
        assert isinstance(now, Absent)
        if self._is_below_failure(artifact):
            self._skip(artifact, why)
            self._settle(work.address, now)
            return
        self._fail(work, why)

    def _skip(self, artifact: PlanArtifact, why: str) -> None:
        self._counts["skipped"] += 1
        self._ended.add(artifact.address)
        self._events.tell("skipped", name=artifact.name, why=why)

    def _is_below_failure(self, artifact: PlanArtifact) -> bool:
        return any(
            isinstance(self._known.get(address), Absent)
            for address in self._graph.inputs[artifact.address]
        )

    def _why_skipped(self, artifact: PlanArtifact) -> str:
        failed = [
            self._graph.artifacts[address].name
            for address in self._graph.inputs[artifact.address]
            if isinstance(self._known.get(address), Absent)
        ]
        if failed:
            return f"{', '.join(failed)} failed"
        return self._closing or "what it is made from was not made"

    def _wait_for(self, work: _Work, holder: Mapping[str, Any]) -> None:
        who = describe_holder(holder)
        if self._told_waiting.get(work) != who:
            self._told_waiting[work] = who
            artifact = self._graph.artifacts[work.address]
            name = artifact.name if work.element is None else work.element.name
            self._events.tell("waiting", name=name, holder=who)
        is_near = self._builder.store.is_local
        pause = _LOOK_SECONDS if is_near else _LOOK_SECONDS_REMOTE
        self._held[work] = time.monotonic() + pause

    def _postpone(
        self, work: _Work, error: NemoRunspecError, away_since: dict[_Work, float]
    ) -> None:
        """Look at it again if the store may only be away for a while; else it has failed.

        Args:
            work: what could not be looked at or started.
            error: why.
            away_since: since when that is so, in seconds of the monotonic clock, by work.
        """
        now = time.monotonic()
        since = away_since.setdefault(work, now)
        patience = self._builder.patience
        if not may_come_back(error) or now - since >= patience:
            del away_since[work]
            self._fail(work, str(error))
            return
        if since == now:
            name = work.part or self._graph.artifacts[work.address].name
            text = f"{error}; waits up to {duration(patience)}"
            self._events.tell("note", name=name, text=text)
        self._held[work] = now + _LOOK_SECONDS_AWAY

    def _release(self, lease: Lease) -> None:
        self._world.held.discard(lease.lease_id)
        # One that cannot be given back is taken over once this process is gone.
        with contextlib.suppress(NemoRunspecError):
            lease.release()


def _differs(before: Upstream, now: Upstream) -> bool:
    """Whether those below see another input."""
    if isinstance(before, Made) and isinstance(now, Made):
        return before.identity != now.identity
    return before != now
