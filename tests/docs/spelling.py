"""Whether a command on a page is one that there is, with options that it has."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nemo_runspec.cli import main
from runspec import ArgumentsError, parse_arguments

PANTS = ("./pants", "pants")
OURS = "nemo-runspec"
_ELLIPSIS = "…"
_SHELL = frozenset((";", "&&", "||", "|", "&", ">", ">>", "2>&1"))


class SpellingError(Exception):
    """What is wrong with a command."""


@dataclass(frozen=True)
class PantsNames:
    """What Pants knows.

    Args:
        goals: the options of each goal, as they are written behind it.
        options: those that may stand with any goal.
    """

    goals: Mapping[str, frozenset[str]]
    options: frozenset[str]

    @classmethod
    def of(cls, help_all: Mapping[str, Any]) -> PantsNames:
        """Return the names in what `pants help-all` prints."""
        goals: dict[str, frozenset[str]] = {
            name: frozenset() for name in help_all["name_to_goal_info"]
        }
        anywhere: set[str] = {"--help", "--version"}
        for scope, information in help_all["scope_to_help_info"].items():
            options = [*information["basic"], *information["advanced"], *information["deprecated"]]
            scoped = _names(options, "scoped_cmd_line_args")
            anywhere |= scoped
            if scope in goals:
                goals[scope] = frozenset(scoped | _names(options, "unscoped_cmd_line_args"))
            elif not scope:
                anywhere |= _names(options, "unscoped_cmd_line_args")
        return cls(goals, frozenset(anywhere))


def _names(options: Sequence[Mapping[str, Any]], key: str) -> set[str]:
    """The options' names: of a switch, written `--[no-]force`, both."""
    written = [name.partition("=")[0] for option in options for name in option[key] or ()]
    return {name.replace("[no-]", no) for name in written for no in ("", "no-")}


def check(text: str, pants: PantsNames) -> None:
    """Check each of the commands of a line.

    Args:
        text: the line, for bash; a word that is or ends in ``…`` stands for any words.
        pants: what Pants knows.

    Raises:
        SpellingError: a goal, a command or an option that there is not.
    """
    words: list[str] = []
    for word in [*shlex.split(text, comments=True), ";"]:
        if word in _SHELL:
            _check_words(words, pants)
            words = []
        else:
            words.append(word)


def _check_words(words: list[str], pants: PantsNames) -> None:
    while words and re.fullmatch(r"[A-Z_][A-Z0-9_]*=.*", words[0]):
        words = words[1:]
    if not words:
        return
    if words[0] in PANTS:
        _check_pants(words[1:], pants)
    elif words[0] == OURS:
        _check_ours(words[1:])


def _check_pants(words: list[str], pants: PantsNames) -> None:
    split = words.index("--") if "--" in words else len(words)
    before, after = words[:split], words[split + 1 :]
    named = [word for word in before if word in pants.goals]
    if not named and not {"--help", "--version", "help", "help-all"} & set(before):
        raise SpellingError(f"names no goal of Pants: {shlex.join(words)}")
    known = pants.options.union(*(pants.goals[goal] for goal in named))
    for word in before:
        name = word.partition("=")[0]
        if name.startswith("--") and name not in known:
            raise SpellingError(f"{' '.join(named)} has no option {name}")
    if OURS in named:
        _check_ours(after)
    elif "run" in named:
        try:
            parse_arguments([word for word in after if word != _ELLIPSIS])
        except ArgumentsError as error:
            raise SpellingError(str(error)) from error


def _check_ours(words: list[str]) -> None:
    if not words or words[0] in ("--version", "--help", "-h", _ELLIPSIS):
        return
    command = words[0]
    page = _help((command,))
    if page is not None and f"{command} COMMAND" in page and len(words) > 1:
        command = f"{command} {words[1]}"
        page = _help((words[0], words[1]))
    if page is None:
        raise SpellingError(f"nemo-runspec has no command {command!r}")
    if command == "recipe":  # Its options are those of `pants run`.
        return
    known = set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", page))
    for word in words:
        name = word.partition("=")[0]
        if name.startswith("-") and name != "--" and name not in known:
            raise SpellingError(f"nemo-runspec {command} has no option {name}")


@functools.cache
def _help(command: tuple[str, ...]) -> str | None:
    """The help page of one of our commands; None where there is no such command."""
    page = io.StringIO()
    with contextlib.redirect_stdout(page), contextlib.redirect_stderr(io.StringIO()):
        code = main([*command, "--help"])
    return page.getvalue() if code == 0 else None
