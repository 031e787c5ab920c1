"""The staleness suite: one row is an edit to a working tree, and the stages that have to run then.

Ours and its peers are held to the same rows. What has to run is what decides the result: nothing
for a comment, the stage and all below it for a value that it reads, the stage alone where its
result comes out the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.staleness.pipeline import (
    INPUT,
    LOCK,
    PACKAGE,
    PACKAGES,
    READ_VARIABLE,
    Tree,
    locked,
    truth,
)

FIRST_SCRIPT = f"{PACKAGE}/first.py"
HELPER = f"{PACKAGE}/helper.py"
DEEPER = f"{PACKAGE}/deeper.py"
SECOND_SCRIPT = f"{PACKAGE}/second.py"
FIRST_CONFIG = f"{PACKAGE}/config/first/default.yaml"
OTHER_CONFIG = f"{PACKAGE}/config/first/other.yaml"
SECOND_CONFIG = f"{PACKAGE}/config/second/default.yaml"

NOTHING: frozenset[str] = frozenset()
FIRST = frozenset({"first"})
SECOND = frozenset({"second"})
BOTH = FIRST | SECOND


@dataclass(frozen=True)
class Row:
    """An edit, and what has to run then to bring `goal` up to date.

    Attributes:
        name: the edit, in words.
        expected: the stages that have to run.
        edit: makes the edit.
        variables: the environment variables that are other than before.
        profile: the run is asked to run elsewhere or otherwise, with the same result.
        goal: the stage to bring up to date.
        back: the edit is made, all brought up to date, and the edit taken back; then it counts.
        harms: an output is deleted or changed behind the tool's back.
        tampers: it is changed: whether that has to show is a choice.
    """

    name: str
    expected: frozenset[str]
    edit: Callable[[Tree], object] = lambda tree: None
    variables: Mapping[str, str] = field(default_factory=dict)
    profile: bool = False
    goal: str = "second"
    back: bool = False
    harms: bool = False
    tampers: bool = False


def changes(path: str, old: str, new: str) -> Callable[[Tree], None]:
    """Return the edit that replaces a text in a file."""
    return lambda tree: tree.change(path, old, new)


def relocks(name: str) -> Callable[[Tree], None]:
    """Return the edit that locks a package's other version."""
    old, new = (locked(name, version) for version in PACKAGES[name])
    return changes(LOCK, old, new)


def tampers(stage: str) -> Callable[[Tree], None]:
    """Return the edit that changes a stage's result behind the tool's back."""

    def tamper(tree: Tree) -> None:
        output = tree.output(stage)
        output.chmod(0o644)
        output.write_text("0 tampered", encoding="utf-8")

    return tamper


def deletes(stage: str) -> Callable[[Tree], None]:
    """Return the edit that deletes a stage's result."""
    return lambda tree: tree.output(stage).unlink()


def touches(path: str) -> Callable[[Tree], None]:
    """Return the edit that gives a file another time and nothing else."""
    return lambda tree: os.utime(tree.root / path)


