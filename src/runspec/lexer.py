"""The tokens of Python source, the same on every Python that runs this.

Python's own tokenizers differ from one version to the next (f-strings since 3.12, continuation
lines) and refuse syntax newer than themselves. This one knows only what all of them share: where
names, numbers, operators, strings, comments and lines end and how blocks are indented
(https://docs.python.org/3/reference/lexical_analysis.html). Where versions disagree about a source,
or where it is no Python at all, it says `UndecidedSourceError` rather than guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, Optional

# Stand in the list of tokens for a deeper and a shallower block. No token of a source can be one.
INDENT = b"\x01"
DEDENT = b"\x02"
NEWLINE = b"\n"

_QUOTED = (
    rb'"""[^"\\]*(?:(?:\\[\s\S]|"(?!""))[^"\\]*)*"""'
    rb"|'''[^'\\]*(?:(?:\\[\s\S]|'(?!''))[^'\\]*)*'''"
    rb'|"(?!"")[^"\\\n]*(?:\\[\s\S][^"\\\n]*)*"'
    rb"|'(?!'')[^'\\\n]*(?:\\[\s\S][^'\\\n]*)*'"
)
_STRING = rb"(?:[rR][bBfFtT]?|[bBfFtT][rR]?|[uU])?(?:%b)" % _QUOTED
_DIGITS = rb"[0-9](?:_?[0-9])*"
# "0o" without digits is a token of its own, which no valid source has: "0or 1" is not "0 or 1".
_NUMBER = (
    rb"0[xX](?:_?[0-9a-fA-F])*|0[bB](?:_?[01])*|0[oO](?:_?[0-7])*"
    rb"|(?:%(d)b(?:\.(?:%(d)b)?)?|\.%(d)b)(?:[eE][+-]?%(d)b)?[jJ]?" % {b"d": _DIGITS}
)
# Bytes above ASCII can only be letters of names here: everywhere else they are a syntax error.
_NAME = rb"[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*"
_OPERATOR = rb"\*\*=?|//=?|>>=?|<<=?|\.\.\.|!=|->|:=|<>|[-+*/%&|^@=<>]=|[-+*/%&|^@=<>~.,:;()\[\]{}]"
# A newline with the blank and comment lines after it and the indentation of the line that follows;
# a backslash that follows at once is taken along because versions disagree about its indentation.
_LINE_END = rb"\n(?:[ \t\f]*(?:#[^\n]*)?\n)*[ \t\f]*(?:\\(?=\n))?"
_TOKEN = b"|".join((_STRING, _NAME, _NUMBER, _OPERATOR))
# What most tokens are, tried first for speed: a name that is not the prefix of a string, and an
# operator of one character that is not the start of a longer one or of a number.
_USUAL = (
    rb"[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*(?![A-Za-z0-9_\x80-\xff\"'])"
    rb"|[()\[\]{},;~]|\.(?![.0-9])|[:=](?!=)"
)
_SCAN = re.compile(
    rb"[ \t\f]*(?:\\\n[ \t\f]*)*(?:#[^\n]*)?(%b|%b|%b|[\s\S])" % (_USUAL, _LINE_END, _TOKEN)
)
_IN_FIELD = re.compile(rb"[ \t\f\n]*(%b)" % _TOKEN)

# The kind of a token by its first byte. A string, a format string (whose prefix may look like a
# name), a quote that opens nothing and a lone "!" need a second look.
_PLAIN, _LINE, _OPEN, _CLOSE, _LOOK, _BAD = range(6)


