"""An immutable mapping of text to text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Optional


class FrozenMapping(Mapping[str, str]):
    """A mapping that can be hashed: sorted by key, never changed after it was made.

    It equals any mapping with the same items, a plain dict too.

    Args:
        items: what it holds.
    """

    __slots__ = ("_hash", "_items")

    def __init__(self, items: Optional[Mapping[str, str]] = None) -> None:
        self._items = dict(sorted((items or {}).items()))
        self._hash = hash(tuple(self._items.items()))

    def __getitem__(self, key: str) -> str:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"FrozenMapping({self._items!r})"

    def __reduce__(self) -> tuple[type[FrozenMapping], tuple[dict[str, str]]]:
        # Text hashes differently in every process: made anew, never copied with its old hash.
        return FrozenMapping, (self._items,)
