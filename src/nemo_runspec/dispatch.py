"""From a command line to the command that it names."""

from __future__ import annotations

from collections.abc import Sequence

from nemo_runspec.command_table import COMMANDS, command_names, overview
from nemo_runspec.exceptions import UsageError
from nemo_runspec.version import VERSION

EXIT_BAD_INPUT = 2

_HELP_WORDS = ("-h", "--help", "help")
# Options that may name a profile, whose commands may belong on another machine.
_PROFILE_OPTIONS = ("-r", "-b", "--run", "--batch", "--profile")


def dispatch(arguments: Sequence[str]) -> int:
    """Runs the command that a command line names.

    Args:
        arguments: the words behind the program; the table of commands is filled already, see
            :mod:`nemo_runspec.commands`.

    Returns:
        The exit code.

    Raises:
        NemoRunspecError: something is wrong with the input.
    """
    if not arguments or arguments[0] in _HELP_WORDS:
        if arguments[1:] and arguments[0] == "help":  # `help store ls`
            return dispatch([*arguments[1:], "--help"])
        print(overview(), end="")
        return 0 if arguments else EXIT_BAD_INPUT
    first = arguments[0]
    if first == "--version":
        print(f"nemo-runspec {VERSION}")
        return 0
    command = COMMANDS.get(first)
    if command is None:
        from nemo_runspec._names import hint

        kind = "option" if first.startswith("-") else "command"
        known = [*command_names(), "--help", "--version"]
        raise UsageError(f"unknown {kind} {first!r}; {hint(first, known)}")
    if not command.is_local and any(word.startswith(_PROFILE_OPTIONS) for word in arguments):
        from nemo_runspec.relay.relayed import relay

        code = relay(arguments)
        if code is not None:
            return code
    return command.run(arguments[1:])
