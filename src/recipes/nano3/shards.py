"""Tokenised text on disk: what data preparation leaves and training reads.

::

    index.json            written last: a folder without it is no dataset
    tokenizer.json
    train-00000.npy       token ids, uint16, one dimension; every document ends in END_OF_DOCUMENT
    train-00001.npy
    validation-00000.npy
    metadata.json         for who asks a version of it: how much there is, and the list of shards

``index.json`` holds for each split its shards (file, tokens, sha256) and how many documents,
tokens and bytes of text they are; the bytes make losses comparable between tokenizers.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes.nano3.errors import InputError
from recipes.nano3.files import METADATA, read_json, replace_file, sha256, write_json
from recipes.nano3.tokenizer import END_OF_DOCUMENT, Tokenizer

FORMAT = "nano3-shards/1"
INDEX = "index.json"
TOKENIZER = "tokenizer.json"

Tokens = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Shard:
    file: str
    tokens: int
    sha256: str


@dataclass(frozen=True)
class Split:
    documents: int
    tokens: int
    bytes: int
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class Dataset:
    """A folder of shards whose index has been read; tokens are read when asked for."""

    folder: Path
    tokenizer: Tokenizer
    splits: dict[str, Split]

    @property
    def identity(self) -> str:
        """A digest of every token and the tokenizer: equal data is equal wherever it lies."""
        parts = [sha256(self.folder / TOKENIZER)]
        parts += [
            shard.sha256 for name in sorted(self.splits) for shard in self.splits[name].shards
        ]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def documents(self, split: str) -> list[str]:
        """The texts of a split. Raises InputError as :meth:`tokens` does."""
        tokens = self.tokens(split)
        parts = np.split(tokens, np.flatnonzero(tokens == END_OF_DOCUMENT) + 1)
        return [self.tokenizer.decode(part) for part in parts[:-1]]

    def tokens(self, split: str) -> Tokens:
        """All tokens of a split, shape (tokens,).

        Raises:
            InputError: A shard is missing or is not the one that the index was written for.
        """
        shards = [_read_shard(self.folder, shard) for shard in self.splits[split].shards]
        return np.concatenate(shards)


def write_dataset(
    folder: Path,
    documents: Mapping[str, Sequence[str]],
    tokenizer: Tokenizer,
    shard_tokens: int,
) -> Dataset:
    """Tokenises each split's documents into shards of ``shard_tokens`` (the last one is shorter).

    A reader sees either the former dataset, none, or the new one.
    """
    (folder / INDEX).unlink(missing_ok=True)
    tokenizer.save(folder / TOKENIZER)
    splits = {
        name: _write_split(folder, name, texts, tokenizer, shard_tokens)
        for name, texts in documents.items()
    }
    index = {
        "format": FORMAT,
        "tokenizer": TOKENIZER,
        "vocab_size": tokenizer.vocab_size,
        "splits": {name: asdict(split) for name, split in splits.items()},
    }
    shards = [asdict(shard) for split in splits.values() for shard in split.shards]
    metadata = {
        "total_tokens": sum(split.tokens for split in splits.values()),
        "total_sequences": sum(split.documents for split in splits.values()),
        "train_tokens": splits["train"].tokens,
        "valid_tokens": splits["validation"].tokens,
        "num_shards": len(shards),
        "shards": shards,
    }
    write_json(folder / METADATA, metadata)
    write_json(folder / INDEX, index)
    return Dataset(folder, tokenizer, splits)


def read_dataset(folder: Path) -> Dataset:
    """Raises InputError if ``folder`` holds no dataset of this format."""
    path = folder / INDEX
    if not path.is_file():
        raise InputError(f"{folder}: no {INDEX}, so no prepared shards; make them by data_prep.py")
    index = read_json(path)
    if index.get("format") != FORMAT:
        raise InputError(f"{path}: format is {index.get('format')!r}, not {FORMAT!r}")
    splits = {name: _split(entry) for name, entry in index["splits"].items()}
    return Dataset(folder, Tokenizer.load(folder / TOKENIZER), splits)


def read_shard(path: Path) -> Tokens:
    """The tokens of one file, shape (tokens,). Raises InputError if it is no shard."""
    try:
        tokens: Tokens = np.load(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no shard of tokens: {error}") from error
    return tokens


def _split(entry: dict[str, Any]) -> Split:
    shards = tuple(Shard(**shard) for shard in entry["shards"])
    return Split(entry["documents"], entry["tokens"], entry["bytes"], shards)


def _write_split(
    folder: Path, name: str, texts: Sequence[str], tokenizer: Tokenizer, shard_tokens: int
) -> Split:
    tokens = _tokenise(texts, tokenizer)
    shards = tuple(
        _write_shard(folder, f"{name}-{number:05d}.npy", tokens[start : start + shard_tokens])
        for number, start in enumerate(range(0, len(tokens), shard_tokens))
    )
    size = sum(len(text.encode("utf-8")) for text in texts)
    return Split(documents=len(texts), tokens=len(tokens), bytes=size, shards=shards)


def _tokenise(texts: Iterable[str], tokenizer: Tokenizer) -> Tokens:
    ids: list[int] = []
    for text in texts:
        ids += tokenizer.encode(text)
        ids.append(END_OF_DOCUMENT)
    return np.array(ids, dtype=np.uint16)


def _write_shard(folder: Path, file_name: str, tokens: Tokens) -> Shard:
    buffer = io.BytesIO()
    np.save(buffer, tokens.astype("<u2"))  # little-endian on every machine
    with replace_file(folder / file_name) as file:
        file.write(buffer.getvalue())
    return Shard(file_name, len(tokens), hashlib.sha256(buffer.getvalue()).hexdigest())


def _read_shard(folder: Path, shard: Shard) -> Tokens:
    path = folder / shard.file
    if not path.is_file():
        raise InputError(f"{path}: missing, though {INDEX} lists it; prepare the data again")
    if sha256(path) != shard.sha256:
        raise InputError(f"{path}: not the file that {INDEX} lists; prepare the data again")
    return read_shard(path)
