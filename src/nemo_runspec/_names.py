"""Nearest names: what somebody probably meant to type."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# A different letter in a shorter word is as likely another word (text/test, batch/patch).
_MIN_SUBSTITUTION = 6
_MIN_TRANSPOSITION = 3
_MIN_INSERTION = 2


def hint(name: str, choices: Iterable[str], *, kind: str = "There are") -> str:
    """The end of an error message: the nearest name, then all names there are.

    Args:
        name: what was written.
        choices: the names that would have been right.
        kind: how the list is introduced.

    Returns:
        ``"did you mean 'tiny'? There are: default, tiny"``, without the question when nothing is
        near; ``"there are none"`` when there is nothing to choose from.
    """
    known = sorted(set(choices))
    if not known:
        return "there are none"
    listed = f"{kind}: {', '.join(known)}"
    near = nearest(name, known)
    if near is not None:
        return f"did you mean {near!r}? {listed}"
    return f"{listed[0].lower()}{listed[1:]}"


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice most like ``name``, or None when none is near."""
    by_fold = {choice.casefold(): choice for choice in choices}
    found = difflib.get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.6)
    return by_fold[found[0]] if found else None


def typo_of(name: str, known: Iterable[str]) -> str | None:
    """The known name that ``name`` is almost certainly a misspelling of, or None.

    Stricter than :func:`nearest`, because the answer turns a legal new key into an error: the
    names must agree but for separators and capitals, or but for one slip (a letter too many, too
    few, two exchanged, or in a long word a wrong one) per word. Names that differ in a digit
    (``beta1``, ``beta2``) or in a whole word (``min_lr``, ``max_lr``) are different names.
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
    return all(
        a == b or _is_one_edit(a, b) for a, b in zip(written_words, known_words, strict=True)
    )


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
