"""The staleness suite over our own targets: one test a row, in one repository whose Pants is warm.

What ran is what the scripts themselves left word of, and what is served in the end is compared
with a run from scratch. Between rows the tree goes back to what it was, and nothing runs for that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from tests.integration.repository import Repository
from tests.staleness.ours import RESOLVES, Ours, address
from tests.staleness.rows import FIRST, NOTHING, ROWS, Row, outcome

PLAIN = [row for row in ROWS if not row.tampers]
TAMPERING = [row for row in ROWS if row.tampers]


@pytest.fixture(scope="module")
def ours(repository: Repository) -> Ours:
    """The pipeline, all of it up to date."""
    found = Ours(dataclasses.replace(repository, variables=RESOLVES))
    found.set_up()
    assert sorted(found.ran.read_text().split()) == ["first", "join", "second"]
    return found


@pytest.fixture
def row(request: pytest.FixtureRequest, ours: Ours) -> Iterator[Row]:
    """A row; outputs that it harms are made whole again after it."""
    row: Row = request.param
    yield row
    if row.harms:
        ours.check("content")
        for stage in ("first", "second"):
            ours.run(Row("made whole", NOTHING, goal=stage), {})
        ours.check("exists")


def named(row: Row) -> str:
    """Return a row's name, for its test."""
    return row.name.replace(" ", "-")


def hold(ours: Ours, row: Row) -> None:
    """Hold ours to a row: what ran, what was planned, what is served."""
    tree = ours.tree
    try:
        found = outcome(ours, tree, ours.ran, row, {})
    finally:
        tree.restore()
    assert found.ran == row.expected
    assert found.plan_holds, f"planned {found.planned}, ran {sorted(found.ran)}"
    assert found.is_right, f"served {found.served!r}, and right is {found.right!r}"


@pytest.mark.parametrize("row", PLAIN, indirect=True, ids=named)
def test_what_an_edit_makes_stale_runs(ours: Ours, row: Row) -> None:
    hold(ours, row)


@pytest.mark.parametrize("row", TAMPERING, indirect=True, ids=named)
@pytest.mark.parametrize("check", ["exists", "stat", "content"])
def test_tampering_shows_when_outputs_are_looked_at(ours: Ours, row: Row, check: str) -> None:
    ours.check(check)
    if check != "exists":
        hold(ours, row)
        return
    # By choice: outputs are looked at for being there, and what stands in them is not read.
    found = outcome(ours, ours.tree, ours.ran, row, {})
    assert found.ran == NOTHING and found.plan_holds


def test_what_was_deleted_in_the_middle_is_made_again_when_it_is_asked_for(ours: Ours) -> None:
    intermediate = ours.output("first")
    intermediate.unlink()
    nodes = {n["name"]: n["state"] for n in ours.nodes([address("second")], (), {})}
    assert nodes == {"staleness-first": "gone", "staleness-second": "fresh"}
    again = Row("the intermediate output, by name", FIRST, goal="first")
    hold(ours, again)
