"""Names that are almost certainly misspelt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

# A different letter in a shorter word is as likely another word (text/test, batch/patch).
_MIN_SUBSTITUTION = 6
_MIN_TRANSPOSITION = 3
_MIN_INSERTION = 2


def typo_of(name: str, known: Iterable[str]) -> Optional[str]:
    """Return the known name that `name` is almost certainly a misspelling of, or None.

    Strict, because the answer turns a legal new key into an error: the names must agree but for
    separators and capitals, or but for one slip (a letter too many, too few, two exchanged, or in a
    long word a wrong one) per word. Names that differ in a digit (`beta1`, `beta2`) or in a whole
    word (`min_lr`, `max_lr`) are different names.
    """
    choices = set(known)
    if name in choices:
        return None
    for choice in sorted(choices):
        if _is_slip(name.casefold(), choice.casefold()):
            return choice
    return None


def _is_slip(written: str, known: str) -> bool:
    written_words = written.replace("-", "_").split("_")
    known_words = known.replace("-", "_").split("_")
    if "".join(written_words) == "".join(known_words):
        return True
    if len(written_words) != len(known_words):
        return False
    return all(a == b or _is_one_edit(a, b) for a, b in zip(written_words, known_words))


def _is_one_edit(a: str, b: str) -> bool:
    short, long = sorted((a, b), key=len)
    start = 0
    while start < len(short) and short[start] == long[start]:
        start += 1
    if len(long) == len(short) + 1:
        same_rest = short[start:] == long[start + 1 :]
        return same_rest and len(short) >= _MIN_INSERTION and not long[start].isdigit()
    if len(long) != len(short):
        return False
    changed = short[start : start + 2] + long[start : start + 2]
    if any(char.isdigit() for char in changed):
        return False
    exchanged = short[start : start + 2] == long[start : start + 2][::-1]
    if exchanged and short[start + 2 :] == long[start + 2 :]:
        return len(short) >= _MIN_TRANSPOSITION
    return short[start + 1 :] == long[start + 1 :] and len(short) >= _MIN_SUBSTITUTION
