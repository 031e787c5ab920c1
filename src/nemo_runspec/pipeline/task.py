"""A build as a value: what is to be made, what came of it, and what may go wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.job_context import JobRecord, MissingInput
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.jobs import JobPaths
from nemo_runspec.pipeline.decide import Absent, Decision, Made
from runspec.plan import PlanArtifact

# In the address of a target that another one generated: `:sft#learning_rate-1e-3`.
GENERATED = "#"


class BuildError(NemoRunspecError):
    """A build did not come to what its target promises.

    Args:
        message: one line.
        log: its job's log, if it had one.
    """

    def __init__(self, message: str, log: Path | None = None) -> None:
        self.log = log
        super().__init__(message)


class BuildStopped(NemoRunspecError):
    """A build was given up before it had ended; the next call goes on with it.

    Args:
        message: one line: what becomes of it.
        unanswered: who does not answer; None when it was told to stop.
    """

    def __init__(self, message: str, unanswered: str | None = None) -> None:
        self.unanswered = unanswered
        super().__init__(message)


@dataclass(frozen=True)
class BuildTask:
    """A version to be made.

    Args:
        artifact: the target.
        decision: what was decided of it: its key, what that is made of, its inputs.
        element: `index` and `value` of the element it is for.
        forced: whether it was asked for anew: what an earlier attempt left does not count.
    """

    artifact: PlanArtifact
    decision: Decision
    element: Mapping[str, Any] | None = None
    forced: bool = False

    @property
    def name(self) -> str:
        return self.decision.name

    @property
    def key(self) -> str:
        assert self.decision.key is not None
        return self.decision.key

    @property
    def is_element(self) -> bool:
        """Whether it is one of many alike: an element of a fan-out, or a variant of a sweep."""
        return self.element is not None or GENERATED in self.artifact.address

    @property
    def missing(self) -> tuple[MissingInput, ...]:
        """What it goes on without."""
        return tuple(
            MissingInput(each.now.name, each.now.why)
            for each in self.decision.inputs
            if isinstance(each.now, Absent)
        )


@dataclass(frozen=True)
class Built:
    """What came of a build.

    Args:
        made: the version, as those below it take it.
        seconds: how long its job ran.
        gpu_hours: what it cost.
        same: whether its content is that of the version before it.
        notes: what people should know of it.
        details: what the completion panel says of it, by label.
    """

    made: Made
    seconds: float
    gpu_hours: float
    same: bool = False
    notes: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Started:
    """A job that runs.

    Args:
        paths: its folder.
        attempt: how many times a job was started in its output folder, this time included.
        executor: whose job it is; None for one of this machine.
        job_id: what the executor calls it.
    """

    paths: JobPaths
    attempt: int
    executor: str | None = None
    job_id: str | None = None


@dataclass(frozen=True)
class Queued:
    """A job that waits for its turn on a cluster.

    Args:
        paths: its folder.
        attempt: how many times a job was started in its output folder, the next time included.
        executor: whose job it is.
        job_id: what the executor calls it.
        why: what it waits for, as far as that is known.
    """

    paths: JobPaths
    attempt: int
    executor: str
    job_id: str
    why: str | None = None


@dataclass(frozen=True)
class Note:
    """What people should know of a build while it goes on.

    Args:
        text: one line.
    """

    text: str


Tell = Callable[["Started | Queued | Note"], None]


@dataclass(frozen=True)
class Ended:
    """A job that ended well.

    Args:
        paths: its folder.
        records: the versions that it logged, checkpoints left out.
        facts: of its run.
        seconds: how long it ran.
        gpu_hours: what it cost.
    """

    paths: JobPaths
    records: Sequence[JobRecord]
    facts: Mapping[str, Any]
    seconds: float
    gpu_hours: float
