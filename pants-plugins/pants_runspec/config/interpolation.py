"""The `${…}` of OmegaConf as values: what a string refers to, without OmegaConf.

The grammar is the one in OmegaConf's `grammar/*.g4` (versions 2.3 and 2.4): a string is text with
interpolations in it, which either name a key of the config (`${a.b}`, `${a[0]}`, `${..b}`) or call
a resolver (`${oc.env:HOME}`); both nest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn, Optional, Union


class InterpolationError(Exception):
    """A string that OmegaConf's grammar refuses.

    Attributes:
        excerpt: The interpolation that is broken, from its `${` on.
        problem: What is wrong with it.
    """

    def __init__(self, excerpt: str, problem: str) -> None:
        super().__init__(f"`{excerpt}`: {problem}")
        self.excerpt = excerpt
        self.problem = problem


@dataclass(frozen=True)
class Key:
    """One step of a reference.

    Attributes:
        part: The key, or the interpolation whose value it is.
        in_brackets: Whether it stands as `[key]`: a dot in its value then splits nothing.
    """

    part: Union[str, Reference, Call]
    in_brackets: bool


@dataclass(frozen=True)
class Reference:
    """`${a.b}`: the value of another key.

    Attributes:
        text: As it is written, with `${` and `}`.
        dots: The leading dots: 0 counts from the top, 1 from the section that holds the string.
        keys: The steps from there.
    """

    text: str
    dots: int
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Argument:
    """An argument of a resolver.

    Attributes:
        parts: Its text and the interpolations in it; of a list or mapping the latter alone.
        is_container: Whether it is a list or a mapping.
    """

    parts: tuple[Union[str, Reference, Call], ...]
    is_container: bool


@dataclass(frozen=True)
class Call:
    """`${name:argument,argument}`: what a resolver returns.

    Attributes:
        text: As it is written, with `${` and `}`.
        name: The resolver's name, in the parts that its dots separate.
        arguments: What it is called with.
    """

    text: str
    name: tuple[Union[str, Reference, Call], ...]
    arguments: tuple[Argument, ...]


Interpolation = Union[Reference, Call]
Part = Union[str, Interpolation]


def has_interpolation(value: str) -> bool:
    """Tell whether OmegaConf reads a string by its grammar at all."""
    return "${" in value


def parse_interpolations(value: str) -> tuple[Part, ...]:
    """Return a string's text and interpolations, in order; escapes (`\\${`) are resolved to text.

    Raises:
        InterpolationError: OmegaConf refuses the string.
    """
    return _Parser(value).whole()


def nested(parts: tuple[Part, ...]) -> Iterator[Interpolation]:
    """Yield every interpolation in the parts, at any depth, those inside before what holds them."""
    for part in parts:
        if isinstance(part, Reference):
            yield from nested(tuple(key.part for key in part.keys))
            yield part
        elif isinstance(part, Call):
            yield from nested(part.name)
            for argument in part.arguments:
                yield from nested(argument.parts)
            yield part


_MAX_DEPTH = 50
_EXCERPT = 60
_BLANKS = re.compile(r"[ \t]*")
_KEY = re.compile(r"""(?:[^\\{}()\[\]:. \t'"]|\\[\\.\[\]:=])+""")
_KEY_ESCAPE = re.compile(r"\\([\\.\[\]:=])")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
# What an unquoted argument is made of, besides escapes and blanks.
_UNQUOTED = re.compile(r"(?:[A-Za-z0-9_/\-+.%*@?|]|\$(?!\{)|\\(?![\\()\[\]{}:=, \t]))+")
_ESCAPED = re.compile(r"(?:\\[\\()\[\]{}:=, \t])+")


class _Parser:
    """A recursive descent over one string; `position` is where it has got to."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._starts: list[int] = []

    def whole(self) -> tuple[Part, ...]:
        return self._string(None)

    def _string(self, quote: Optional[str]) -> tuple[Part, ...]:
        """Read text with interpolations, up to the closing quote or the end."""
        parts: list[Part] = []
        text: list[str] = []
        while True:
            backslashes = self._take_backslashes()
            is_escaped = backslashes % 2 == 1
            if self._at("${"):
                text.append("\\" * (backslashes // 2))
                if is_escaped:
                    text.append("${")
                    self._position += 2
                else:
                    if any(text):
                        parts.append("".join(text))
                    text = []
                    parts.append(self._interpolation())
            elif quote is not None and self._at(quote):
                self._position += 1
                text.append("\\" * (backslashes // 2))
                if not is_escaped:
                    break
                text.append(quote)
            elif self._position == len(self._text):
                if quote is not None:
                    self._fail(f"the quote {quote} is not closed")
                text.append("\\" * backslashes)
                break
            else:
                text.append("\\" * backslashes + self._text[self._position])
                self._position += 1
        if any(text):
            parts.append("".join(text))
        return tuple(parts)

    def _interpolation(self) -> Interpolation:
        start = self._position
        self._starts.append(start)
        if len(self._starts) > _MAX_DEPTH:
            self._fail("it is nested too deeply")
        self._position += 2
        self._skip_blanks()
        dots = 0
        while self._at("."):
            dots += 1
            self._position += 1
        keys = [self._key(may_be_bracketed=True)]
        while True:
            if self._at("."):
                self._position += 1
                keys.append(self._key(may_be_bracketed=False))
            elif self._at("["):
                keys.append(self._key(may_be_bracketed=True))
            else:
                break
        self._skip_blanks()
        if self._at(":") and dots == 0:
            name = tuple(self._name_part(key) for key in keys)
            self._position += 1
            arguments = self._sequence("}")
            self._starts.pop()
            return Call(self._text[start : self._position], name, arguments)
        self._expect("}")
        self._starts.pop()
        return Reference(self._text[start : self._position], dots, tuple(keys))

    def _key(self, *, may_be_bracketed: bool) -> Key:
        in_brackets = may_be_bracketed and self._at("[")
        if in_brackets:
            self._position += 1
        part: Part
        if self._at("${"):
            part = self._interpolation()
        else:
            match = _KEY.match(self._text, self._position)
            if match is None:
                self._fail_here("a key must stand here")
            self._position = match.end()
            part = match.group()
        if in_brackets:
            self._expect("]")
        return Key(part if not isinstance(part, str) else _KEY_ESCAPE.sub(r"\1", part), in_brackets)

    def _name_part(self, key: Key) -> Part:
        if key.in_brackets or (isinstance(key.part, str) and not _NAME.fullmatch(key.part)):
            self._fail(f"{key.part!r} is no name of a resolver")
        return key.part

    def _sequence(self, end: str) -> tuple[Argument, ...]:
        """Read arguments up to and with `end`; one left out is an empty string."""
        arguments: list[Argument] = []
        is_due = True
        self._skip_blanks()
        if self._at(end):
            self._position += 1
            return ()
        while True:
            self._skip_blanks()
            if self._at(",") or self._at(end):
                if is_due:
                    arguments.append(Argument((), False))
                is_due = True
                self._position += 1
                if self._text[self._position - 1] == end:
                    return tuple(arguments)
            elif is_due:
                arguments.append(self._argument())
                is_due = False
            else:
                self._fail_here(f"`,` or `{end}` must stand here")

    def _argument(self) -> Argument:
        for quote in ("'", '"'):
            if self._at(quote):
                self._position += 1
                return Argument(self._string(quote), False)
        if not (self._at("[") or self._at("{")):
            return Argument(self._unquoted(colons=True), False)
        self._starts.append(self._position)
        if len(self._starts) > _MAX_DEPTH:
            self._fail("it is nested too deeply")
        self._position += 1
        is_list = self._text[self._position - 1] == "["
        items = self._sequence("]") if is_list else self._mapping()
        self._starts.pop()
        return Argument(tuple(each for item in items for each in nested(item.parts)), True)

    def _mapping(self) -> tuple[Argument, ...]:
        values: list[Argument] = []
        self._skip_blanks()
        if self._at("}"):
            self._position += 1
            return ()
        while True:
            self._skip_blanks()
            if any(not isinstance(part, str) for part in self._unquoted(colons=False)):
                self._fail("the key of a mapping can be no interpolation")
            self._skip_blanks()
            self._expect(":")
            self._skip_blanks()
            values.append(self._argument())
            self._skip_blanks()
            if not self._at(","):
                self._expect("}")
                return tuple(values)
            self._position += 1

    def _unquoted(self, *, colons: bool) -> tuple[Part, ...]:
        """Read a bare word, blanks inside included; `colons` says whether one may hold `:`."""
        parts: list[Part] = []
        text: list[str] = []
        while True:
            blanks = self._blanks_here()
            self._position += len(blanks)
            if self._at("${"):
                if any(text) or blanks:
                    parts.append("".join((*text, blanks)))
                text = []
                parts.append(self._interpolation())
                continue
            if colons and self._at(":"):
                self._position += 1
                text.append(f"{blanks}:")
                continue
            match = _UNQUOTED.match(self._text, self._position)
            if match is not None:
                self._position = match.end()
                text.append(blanks + match.group())
                continue
            match = _ESCAPED.match(self._text, self._position)
            if match is not None:
                self._position = match.end()
                text.append(blanks + match.group()[1::2])
                continue
            break
        if any(text):
            parts.append("".join(text))
        if not parts:
            self._fail_here("a value must stand here")
        return tuple(parts)

    def _take_backslashes(self) -> int:
        start = self._position
        while self._at("\\"):
            self._position += 1
        return self._position - start

    def _blanks_here(self) -> str:
        match = _BLANKS.match(self._text, self._position)
        return "" if match is None else match.group()

    def _skip_blanks(self) -> None:
        self._position += len(self._blanks_here())

    def _at(self, text: str) -> bool:
        return self._text.startswith(text, self._position)

    def _expect(self, character: str) -> None:
        if not self._at(character):
            self._fail_here(f"`{character}` must stand here")
        self._position += 1

    def _fail_here(self, expected: str) -> NoReturn:
        if self._position == len(self._text):
            self._fail(f"it ends too early, {expected}")
        self._fail(f"unexpected {self._text[self._position]!r}, {expected}")

    def _fail(self, problem: str) -> NoReturn:
        excerpt = self._text[self._starts[0] if self._starts else 0 :]
        if len(excerpt) > _EXCERPT:
            excerpt = f"{excerpt[: _EXCERPT - 1]}…"
        raise InterpolationError(" ".join(excerpt.split()), problem)
