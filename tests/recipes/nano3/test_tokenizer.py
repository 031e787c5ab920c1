from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.nano3.corpus import text
from recipes.nano3.errors import InputError
from recipes.nano3.tokenizer import Tokenizer, train_tokenizer

TOKENIZER = train_tokenizer(text(count=60).split("\n\n"), vocab_size=400)


@given(st.text())
def test_any_text_comes_back(document: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(document)) == document


def test_training_is_exact_and_stops_at_the_size_asked_for() -> None:
    documents = text(count=60).split("\n\n")
    assert train_tokenizer(documents, vocab_size=400) == TOKENIZER
    assert TOKENIZER.vocab_size == 400
    assert train_tokenizer(["ab"], vocab_size=400).vocab_size == 258


def test_merges_shorten_what_was_frequent() -> None:
    assert len(TOKENIZER.encode(" the harbour")) <= 3


def test_overlapping_pairs_merge_from_the_left() -> None:
    tokenizer = train_tokenizer(["aaaaa"], vocab_size=258)
    assert tokenizer.encode("aaa") == [257, ord("a")]


def test_a_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "with space; 'ünï'.json"
    TOKENIZER.save(path)
    assert Tokenizer.load(path) == TOKENIZER


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(InputError, match="format is None, not 'nano3-tokenizer/1'"):
        Tokenizer.load(path)
