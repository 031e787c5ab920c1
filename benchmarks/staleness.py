"""Holds the peers to the rows of the staleness suite and prints a table in Markdown.

    python3 benchmarks/staleness.py [--peer NAME]... [--row TEXT] [--docs]

`--docs` puts the table into `docs/staleness.md`. Some minutes: each row is a copy of a pipeline
that is up to date, an edit to it, a dry run and a run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

from peer_pipelines import PEERS, Peer
from peer_tools import peer_version
from scene import BenchmarkError

from tests.staleness.rows import ROWS, Outcome, Row, outcome

DOCS = Path(__file__).resolve().parent.parent / "docs" / "staleness.md"
BEGIN, END = "<!-- made by benchmarks/staleness.py --docs -->", "<!-- end -->"


def verdict(found: Outcome) -> str:
    """Return what a tool did in a row, in a few words."""
    words = []
    if not found.is_right:
        words.append("**no result**" if found.served is None else "**stale result**")
    if found.needless:
        words.append(f"ran {_names(found.needless)} needlessly")
    if not found.plan_holds:
        said = "fails" if found.planned.failed else f"says {_names(found.planned.stale)}"
        words.append(f"dry run {said}, ran {_names(found.ran)}")
    return "; ".join(words) or "right"


def _names(stages: frozenset[str]) -> str:
    return " and ".join(sorted(stages)) or "nothing"


def expected(row: Row) -> str:
    """Return what has to run in a row, in words."""
    return _names(row.expected)


def table(verdicts: dict[str, list[str]], rows: Sequence[Row]) -> str:
    """Return the verdicts as a table in Markdown, a tool a column."""
    heads = ["what changes", "has to run", *(f"{name} {peer_version(name)}" for name in verdicts)]
    lines = [heads, ["---"] * len(heads)]
    for number, row in enumerate(rows):
        lines.append([row.name, expected(row), *(column[number] for column in verdicts.values())])
    right = [f"{column.count('right')} of {len(rows)}" for column in verdicts.values()]
    lines.append(["right in every way", "", *right])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def held_to(kind: type[Peer], rows: Sequence[Row]) -> list[str]:
    """Return a tool's verdicts over rows."""
    with tempfile.TemporaryDirectory(prefix="staleness-") as name:
        folder = Path(name).resolve()
        (folder / "up-to-date").mkdir()
        up_to_date = kind(folder / "up-to-date")
        up_to_date.set_up()
        verdicts = []
        for number, row in enumerate(rows):
            # Each in a folder of the same name: a tool may keep absolute paths.
            copy = up_to_date.copy(folder / f"row-{number}")
            verdicts.append(verdict(outcome(copy, copy.tree, copy.ran, row, {})))
            print(f"{kind.name}: {row.name}: {verdicts[-1]}", file=sys.stderr)
    return verdicts


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description="Hold the peers to the staleness suite.")
    names = [kind.name for kind in PEERS]
    parser.add_argument("--peer", action="append", choices=names, help="this one alone")
    parser.add_argument("--row", default="", metavar="TEXT", help="rows with TEXT in their name")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/staleness.md")
    options = parser.parse_args(argv)
    if options.docs and (options.peer or options.row):
        parser.error("--docs: the docs hold all peers and rows")
    rows = [row for row in ROWS if options.row in row.name]
    kinds = [kind for kind in PEERS if not options.peer or kind.name in options.peer]
    try:
        found = table({kind.name: held_to(kind, rows) for kind in kinds}, rows)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(found)
    if options.docs:
        before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        DOCS.write_text(f"{before}{BEGIN}\n{found}\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
