"""A byte-level byte-pair tokenizer (Sennrich et al. 2016; on bytes, as in GPT-2).

Token ids: 0-255 are the bytes themselves, so that any text can be written; 256 ends a document;
from 257 on each id stands for a pair of earlier ids that often stood side by side.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from recipes.nano3.errors import InputError
from recipes.nano3.files import read_json, write_json

FORMAT = "nano3-tokenizer/1"
END_OF_DOCUMENT = 256
FIRST_MERGE = 257

Pair = tuple[int, int]

# A word with the space before it, a number, a run of other signs, or white space. Merges never
# cross these borders, which keeps tokens meaningful and training fast. Every character is matched.
_PIECES = re.compile(r" ?[^\W\d_]+| ?\d+| ?(?:[^\w\s]|_)+|\s+(?!\S)|\s")


@dataclass(frozen=True)
class Tokenizer:
    """``merges[i]`` is the pair of ids that id ``257 + i`` stands for."""

    merges: tuple[Pair, ...]

    @property
    def vocab_size(self) -> int:
        return FIRST_MERGE + len(self.merges)

    def encode(self, text: str) -> list[int]:
        known: dict[str, list[int]] = {}
        ids: list[int] = []
        for piece in _PIECES.findall(text):
            if piece not in known:
                known[piece] = self._encode_piece(piece)
            ids += known[piece]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``; bytes that are no UTF-8 (a model may say such) become U+FFFD."""
        return b"".join(self._bytes[token] for token in ids).decode("utf-8", errors="replace")

    def save(self, path: Path) -> None:
        write_json(path, {"format": FORMAT, "merges": [list(pair) for pair in self.merges]})

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        document = read_json(path)
        if document.get("format") != FORMAT:
            raise InputError(f"{path}: format is {document.get('format')!r}, not {FORMAT!r}")
        return cls(tuple((left, right) for left, right in document["merges"]))

    def _encode_piece(self, piece: str) -> list[int]:
        ids = list(piece.encode("utf-8"))
        while len(ids) > 1:
            # Merges apply in the order in which they were learnt.
            pair = min(_pairs(ids), key=lambda pair: self._merged.get(pair, self.vocab_size))
            if pair not in self._merged:
                break
            ids = _merge(ids, pair, self._merged[pair])
        return ids

    @cached_property
    def _merged(self) -> dict[Pair, int]:
        return {pair: FIRST_MERGE + rank for rank, pair in enumerate(self.merges)}

    @cached_property
    def _bytes(self) -> list[bytes]:
        table = [bytes([byte]) for byte in range(256)] + [b""]
        for left, right in self.merges:
            table.append(table[left] + table[right])
        return table


def train_tokenizer(documents: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learns merges until there are ``vocab_size`` ids, or fewer if the text has no more pairs.

    The same documents give the same tokenizer everywhere: of pairs that are equally frequent the
    one with the smaller ids wins.
    """
    frequency = Counter(piece for text in documents for piece in _PIECES.findall(text))
    words = [(list(piece.encode("utf-8")), count) for piece, count in sorted(frequency.items())]
    merges: list[Pair] = []
    while FIRST_MERGE + len(merges) < vocab_size:
        pairs: Counter[Pair] = Counter()
        for ids, count in words:
            for pair in _pairs(ids):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        words = [(_merge(ids, best, FIRST_MERGE + len(merges)), count) for ids, count in words]
        merges.append(best)
    return Tokenizer(tuple(merges))


def _pairs(ids: Sequence[int]) -> list[Pair]:
    return list(pairwise(ids))


def _merge(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    merged: list[int] = []
    for token in ids:
        if merged and (merged[-1], token) == pair:
            merged[-1] = new
        else:
            merged.append(token)
    return merged
