"""What can be wrong with a recipe script or a bundle, each said in one line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Optional, Union

PathLike = Union[str, "os.PathLike[str]"]

# C0 and C1 control characters and the Unicode line separators: what would break "one line".
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class RunspecError(ValueError):
    """A problem in a file, with the place and the way out of it.

    It is a `ValueError`, so that code that guarded `parse` with `except ValueError` keeps working.

    Args:
        path: the file, as the caller named it.
        line: the line of the file, counted from 1; None where a line means nothing.
        problem: what is wrong, with the key and the value.
        fix: what to do about it.
    """

    def __init__(self, path: PathLike, line: Optional[int], problem: str, fix: str) -> None:
        super().__init__(path, line, problem, fix)
        self.path = os.fspath(path)
        self.line = line
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        return one_line(f"{place}: {self.problem}; {self.fix}")


class ScriptNotFoundError(RunspecError, FileNotFoundError):
    """The script does not exist."""


class UnreadableScriptError(RunspecError):
    """The script exists and cannot be read (a folder, no permission)."""


class ScriptEncodingError(RunspecError):
    """The script is not UTF-8."""


class NoBlockError(RunspecError):
    """The script carries no PEP 723 `script` block."""


class DuplicateBlockError(RunspecError):
    """The script carries more than one PEP 723 `script` block."""


class InvalidTomlError(RunspecError):
    """The block is not TOML."""


class NoRunspecTableError(RunspecError):
    """The block has no `[tool.runspec]`."""


class InvalidFieldError(RunspecError):
    """A field holds what it must not hold: a wrong type or a value outside its range."""


class UnsupportedSchemaError(InvalidFieldError):
    """The metadata says a schema that this version does not know."""


class UnknownLaunchError(InvalidFieldError):
    """`run.launch` names no launcher."""


class UnknownFieldError(RunspecError):
    """A key that `[tool.runspec]` does not have."""


class InvalidBundleError(RunspecError):
    """`bundle.json` is not what this version reads."""


class InvalidPlanError(RunspecError):
    """`plan.json` is not what this version reads."""


def one_line(text: str) -> str:
    """Return `text` with control characters written as escapes, so that it stays on one line."""
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def nearest(name: str, choices: Iterable[str]) -> Optional[str]:
    """Return the choice that somebody who wrote `name` most likely meant, or None.

    A dotted choice is also compared by its last part, so that `launch` finds `run.launch`.
    """
    import difflib  # only a wrong input needs it

    by_key: dict[str, str] = {}
    for choice in choices:
        by_key.setdefault(choice.rpartition(".")[2].casefold(), choice)
        by_key.setdefault(choice.casefold(), choice)
    wanted = name.casefold()
    close = difflib.get_close_matches(wanted, by_key, n=1, cutoff=0.6)
    if close:
        return by_key[close[0]]
    if len(wanted) < 3:
        return None
    return next((by_key[key] for key in by_key if key.startswith(wanted)), None)
