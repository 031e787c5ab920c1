"""Where the keys of a TOML document stand: what TOML parsers forget and error messages need."""

from __future__ import annotations

import re
import sys
from typing import Optional

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = (
    r'"""(?:\\[\s\S]|[^\\])*?"""(?:"{0,2})'
    r"|'''[\s\S]*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
)
_KEY_PART = re.compile(rf"[ \t]*({_STRING}|[A-Za-z0-9_-]+)[ \t]*(\.?)")
_SCALAR = re.compile(rf"{_STRING}|[^\[\]{{}},#\n\"']+")

Keys = tuple[str, ...]


def key_lines(toml: str) -> dict[Keys, int]:
    """Return the line of each table and key of a TOML document, from 1, where it stands first.

    Args:
        toml: a document that a TOML parser accepts; scanning ends where it is none.
    """
    return _Scanner(toml).lines


def key_line(toml: str, keys: Keys) -> Optional[int]:
    """Return the line of a key, else of the innermost table around it that has one, else None."""
    lines = key_lines(toml)
    return next((lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in lines), None)


class _Scanner:
    """One pass over a document."""

    def __init__(self, toml: str) -> None:
        self._toml = toml
        self._position = 0
        self.lines: dict[Keys, int] = {}
        table: Keys = ()
        while self._skip_blank() < len(toml):
            before = self._position
            if self._take("["):
                self._take("[")
                table = self._key(())
                self._take("]")
                self._take("]")
            else:
                self._pair(table)
            if self._position == before:
                return

    def _skip_blank(self) -> int:
        match = _BLANK.match(self._toml, self._position)
        self._position = match.end() if match else self._position
        return self._position

    def _take(self, text: str) -> bool:
        self._skip_blank()
        if not self._toml.startswith(text, self._position):
            return False
        self._position += len(text)
        return True

    def _key(self, table: Keys) -> Keys:
        """Read a dotted key and note its line under the full path, and those of its parents."""
        line = self._toml.count("\n", 0, self._position) + 1
        keys = table
        while match := _KEY_PART.match(self._toml, self._position):
            self._position = match.end()
            keys = (*keys, _unquoted(match[1]))
            self.lines.setdefault(keys, line)
            if not match[2]:
                break
        return keys

    def _pair(self, table: Keys) -> None:
        keys = self._key(table)
        if self._take("="):
            self._value(keys)

    def _value(self, keys: Keys) -> None:
        if self._take("{"):
            while not self._take("}") and self._skip_blank() < len(self._toml):
                before = self._position
                self._pair(keys)
                self._take(",")
                if self._position == before:
                    return
        elif self._take("["):
            while not self._take("]") and self._skip_blank() < len(self._toml):
                before = self._position
                self._value(keys)
                self._take(",")
                if self._position == before:
                    return
        elif match := _SCALAR.match(self._toml, self._position):
            self._position = match.end()


def _unquoted(key: str) -> str:
    return str(tomllib.loads(f"key = {key}")["key"]) if key[0] in "\"'" else key
