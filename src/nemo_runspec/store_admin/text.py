"""What the store's commands print: tables, sizes, times."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

_MOST_LABEL = 40
_LABEL_ON_TERMINAL = 16
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def human_size(size: int | None) -> str:
    """A number of bytes as people write it: ``820 B``, ``1.2 kB``, ``45 GB``; ``-`` for None."""
    if size is None:
        return "-"
    amount, unit = float(size), 0
    # 999.95 would be written as 1000.0.
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount /= 1000
        unit += 1
    digits = 1 if unit and amount < 9.95 else 0
    return f"{amount:.{digits}f} {_UNITS[unit]}"


def human_time(text: str) -> str:
    """An ISO 8601 time in this machine's zone, to the minute; the text itself if it is none."""
    moment = parse_time(text)
    return moment.astimezone().strftime("%Y-%m-%d %H:%M") if moment else text or "-"


def parse_time(text: str) -> datetime | None:
    """An ISO 8601 time, in UTC if it names no zone; None for what is none."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def plural(number: int, thing: str) -> str:
    """``1 version``, ``2 versions``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def print_json(document: Any) -> None:
    """A document for programs."""
    print(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: str = "", whole: str = ""
) -> None:
    """Rows in columns: folded to fit a terminal, elsewhere neither folded nor cut.

    Args:
        headers: what the columns are called.
        rows: the cells.
        right: the headers of columns that are set to the right, as numbers are.
        whole: the headers of columns that are never folded, as times; numbers never are.
    """
    if sys.stdout.isatty():
        _print_on_terminal(headers, rows, right.split(), (*right.split(), *whole.split()))
        return
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    for row in (headers, *rows):
        cells = (
            cell.rjust(width) if header in right.split() else cell.ljust(width)
            for header, cell, width in zip(headers, row, widths, strict=True)
        )
        print("  ".join(cells).rstrip())


def _print_on_terminal(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[str],
    whole: Sequence[str],
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for header in headers:
        table.add_column(
            header,
            justify="right" if header in right else "left",
            overflow="fold",
            no_wrap=header in whole,
        )
    for row in rows:
        table.add_row(*map(Text, row))
    Console(file=sys.stdout, highlight=False).print(table)


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Labels and what they stand for, one a line, folded to fit a terminal."""
    rows = [(f"  {label}", value) for label, value in fields]
    width = min(max((len(label) for label, _ in rows), default=0), _MOST_LABEL)
    if not sys.stdout.isatty():
        for label, value in rows:
            print(f"{label.ljust(width)}  {value}".rstrip())
        return

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(min_width=min(width, _LABEL_ON_TERMINAL), overflow="fold")
    table.add_column(overflow="fold", ratio=1)
    for label, value in rows:
        table.add_row(Text(label, style="cyan"), Text(value))
    Console(file=sys.stdout, highlight=False).print(table)
