"""What a page of docs holds that can be checked: commands with what they print, files, snippets.

The pages are Markdown with these conventions:

- A fenced block ``console`` holds commands after ``$ `` (a line that ends in a backslash goes on in
  the next one) and below each what it prints, standard output and error together. ``…`` stands
  for anything: alone on a line for any number of lines, within a line for any text.
- A fenced block with ``title="PATH"`` is a file that the reader writes.
- A comment on the line before a block says what is special: ``<!-- not run: REASON -->`` that its
  commands need what is not here, so that only their spelling is checked; ``<!-- fails -->`` that
  its commands end with an exit code other than 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"(?P<indent> *)(?P<fence>`{3,})(?P<info>[^`]*)")
_TITLE = re.compile(r'title="(?P<title>[^"]+)"')
_COMMENT = re.compile(r"\s*<!-- (?P<text>.*?) -->\s*")
_NOT_RUN = "not run: "
_FAILS = "fails"
_PROMPT = "$ "


class PageError(Exception):
    """A page breaks the conventions; the message names the file and the line."""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        line: where its fence opens, from 1.
        language: the first word behind the fence; may be empty.
        title: the path of the file that it is; None for none.
        comment: the text of the comment right before it; empty for none.
        text: what is in it, without the fences.
    """

    line: int
    language: str
    title: str | None
    comment: str
    text: str

    @property
    def not_run(self) -> str | None:
        """Why its commands cannot run; None where they do."""
        return self.comment.removeprefix(_NOT_RUN) if self.comment.startswith(_NOT_RUN) else None

    @property
    def fails(self) -> bool:
        """Whether its commands end with an exit code other than 0."""
        return self.comment == _FAILS


@dataclass(frozen=True)
class Command:
    """A command on a page, and what the page says that it prints.

    Args:
        line: where it stands, from 1.
        text: the command, for bash.
        prints: the lines below it; none where the page shows nothing.
    """

    line: int
    text: str
    prints: tuple[str, ...]


def blocks(page: Path) -> tuple[Block, ...]:
    """Return a page's fenced blocks, in order.

    Raises:
        PageError: a fence is never closed.
    """
    return tuple(_blocks(page, page.read_text(encoding="utf-8").splitlines()))


def _blocks(page: Path, lines: list[str]) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        opened = _FENCE.fullmatch(lines[number])
        if opened is None:
            number += 1
            continue
        end = number + 1
        while end < len(lines) and lines[end].strip() != opened["fence"]:
            end += 1
        if end == len(lines):
            raise PageError(f"{page}:{number + 1}: this block is never closed")
        indent = len(opened["indent"])
        comment = _COMMENT.fullmatch(lines[number - 1]) if number else None
        title = _TITLE.search(opened["info"])
        yield Block(
            number + 1,
            opened["info"].split()[0] if opened["info"].split() else "",
            title["title"] if title else None,
            comment["text"] if comment else "",
            "".join(f"{line[indent:]}\n" for line in lines[number + 1 : end]),
        )
        number = end + 1


def commands(page: Path, block: Block) -> tuple[Command, ...]:
    """Return the commands of a ``console`` block.

    Raises:
        PageError: the block begins with something else.
    """
    found: list[Command] = []
    lines = block.text.splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        if not line.startswith(_PROMPT):
            if not found:
                where = block.line + number + 1
                raise PageError(f"{page}:{where}: a console block begins with a command: $ …")
            last = found[-1]
            found[-1] = Command(last.line, last.text, (*last.prints, line))
            number += 1
            continue
        first = number
        text = line.removeprefix(_PROMPT)
        while text.endswith("\\") and number + 1 < len(lines):
            number += 1
            text += f"\n{lines[number]}"
        found.append(Command(block.line + first + 1, text, ()))
        number += 1
    return tuple(found)


def inline_commands(page: Path, words: tuple[str, ...]) -> tuple[Command, ...]:
    """Return the code in the text, outside of blocks, that begins with one of the words."""
    found = []
    fence = None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        opened = _FENCE.fullmatch(line)
        if fence is None and opened:
            fence = opened["fence"]
        elif fence is not None:
            if line.strip() == fence:
                fence = None
        else:
            for code in re.findall(r"`([^`]+)`", line):
                if code.split(" ")[0] in words and " " in code:
                    found.append(Command(number, code, ()))
    return tuple(found)
