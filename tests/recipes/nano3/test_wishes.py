"""What counts as a wish that came true, and how data is made of stories and of wishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipes.nano3.corpus import Teller, text
from recipes.nano3.errors import InputError
from recipes.nano3.stage1_sft.data_prep import KINDS, make_examples
from recipes.nano3.stage2_rl.data_prep import divide
from recipes.nano3.wishes import (
    Example,
    Wish,
    has,
    prompt,
    read_examples,
    read_wishes,
    reward,
    write_examples,
    write_wishes,
)

STORY = "Zoë the smith had two knives at the mill."


@pytest.mark.parametrize(
    ("wish", "ended", "expected"),
    [
        (("Zoë", "mill"), True, 1.0),
        (("Zoë", "mill"), False, 2 / 3),
        (("Zoë", "knife"), True, 2 / 3),
        (("Mira", "harbour"), True, 1 / 3),
        (("Mira", "harbour"), False, 0.0),
    ],
)
def test_each_word_and_the_end_count_alike(wish: Wish, ended: bool, expected: float) -> None:
    assert reward(wish, STORY, ended=ended) == pytest.approx(expected)


def test_words_count_as_wholes() -> None:
    assert has("an oar.", "oar")
    assert not has("two oars.", "oar")
    assert not has("Zoëlle", "Zoë")
    assert has("(a.b)", "a.b")
    assert not has("aXb", "a.b")


def test_every_example_keeps_its_own_wish() -> None:
    stories = [story for story in text(count=100).split("\n\n") if story]
    examples = list(make_examples(stories, KINDS, 3, Teller(1)))
    assert len(examples) == 300
    assert all(reward(each.wish, each.story, ended=True) == 1 for each in examples)
    assert all(each.wish[0] in KINDS[0] for each in examples)
    kinds = {next(n for n, kind in enumerate(KINDS) if each.wish[1] in kind) for each in examples}
    assert kinds == {1, 2, 3}
    assert examples == list(make_examples(stories, KINDS, 3, Teller(1)))
    assert examples != list(make_examples(stories, KINDS, 3, Teller(2)))


def test_a_story_with_nothing_to_wish_for_makes_no_example() -> None:
    stories = ["Nobody came.", "Mira came.", "The mill stood still."]
    assert list(make_examples(stories, KINDS, 3, Teller(1))) == []


def test_wishes_are_tested_by_that_nobody_practised() -> None:
    wishes = [("a", str(number % 30)) for number in range(100)]
    practice, test = divide(wishes, 10, Teller(1))
    assert (len(practice), len(test)) == (20, 10)
    assert {*practice, *test} == set(wishes)
    assert (practice, test) == divide(reversed(wishes), 10, Teller(1))
    with pytest.raises(InputError, match="held_out: 30 leaves none of 30 wishes"):
        divide(wishes, 30, Teller(1))


def test_nasty_text_survives_the_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "with space; 'ünï'.jsonl"
    examples = [
        Example(("a b", "'\"; echo $HOME"), "two\nlines\u2028and\x85more\r\n"),
        Example((), "🦊"),
    ]
    write_examples(path, examples)
    assert read_examples(path) == examples
    assert read_wishes(path) == [each.wish for each in examples]
    write_wishes(path, [("x",)])
    assert read_wishes(path) == [("x",)]
    assert prompt(("Mira", "egg")) == "Mira, egg:\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty; make the data anew"),
        ('{"wish": ["a"]}\n', ":1: no story"),
        ('{"wish": ["a"], "story": "b"}\n{"wish', ":2: no valid JSON"),
        ("[1]\n", ":1: a JSON object is needed, not list"),
    ],
)
def test_a_file_that_is_no_data_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_examples(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
