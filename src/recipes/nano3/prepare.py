"""From a text to shards: split into documents, learn a tokenizer, tokenise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipes.nano3.corpus import STORIES
from recipes.nano3.errors import InputError
from recipes.nano3.files import read_text
from recipes.nano3.shards import Dataset, write_dataset
from recipes.nano3.tokenizer import FIRST_MERGE, train_tokenizer


@dataclass(frozen=True)
class PrepareSettings:
    """How a text becomes shards.

    Attributes:
        text: A UTF-8 file with an empty line between documents; None is the stories shipped here.
        max_documents: Only the first so many; None is all.
        vocab_size: Token ids, at most; bytes and the end of a document take the first 257.
        validation_fraction: Part of the documents, from the end, that training never sees.
        shard_tokens: Tokens in a file.
    """

    text: str | None
    max_documents: int | None
    vocab_size: int
    validation_fraction: float
    shard_tokens: int

    def __post_init__(self) -> None:
        if not FIRST_MERGE <= self.vocab_size <= np.iinfo(np.uint16).max + 1:
            raise ValueError(f"vocab_size: {self.vocab_size} is not within 257..65536")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"validation_fraction: {self.validation_fraction} is not within 0..1")
        if self.shard_tokens < 1:
            raise ValueError(f"shard_tokens: {self.shard_tokens} is below 1")
        if self.max_documents is not None and self.max_documents < 2:
            raise ValueError(f"max_documents: {self.max_documents} is below 2")


def prepare(settings: PrepareSettings, folder: Path) -> Dataset:
    """Writes the dataset into ``folder``; the same settings and text give the same bytes.

    Raises:
        InputError: The text cannot be read or has fewer than two documents.
    """
    path = STORIES if settings.text is None else Path(settings.text)
    documents = split_documents(read_text(path))[: settings.max_documents]
    if len(documents) < 2:
        raise InputError(
            f"{path}: {len(documents)} document(s), too few to train on some and validate on "
            "others; separate documents by an empty line"
        )
    held_out = min(max(1, round(len(documents) * settings.validation_fraction)), len(documents) - 1)
    train, validation = documents[:-held_out], documents[-held_out:]
    # Validation text must be news to the tokenizer too.
    tokenizer = train_tokenizer(train, settings.vocab_size)
    splits = {"train": train, "validation": validation}
    return write_dataset(folder, splits, tokenizer, settings.shard_tokens)


def split_documents(text: str) -> list[str]:
    return [document for part in text.split("\n\n") if (document := part.strip("\n"))]
