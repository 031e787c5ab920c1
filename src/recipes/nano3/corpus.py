"""The text that nano3 learns from: little stories of a harbour town, told by a seeded grammar.

A language model needs something to find out, so the stories are not word salad. In all of them

- everybody keeps one pronoun, one trade, one home and one sort of goods to carry;
- numbers add up ("four loaves", two given away, "two loaves" left) and nouns agree with them;
- the town has a map, and a way through it names the places in their order;
- the weather decides what somebody takes along and how they arrive;
- a closing question has one right answer, which stands in the story.

``stories.txt`` beside this module is what ``python -m recipes.nano3.corpus`` prints; a test holds
the two together.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

STORIES = Path(__file__).with_name("stories.txt")
SEED = 3
COUNT = 800

T = TypeVar("T")


@dataclass(frozen=True)
class Goods:
    one: str
    many: str

    def count(self, number: int) -> str:
        """``1`` gives "one loaf", ``3`` gives "three loaves", ``0`` gives "no loaves"."""
        return f"{NUMBERS[number]} {self.one if number == 1 else self.many}"

    @property
    def any_one(self) -> str:
        return f"{'an' if self.one[0] in 'aeiou' else 'a'} {self.one}"


@dataclass(frozen=True)
class Person:
    name: str
    she: str
    her: str
    trade: str
    home: str
    goods: Goods


@dataclass(frozen=True)
class Weather:
    morning: str
    reason: str
    take: str
    arrival: str


NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

# The one road of the town, from the hills to the sea.
ROAD = ("the mill", "the orchard", "the bridge", "the market", "the chapel", "the harbour")

PEOPLE = (
    Person("Mira", "she", "her", "baker", "the mill", Goods("loaf", "loaves")),
    Person("Tomas", "he", "his", "gardener", "the orchard", Goods("apple", "apples")),
    Person("Zoë", "she", "her", "smith", "the bridge", Goods("knife", "knives")),
    Person("José", "he", "his", "farmer", "the market", Goods("egg", "eggs")),
    Person("Anaïs", "she", "her", "candlemaker", "the chapel", Goods("candle", "candles")),
    Person("Søren", "he", "his", "fisherman", "the harbour", Goods("herring", "herrings")),
    Person("Greta", "she", "her", "shepherd", "the mill", Goods("lamb", "lambs")),
    Person("Oskar", "he", "his", "beekeeper", "the orchard", Goods("jar", "jars")),
    Person("Ilse", "she", "her", "weaver", "the bridge", Goods("scarf", "scarves")),
    Person("Henrik", "he", "his", "potter", "the market", Goods("bowl", "bowls")),
    Person("Nadia", "she", "her", "painter", "the chapel", Goods("brush", "brushes")),
    Person("Emil", "he", "his", "boatman", "the harbour", Goods("oar", "oars")),
)

WEATHERS = (
    Weather("rainy", "the rain fell hard", "an umbrella", "dry and cheerful"),
    Weather("snowy", "the snow lay deep", "a pair of boots", "warm and cheerful"),
    Weather("windy", "the wind blew cold", "a heavy coat", "warm and rosy"),
    Weather("foggy", "the fog was thick", "a lantern", "slow but safe"),
    Weather("sunny", "the sun was hot", "a straw hat", "thirsty but happy"),
)


class Teller:
    """Makes every choice of a story from one seeded stream."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pick(self, choices: Sequence[T]) -> T:
        # Of all its methods Python promises the same numbers in every version for random() alone.
        return choices[int(self._random.random() * len(choices))]

    def number(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return self.pick(range(low, high + 1))

    def two_people(self) -> tuple[Person, Person]:
        first = self.pick(PEOPLE)
        return first, self.pick([person for person in PEOPLE if person is not first])


def opening(teller: Teller, person: Person) -> str:
    day = teller.pick(("morning", "afternoon", "evening"))
    weather = teller.pick(WEATHERS)
    return teller.pick(
        (
            f"{person.name} the {person.trade} lived by {person.home}.",
            f"It was a {weather.morning} {day}. {person.name} the {person.trade} was at work.",
            f"One {weather.morning} {day} {person.name} the {person.trade} left {person.home}.",
        )
    )


def gift(teller: Teller) -> str:
    """Somebody gives part of their goods away; what is left is a subtraction."""
    giver, friend = teller.two_people()
    had = teller.number(2, 10)
    given = teller.number(1, had - 1)
    left = had - given
    goods = giver.goods
    thanks = teller.pick(
        (
            f'"Thank you, {giver.name}," said {friend.name}.',
            f"{friend.name} thanked {giver.name} and went home to {friend.home}.",
            f"{friend.name} smiled, and {friend.she} gave {giver.name} {friend.goods.any_one}.",
        )
    )
    asked, answer = teller.pick(((giver, left), (friend, given)))
    return (
        f"{opening(teller, giver)} {giver.she.capitalize()} had {goods.count(had)}. "
        f"{friend.name} the {friend.trade} came by, and {giver.name} gave {friend.name} "
        f"{goods.count(given)}. Now {giver.name} had {goods.count(left)}, "
        f"and {friend.name} had {NUMBERS[given]}. {thanks} "
        f"How many {goods.many} did {asked.name} have? {NUMBERS[answer].capitalize()}."
    )


def harvest(teller: Teller) -> str:
    """Two days of work; the sum is an addition."""
    person = teller.pick(PEOPLE)
    first = teller.number(1, 5)
    second = teller.number(1, 5)
    goods = person.goods
    place = teller.pick([place for place in ROAD if place != person.home])
    return (
        f"{opening(teller, person)} On Monday {person.she} brought {goods.count(first)} "
        f"to {place}. On Tuesday {person.she} brought {goods.count(second)} more. "
        f"{NUMBERS[first].capitalize()} and {NUMBERS[second]} make {NUMBERS[first + second]}, "
        f"so there were {goods.count(first + second)} at {place}. "
        f"Who brought them? {person.name} the {person.trade} did."
    )


def journey(teller: Teller) -> str:
    """A walk along the road; the places between come in the order of the map."""
    person, friend = teller.two_people()
    start = ROAD.index(person.home)
    end = teller.pick([place for place in range(len(ROAD)) if place != start])
    way = ROAD[start : end + 1] if end > start else ROAD[end : start + 1][::-1]
    between = f" past {' and '.join(way[1:-1])}" if len(way) > 2 else ""
    direction = "down the road to the sea" if end > start else "up the road to the hills"
    weather = teller.pick(WEATHERS)
    return (
        f"It was a {weather.morning} morning. {person.name} the {person.trade} wanted to see "
        f"{friend.name} at {way[-1]}. {person.she.capitalize()} took {weather.take}, because "
        f"{weather.reason}. From {way[0]} {person.she} went {direction},{between or ' straight'} "
        f"to {way[-1]}. {person.she.capitalize()} arrived {weather.arrival}. "
        f"What did {person.name} take along? {person.she.capitalize()} took {weather.take}."
    )


def lost(teller: Teller) -> str:
    """Something is lost and found; its owner is known by the goods."""
    owner, finder = teller.two_people()
    place = teller.pick(ROAD)
    goods = owner.goods
    weather = teller.pick(WEATHERS)
    praise = teller.pick(("How kind you are", "You are a good friend", "What luck"))
    return (
        f"One {weather.morning} morning {finder.name} found {goods.any_one} at {place}. "
        f'"Whose {goods.one} is this?" asked the {finder.trade}. '
        f'"It must belong to {owner.name}, for {owner.she} is a {owner.trade}." '
        f"So {finder.name} went to {owner.home} and knocked at {owner.her} door. "
        f'"{praise}, {finder.name}!" said {owner.name}, and put the {goods.one} in {owner.her} '
        f"basket. Who found the {goods.one}? {finder.name} did."
    )


KINDS: tuple[Callable[[Teller], str], ...] = (gift, harvest, journey, lost)


def stories(seed: int = SEED) -> Iterator[str]:
    """Stories without end, each one paragraph of a single line; the same seed tells the same."""
    teller = Teller(seed)
    while True:
        yield teller.pick(KINDS)(teller)


def text(count: int = COUNT, seed: int = SEED) -> str:
    """``count`` stories with an empty line after each."""
    return "".join(f"{story}\n\n" for story in islice(stories(seed), count))


if __name__ == "__main__":
    sys.stdout.buffer.write(text().encode("utf-8"))
