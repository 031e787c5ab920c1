"""A wish names a few words, and a story fulfils it that has them all and comes to its end.

That is the instruction that fine-tuning teaches and the reward that reinforcement learning pays:
whether a wish came true can be seen from the story alone.

::

    train.jsonl           {"wish": ["Mira", "loaf", "harbour"], "story": "…"}, one a line;
    validation.jsonl      in data for reinforcement learning the wish alone
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from recipes.nano3.errors import InputError
from recipes.nano3.files import read_json_lines, write_json_lines

Wish: TypeAlias = tuple[str, ...]

TRAIN = "train.jsonl"
VALIDATION = "validation.jsonl"


@dataclass(frozen=True)
class Example:
    """A wish and a story that fulfils it."""

    wish: Wish
    story: str


def prompt(wish: Wish) -> str:
    """``("Mira", "egg", "harbour")`` gives "Mira, egg, harbour:" and a line break."""
    return f"{', '.join(wish)}:\n"


def has(story: str, word: str) -> bool:
    """Whether ``word`` stands in the story, as a word of its own."""
    return re.search(rf"\b{re.escape(word)}\b", story) is not None


def reward(wish: Wish, story: str, *, ended: bool) -> float:
    """What part of the wish came true, 0 … 1: each word counts one, and so does the end."""
    return (sum(has(story, word) for word in wish) + ended) / (len(wish) + 1)


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    write_json_lines(path, ({"wish": each.wish, "story": each.story} for each in examples))


def read_examples(path: Path) -> list[Example]:
    """Raises InputError if ``path`` holds none."""
    return [Example(tuple(line["wish"]), line["story"]) for line in _lines(path, "wish", "story")]


def write_wishes(path: Path, wishes: Iterable[Wish]) -> None:
    write_json_lines(path, ({"wish": wish} for wish in wishes))


def read_wishes(path: Path) -> list[Wish]:
    """Those of a file with or without stories. Raises InputError if ``path`` holds none."""
    return [tuple(line["wish"]) for line in _lines(path, "wish")]


def _lines(path: Path, *keys: str) -> list[dict[str, Any]]:
    lines = read_json_lines(path)
    for number, line in enumerate(lines, start=1):
        for key in keys:
            if key not in line:
                raise InputError(f"{path}:{number}: no {key}; make the data anew by data_prep.py")
    if not lines:
        raise InputError(f"{path}: empty; make the data anew by data_prep.py")
    return lines
