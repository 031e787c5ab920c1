"""Whether a command printed what its page shows, less what differs from run to run."""

from __future__ import annotations

import getpass
import re
from collections.abc import Sequence
from pathlib import Path

# Where the pages' reader has the repository, and who that is.
ROOT = "/home/ada/pipelines"
WHO = "ada@laptop"

_ANY = "…"
# What Pants says of its own work; how much that is depends on what it has done before.
_PANTS_LOG = re.compile(r"\d\d:\d\d:\d\d\.\d\d \[(INFO|WARN)\] ")
# In a clone that was set back Pants looks once more for files that an earlier page had there.
_PANTS_MISSES_FILES = re.compile(
    r"(?m)^\d\d:\d\d:\d\d\.\d\d \[WARN\] Unmatched glob.*\n"
    r"\nDo the file\(s\) exist\?.*\n(\n(?=\n))?"
)
_NORMAL = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?"), "<when>"),
    (re.compile(r"\b\d{8}-\d{6}(-\d+)?\b"), "<stamp>"),
    (re.compile(r"\b[0-9a-f]{10,}\b"), "<digest>"),
    (re.compile(r"\b\d+(\.\d+)? (h|min|s)( \d+ (min|s))?(?!\w)"), "<time>"),
    (re.compile(r"\s+"), " "),
)


def differs(shown: Sequence[str], printed: str, root: Path) -> str | None:
    """Compare what a page shows with what was printed.

    Args:
        shown: the page's lines; none of them means that the page leaves the output out.
        printed: standard output and error of the command.
        root: the repository in which it ran.

    Returns:
        None if they agree, else what was printed, as the page would show it.
    """
    if not shown:
        return None
    as_read = _as_read(printed, root)
    expected = [_normal(line) for line in shown]
    while expected and not expected[-1]:
        expected.pop()
    pattern = "".join(_line_pattern(line) for line in expected)
    actual = "".join(f"{_normal(line)}\n" for line in as_read)
    return None if re.fullmatch(pattern, actual) else "\n".join(as_read)


def _as_read(printed: str, root: Path) -> list[str]:
    """The printed lines as the pages' reader would see them, without what Pants logs."""
    text = _PANTS_MISSES_FILES.sub("", printed.replace(str(root), ROOT))
    text = re.sub(rf"\b{re.escape(getpass.getuser())}@[\w.-]+", WHO, text)
    lines = [line for line in text.splitlines() if not _PANTS_LOG.match(line)]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _normal(line: str) -> str:
    for pattern, instead in _NORMAL:
        line = pattern.sub(instead, line)
    return line.strip()


def _line_pattern(line: str) -> str:
    if line == _ANY:
        return r"(?:.*\n)*"
    return r"[^\n]*".join(re.escape(part) for part in line.split(_ANY)) + r"\n"
