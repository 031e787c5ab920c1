"""The grammar of PEP 723: metadata blocks in the comments of a script.

Source: https://peps.python.org/pep-0723/#specification. `BLOCK` is the PEP's own regular
expression, letter for letter, and decides what a block is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = re.compile(
    r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$",
)
_OPENING = "# /// "
# The first two characters of a line, or the one of an empty comment. A line ends at a newline: the
# PEP's example code splits at every Unicode line separator, which cuts TOML strings that hold one.
_PREFIX = re.compile(r"(?m)^# ?")


@dataclass(frozen=True)
class Block:
    """A metadata block.

    Args:
        type: what stands behind the opening `# ///`.
        source: the block's comment lines as they stand in the script.
        content: its lines without the comment prefix.
        line: the line of the opening `# ///`, counted from 1.
        start: where it begins in the text, with newlines normalised, in characters.
    """

    type: str
    source: str
    content: str
    line: int
    start: int


def normalise_newlines(text: str) -> str:
    """Return text with CRLF and CR as LF, as Python itself reads a source file."""
    if "\r" not in text:
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n")


def iterate_blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of every type, in order.

    The same matches as `BLOCK.finditer(text)`, found many times faster: a block can start only
    where its opening stands at the start of a line.

    Args:
        text: a script, with newlines normalised.
    """
    start = text.find(_OPENING)
    while start >= 0:
        match = BLOCK.match(text, start)
        if match is None:
            start = text.find(_OPENING, start + 1)
            continue
        yield Block(
            type=match["type"],
            source=match[0],
            content=_PREFIX.sub("", match["content"]),
            line=text.count("\n", 0, start) + 1,
            start=start,
        )
        start = text.find(_OPENING, match.end())
