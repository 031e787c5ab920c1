"""Which profile a command line chooses, whatever its command."""

from __future__ import annotations

from collections.abc import Sequence

from nemo_runspec.command_line import HELP, PROFILE
from runspec import ArgumentsError, parse_arguments

# Whose --run is an order, not a profile.
_RUNS = ("reproduce",)


def chosen_profile(arguments: Sequence[str]) -> str | None:
    """The profile that a command line names; None for one that names none or asks for help.

    What is wrong with the command line is for its own command to say.

    Args:
        arguments: with the command's name.
    """
    if arguments[0] == "recipe":
        try:
            parsed = parse_arguments(arguments[2:])
        except ArgumentsError:
            return None
        return None if parsed.help else parsed.profile
    words = list(arguments[1:])
    ours = words[: words.index("--")] if "--" in words else words
    if any(word in HELP.names for word in ours):
        return None
    names = [name for name in PROFILE.names if name == "--profile" or arguments[0] not in _RUNS]
    for word, following in zip(ours, [*ours[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name in names:
            return (value if equals else following) or None
    return None


def is_dry_run(arguments: Sequence[str]) -> bool:
    """Whether a command line only shows what a recipe would do: that can be told from here."""
    return arguments[0] == "recipe" and parse_arguments(arguments[2:]).dry_run
