from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recipes.nano3.errors import InputError
from recipes.nano3.prepare import PrepareSettings, prepare, split_documents
from recipes.nano3.shards import read_dataset, write_dataset
from recipes.nano3.tokenizer import END_OF_DOCUMENT, train_tokenizer

NASTY = (
    "plain",
    "tabs\tand 'quotes' and \"more\"; echo $HOME",
    "née, 日本語, 🦊👩‍🚀, e\u0301",
    "right\u202eto left\u200b, \x00 and \r\n",
    " spaces  at both ends  ",
)
SMALL = PrepareSettings(
    text=None, max_documents=40, vocab_size=300, validation_fraction=0.25, shard_tokens=1000
)


def test_nasty_text_survives_the_round_trip(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(NASTY, vocab_size=270)
    folder = tmp_path / "a folder; with 'ünï' in it"
    write_dataset(folder, {"train": NASTY, "validation": NASTY[:1]}, tokenizer, shard_tokens=7)

    dataset = read_dataset(folder)
    tokens = dataset.tokens("train").tolist()
    ends = [place for place, token in enumerate(tokens) if token == END_OF_DOCUMENT]
    starts = [0, *(end + 1 for end in ends)]
    parts = [dataset.tokenizer.decode(tokens[a:b]) for a, b in zip(starts, ends, strict=False)]
    assert tuple(parts) == NASTY
    assert dataset.splits["train"].tokens == len(tokens)
    assert dataset.splits["train"].bytes == sum(len(text.encode()) for text in NASTY)
    assert all(shard.tokens <= 7 for shard in dataset.splits["train"].shards)


def test_preparing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = prepare(SMALL, tmp_path / "1"), prepare(SMALL, tmp_path / "2")
    assert first.identity == second.identity
    files = sorted(path.name for path in first.folder.iterdir())
    assert files == sorted(path.name for path in second.folder.iterdir())
    assert len([name for name in files if name.startswith("train-")]) > 1
    for name in files:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()


def test_validation_documents_are_the_last_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one\n\ntwo\n\n\n\nthree\nlines\n\nfour\n", encoding="utf-8")
    settings = PrepareSettings(str(path), None, 257, 0.25, 1000)
    dataset = prepare(settings, tmp_path / "out")
    decoded = dataset.tokenizer.decode(dataset.tokens("validation").tolist())
    assert decoded == "four"
    assert dataset.splits["train"].documents == 3


def test_documents_are_divided_by_empty_lines() -> None:
    assert split_documents("\n\na\nb\n\n\nc\n") == ["a\nb", "c"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"caf\xe9\n\nbar", "not UTF-8 at byte 3"),
        (b"only one", "1 document"),
        (b"", "0 document"),
    ],
)
def test_a_text_that_cannot_be_used_is_one_line(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        prepare(PrepareSettings(str(path), None, 300, 0.1, 1000), tmp_path / "out")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_changed_or_missing_shard_is_noticed(tmp_path: Path) -> None:
    dataset = prepare(SMALL, tmp_path)
    shard = tmp_path / dataset.splits["validation"].shards[0].file
    np.save(shard, np.load(shard) + np.uint16(1))
    with pytest.raises(InputError, match=r"validation-00000\.npy: not the file that index"):
        dataset.tokens("validation")
    shard.unlink()
    with pytest.raises(InputError, match=r"validation-00000\.npy: missing"):
        dataset.tokens("validation")


def test_a_folder_without_index_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no index\.json, so no prepared shards"):
        read_dataset(tmp_path)
