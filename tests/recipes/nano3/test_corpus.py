"""The text that ships is the one that the generator makes, and it means what it says."""

from __future__ import annotations

import re

from recipes.nano3.corpus import NUMBERS, PEOPLE, STORIES, text


def test_the_committed_file_is_exactly_what_the_generator_makes() -> None:
    assert STORIES.read_bytes() == text().encode("utf-8")


def test_another_seed_tells_other_stories() -> None:
    assert text(count=20, seed=4) != text(count=20)


def test_numbers_add_up_and_nouns_agree_with_them() -> None:
    sums = re.findall(r"(\w+) and (\w+) make (\w+),", text())
    assert len(sums) > 100
    for first, second, total in sums:
        assert NUMBERS.index(first.lower()) + NUMBERS.index(second) == NUMBERS.index(total)
    for person in PEOPLE:
        assert f"one {person.goods.many}" not in text()
        assert f"two {person.goods.one} " not in text()


def test_everybody_keeps_trade_and_pronoun() -> None:
    trades = {person.name: (person.she, person.trade) for person in PEOPLE}
    claims = re.findall(r"It must belong to (\w+), for (\w+) is a (\w+)", text())
    assert len(claims) > 100
    assert all(trades[name] == (she, trade) for name, she, trade in claims)