ROWS = (
    Row("the input: touched", NOTHING, touches(INPUT)),
    Row("the input: changed", BOTH, changes(INPUT, "3", "5")),
    Row("the input: changed, the same result", FIRST, changes(INPUT, "1 2 3", "3 2 1")),
    Row(
        "the entry script: a comment",
        NOTHING,
        changes(FIRST_SCRIPT, "import os\n", "import os  # OS\n"),
    ),
    Row(
        "the imported module: blank lines", NOTHING, changes(HELPER, "FACTOR = 3", "\n\nFACTOR = 3")
    ),
    Row("the imported module: changed", BOTH, changes(HELPER, "FACTOR = 3", "FACTOR = 5")),
    Row("the module behind it: changed", BOTH, changes(DEEPER, "4", "6")),
    Row("the module behind it: changed, the same result", FIRST, changes(DEEPER, "4", "3 + 1")),
    Row(
        "the first config: a comment",
        NOTHING,
        changes(FIRST_CONFIG, "scale: 2\n", "scale: 2  # x\n"),
    ),
    Row("the first config: a value", BOTH, changes(FIRST_CONFIG, "scale: 2", "scale: 7")),
    Row("the second config: a value", SECOND, changes(SECOND_CONFIG, "weight: 10", "weight: 11")),
    Row(
        "the first config: what only the launcher reads",
        NOTHING,
        changes(FIRST_CONFIG, "note: one", "note: two"),
    ),
    Row("a config that is not chosen", NOTHING, changes(OTHER_CONFIG, "20", "30")),
    Row("the lockfile: a package that it can import", BOTH, relocks("six")),
    Row("the lockfile: a package that it cannot", NOTHING, relocks("iniconfig")),
    Row("the second stage's image", SECOND, changes(SECOND_SCRIPT, "staleness:1", "staleness:2")),
    Row("a variable that the config reads", BOTH, variables={READ_VARIABLE: "9"}),
    Row("a variable that the stage declares", BOTH, lambda tree: tree.declare(8)),
    Row("USER", NOTHING, variables={"USER": "somebody-else"}),
    Row("another profile", NOTHING, profile=True),
    Row(
        "a value there and back", NOTHING, changes(FIRST_CONFIG, "scale: 2", "scale: 9"), back=True
    ),
    Row("a join's input: changed", FIRST | {"join"}, changes(INPUT, "3", "8"), goal="join"),
    Row("the intermediate output: deleted", NOTHING, deletes("first"), harms=True),
    Row("the final output: deleted", SECOND, deletes("second"), harms=True),
    Row(
        "the intermediate output: tampered with", FIRST, tampers("first"), harms=True, tampers=True
    ),
    Row("the final output: tampered with", SECOND, tampers("second"), harms=True, tampers=True),
)


@dataclass(frozen=True)
class Planned:
    """What a dry run says: the stages that will run, and those that may; nothing if it failed."""

    stale: frozenset[str]
    depends: frozenset[str] = NOTHING
    failed: bool = False


class System(Protocol):
    """A tool that brings the pipeline up to date."""

    def plan(self, row: Row, variables: Mapping[str, str]) -> Planned:
        """Say what will run, without running it."""

    def run(self, row: Row, variables: Mapping[str, str]) -> None:
        """Bring `row.goal` up to date."""


@dataclass(frozen=True)
class Outcome:
    """How a tool did in a row.

    Attributes:
        row: the row.
        planned: what its dry run said.
        ran: the stages that ran.
        served: the result that it has for the goal in the end; None if there is none.
        right: the result from scratch.
    """

    row: Row
    planned: Planned
    ran: frozenset[str]
    served: str | None
    right: str

    @property
    def is_right(self) -> bool:
        """Whether what it serves is what a run from scratch gives."""
        return self.served == self.right

    @property
    def needless(self) -> frozenset[str]:
        """The stages that ran and had no need to."""
        return self.ran - self.row.expected

    @property
    def plan_holds(self) -> bool:
        """Whether what ran is what the dry run had said: all that is stale, nothing that is not."""
        planned = self.planned
        runs = planned.stale <= self.ran <= planned.stale | planned.depends
        return runs and not planned.failed


def outcome(
    system: System, tree: Tree, ran: Path, row: Row, variables: Mapping[str, str]
) -> Outcome:
    """Make a row's edit in a tree that is up to date, and see what a tool makes of it.

    Args:
        system: the tool.
        tree: its tree; the edit stays in it.
        ran: the file in which stages leave their names.
        row: the row.
        variables: environment variables of the whole suite.
    """
    everything = {**variables, **row.variables}
    row.edit(tree)
    if row.back:
        system.run(row, everything)
        tree.restore()
    ran.unlink(missing_ok=True)
    planned = system.plan(row, everything)
    assert not ran.exists(), f"{row.name}: the dry run ran something"
    system.run(row, everything)
    stages = ran.read_text(encoding="utf-8").split() if ran.exists() else []
    assert len(stages) == len(set(stages)), f"{row.name}: {stages}: one ran twice"
    output = tree.output(row.goal)
    return Outcome(
        row=row,
        planned=planned,
        ran=frozenset(stages),
        served=output.read_text(encoding="utf-8") if output.exists() else None,
        right=truth(tree, row.goal, everything),
    )