def _kinds() -> bytes:
    kinds = bytearray([_BAD]) * 128 + bytearray([_PLAIN]) * 128
    for kind, first_bytes in (
        (_PLAIN, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789"),
        (_PLAIN, b"-+*/%&|^@=<>~.,:;"),
        (_LOOK, b"fFtTrR\"'!"),
        (_OPEN, b"([{"),
        (_CLOSE, b")]}"),
        (_LINE, NEWLINE),
    ):
        for first in first_bytes:
            kinds[first] = kind
    return bytes(kinds)


_KINDS = _kinds()
_QUOTES = b"\"'"

_FORMAT_STRING = re.compile(rb"(?:[fFtT]([rR]?)|([rR])[fFtT])('''|\"\"\"|'|\")")
# The inside of a format string whose fields hold no braces, backslashes, comments or quotes other
# than around a line of plain text: every version reads such fields alike.
_PLAIN_CONTENT = re.compile(
    rb"(?:[^{}\\]|\\[^{}]|\\(?=[{}])|\{\{|\}\}"
    rb"|\{(?:[^{}\"'\\#]|'(?!'')[^'\\\n{}]*'|\"(?!\"\")[^\"\\\n{}]*\")*\})*\Z"
)
_LITERAL = re.compile(rb"(?:[^{}\\]|\\N\{[A-Za-z0-9 -]*\}|\\[^{}]|\\(?=[{}])|\{\{|\}\})*")
_RAW_LITERAL = re.compile(rb"(?:[^{}\\]|\\[^{}]|\\(?=[{}])|\{\{|\}\})*")
_SPACE = re.compile(rb"[ \t\f\n]*")
_CONVERSION = re.compile(rb"[A-Za-z]+")
_SPEC_LITERAL = re.compile(rb"[^{}\\\n]*")

_TAB = 8


class UndecidedSourceError(ValueError):
    """The source is not one that every Python reads alike, or none at all."""


class Indentation(NamedTuple):
    """How far a line is indented, measured both ways that Python measures it.

    Args:
        column: with tab stops every 8 columns.
        characters: with a tab as one column.
    """

    column: int
    characters: int


def tokenise(source: bytes) -> list[bytes]:
    """Return the tokens of Python source without comments and whitespace that means nothing.

    A string is one token, as written, and so is a format string with all that is inside it. A
    logical line ends in `NEWLINE`; `INDENT` and `DEDENT` stand where the depth changes, except at
    the very end. No token holds a NUL byte.

    Args:
        source: UTF-8, newlines normalised to LF, no byte order mark.

    Raises:
        UndecidedSourceError: it does not lex, or Python versions may disagree on how.
    """
    if b"\0" in source:
        raise UndecidedSourceError("a NUL byte")
    kinds = _KINDS
    depth = 0
    indentations = [Indentation(0, 0)]
    tokens: list[bytes] = []
    add = tokens.append
    for token in _SCAN.findall(_framed(source)):
        kind = kinds[token[0]]
        if kind == _PLAIN:
            add(token)
        elif kind == _LINE:
            if depth == 0:
                add(NEWLINE)
                _change_depth(token, indentations, tokens)
        elif kind == _LOOK:
            if token[-1] in _QUOTES:
                if len(token) == 1:
                    raise UndecidedSourceError("a string that does not end")
                if not _reads_alike(token):
                    raise UndecidedSourceError("versions end this format string differently")
            elif token == b"!":
                raise UndecidedSourceError("a lone exclamation mark")
            add(token)
        elif kind == _OPEN:
            depth += 1
            add(token)
        elif kind == _CLOSE:
            depth -= 1
            if depth < 0:
                raise UndecidedSourceError("a bracket closes that was never opened")
            add(token)
        else:
            raise UndecidedSourceError("a character that no token starts with")
    if depth:
        raise UndecidedSourceError("a bracket that is never closed")
    while tokens and tokens[-1] == DEDENT:
        tokens.pop()
    return tokens[1:]


def string_spans(source: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end, in bytes, of each string literal of a source that `tokenise` accepts.

    Args:
        source: as for `tokenise`.
    """
    shift = 1  # the newline that _framed put in front
    for match in _SCAN.finditer(_framed(source)):
        token = match[1]
        if token[-1] in _QUOTES:
            yield match.start(1) - shift, match.end(1) - shift


def _framed(source: bytes) -> bytes:
    """Return the source between newlines, so that its first and last line are like all others."""
    return b"\n" + source + (b"" if source.endswith(b"\n") else b"\n")


def _change_depth(line_end: bytes, indentations: list[Indentation], tokens: list[bytes]) -> None:
    """Add to `tokens` what the indentation after a line end means, and keep the stack in step."""
    if line_end == NEWLINE:
        if len(indentations) > 1:
            tokens.extend([DEDENT] * (len(indentations) - 1))
            del indentations[1:]
        return
    if line_end.endswith(b"\\"):
        raise UndecidedSourceError("a line starts with a backslash")
    # A form feed sets the column back to zero.
    margin = line_end.rpartition(b"\n")[2].rpartition(b"\f")[2]
    here = Indentation(len(margin.expandtabs(_TAB)), len(margin))
    if here == indentations[-1]:
        return
    if here.column > indentations[-1].column:
        if here.characters <= indentations[-1].characters:
            raise UndecidedSourceError("tabs and spaces are mixed")
        indentations.append(here)
        tokens.append(INDENT)
        return
    while here.column < indentations[-1].column:
        indentations.pop()
        tokens.append(DEDENT)
    if here != indentations[-1]:
        raise UndecidedSourceError("a line matches no level of indentation")


def _reads_alike(token: bytes) -> bool:
    """Whether a string token ends at the same place under PEP 701 (3.12) and before it.

    The token ends where versions before 3.12 end it: at the first quote that is not escaped. Since
    then quotes inside a replacement field belong to the field's expression, so the versions agree
    when every field is closed by then.
    """
    opening = _FORMAT_STRING.match(token)
    if opening is None:
        return True
    content = token[opening.end() : -len(opening[3])]
    if _PLAIN_CONTENT.match(content):
        return True
    literal = _RAW_LITERAL if opening[1] or opening[2] else _LITERAL
    position: Optional[int] = 0
    while position is not None:
        position = _skip(literal, content, position)
        if position == len(content):
            return True
        position = _end_of_field(content, position)
    return False


def _end_of_field(content: bytes, position: int) -> Optional[int]:
    """Return where the replacement field that starts at `position` ends; None when in doubt."""
    if content[position : position + 1] != b"{":
        return None
    position += 1
    depth = 0
    while match := _IN_FIELD.match(content, position):
        token = match[1]
        kind = _KINDS[token[0]]
        if depth == 0 and (kind == _CLOSE or token.startswith(b":")):
            break
        depth += (kind == _OPEN) - (kind == _CLOSE)
        if kind == _LOOK and token[-1] in _QUOTES and not _reads_alike(token):
            return None
        position = match.end()
    if depth:
        return None
    position = _skip(_SPACE, content, position)
    if content[position : position + 1] == b"!":
        position = _skip(_CONVERSION, content, position + 1)
    if content[position : position + 1] == b":":
        return _end_of_spec(content, position + 1)
    return position + 1 if content[position : position + 1] == b"}" else None


def _end_of_spec(content: bytes, position: int) -> Optional[int]:
    """Return where the field ends whose format specification starts at `position`."""
    end: Optional[int] = position
    while end is not None:
        end = _skip(_SPEC_LITERAL, content, end)
        following = content[end : end + 2]
        if following[:1] == b"}":
            return end + 1
        if following == b"{{":
            return None  # an escape to some versions, two fields to others
        end = _end_of_field(content, end)
    return None


def _skip(pattern: re.Pattern[bytes], content: bytes, position: int) -> int:
    """Return where the match of `pattern` at `position` ends, or `position` without one."""
    match = pattern.match(content, position)
    return match.end() if match else position
