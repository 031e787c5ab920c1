"""Nearest names: what somebody probably meant to type."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# More are not read.
_SHOWN = 30


def hint(name: str, choices: Iterable[str], *, kind: str = "There are") -> str:
    """The end of an error message: the nearest name, then the names there are.

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
    more = f", … ({len(known)} in all)" if len(known) > _SHOWN else ""
    listed = f"{kind}: {', '.join(known[:_SHOWN])}{more}"
    near = nearest(name, known)
    if near is not None:
        return f"did you mean {near!r}? {listed}"
    return f"{listed[0].lower()}{listed[1:]}"


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice most like ``name``, or None when none is near."""
    by_fold = {choice.casefold(): choice for choice in choices}
    found = difflib.get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.6)
    return by_fold[found[0]] if found else None
