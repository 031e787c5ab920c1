"""Command lines without a config: options in any order, one line about what is wrong."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from nemo_runspec._names import hint, nearest
from nemo_runspec.exceptions import UsageError

# Set where another machine sent the command: the profile there that leads here.
RELAY_PROFILE_VARIABLE = "RUNSPEC_RELAY_PROFILE"

_COMMAND_VARIABLE = "RUNSPEC_COMMAND"  # what a person typed
_PROGRAM = "nemo-runspec"
_WIDTH = 80
_OPTION_COLUMN = 24


def typed(*arguments: str) -> str:
    """What a person types to give one of our commands, as text to copy.

    That is through Pants where this one was, and with the profile that leads here where another
    machine sent it.
    """
    first = os.environ.get(_COMMAND_VARIABLE, _PROGRAM).partition(" ")[0]
    program = [first] if first == _PROGRAM else [first, _PROGRAM, "--"]
    profile = os.environ.get(RELAY_PROFILE_VARIABLE)
    return shlex.join([*program, *arguments, *(["--profile", profile] if profile else [])])


def labelled(label: str, text: str, column: int) -> str:
    """A line of a help page, folded for a terminal of 80 columns.

    Args:
        label: what it is about, such as an option.
        text: what is said of it.
        column: where the text begins; below a label that leaves no room.
    """
    head, indent = f"  {label}", " " * column
    folded = textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
    if len(head) + 2 > column:
        return f"{head}\n{folded}"
    return head.ljust(column) + folded[column:]


@dataclass(frozen=True)
class Flag:
    """An option.

    Args:
        names: all spellings, the long one first.
        help: what it does.
        value: what its value is called; None for one without.
        many: whether it may be given several times.
        choices: what the value may be; anything when empty.
    """

    names: tuple[str, ...]
    help: str
    value: str | None = None
    many: bool = False
    choices: tuple[str, ...] = ()


HELP = Flag(("--help", "-h"), "this page")
STORE = Flag(
    ("--store",),
    "the store's root; default: [artifacts] in env.toml, else .runspec/artifacts",
    "ROOT",
)
PROFILE = Flag(
    ("--profile", "--run", "-r"),
    "the profile of env.toml whose cluster the store is on",
    "PROFILE",
)
FORMAT = Flag(("--format",), "table (the default) or json", "FORMAT", choices=("table", "json"))


@dataclass(frozen=True)
class Command:
    """One command and its help.

    Args:
        name: what stands behind ``nemo-runspec``.
        positional: its arguments, as the usage shows them.
        about: what it does, in paragraphs.
        flags: its options; ``--help`` is added, and ``--store`` where there is one.
        at_least: how many arguments it needs.
        at_most: how many it takes; None for any number.
        examples: command lines to copy, without ``nemo-runspec``.
        has_store: whether it is about a store.
    """

    name: str
    positional: str
    about: tuple[str, ...]
    flags: tuple[Flag, ...] = ()
    at_least: int = 0
    at_most: int | None = 0
    examples: tuple[str, ...] = ()
    has_store: bool = True

    @property
    def all_flags(self) -> tuple[Flag, ...]:
        return (*self.flags, *([STORE] if self.has_store else []), HELP)

    def usage(self) -> str:
        """How it is called, in one line."""
        return " ".join(f"nemo-runspec {self.name} {self.positional} [options]".split())

    def help(self) -> str:
        """Its page, no wider than a terminal of 80 columns."""
        paragraphs = [f"usage: {self.usage()}", *(_wrapped(text) for text in self.about)]
        paragraphs.append("\n".join(["options:", *(_option_line(flag) for flag in self.all_flags)]))
        if self.examples:
            lines = [f"  nemo-runspec {example}" for example in self.examples]
            paragraphs.append("\n".join(["examples:", *lines]))
        return "\n\n".join(paragraphs) + "\n"


@dataclass(frozen=True)
class Given:
    """A command line, taken apart.

    Args:
        arguments: what is no option, in order.
        values: the values of each option that was given, by its long name.
    """

    arguments: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]

    def has(self, name: str) -> bool:
        """Whether the option was given."""
        return name in self.values

    def value(self, name: str) -> str | None:
        """The option's value, or None if it was not given."""
        return self.values[name][-1] if name in self.values else None

    def number(self, name: str, default: int) -> int:
        """The option's value as a number, 0 or more.

        Raises:
            UsageError: it is none.
        """
        text = self.value(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal()):
            raise UsageError(f"{name} needs a number, 0 or more, not {text!r}")
        return int(text)


def run_group(
    group: str,
    text: str,
    names: Sequence[str],
    argv: Sequence[str],
    run: Callable[[str, Sequence[str]], int],
) -> int:
    """Runs one of the commands that share a first word, or shows what there is.

    Args:
        group: the first word, such as ``store``.
        text: the help of the group.
        names: the second words.
        argv: what follows the first word.
        run: runs a command by its name, such as ``store ls``, with what follows it.

    Returns:
        The exit code; 2 where no command was named.

    Raises:
        UsageError: there is no such command.
    """
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(text, end="")
        return 0 if argv else 2
    if argv[0] not in names:
        kind = "option" if argv[0].startswith("-") else "command"
        raise UsageError(f"{group}: unknown {kind} {argv[0]!r}; {hint(argv[0], names)}")
    return run(f"{group} {argv[0]}", argv[1:])


def run_parsed(command: Command, run: Callable[[Given], int], argv: Sequence[str]) -> int:
    """Runs a command with its line taken apart, or shows its help; returns the exit code.

    Raises:
        UsageError: as for :func:`parse`.
    """
    given = parse(command, argv)
    if given.has(HELP.names[0]):
        print(command.help(), end="")
        return 0
    return run(given)


class _Asked(Exception):
    """A command's line was about to be taken apart, and only the command was wanted."""

    def __init__(self, command: Command) -> None:
        super().__init__(command.name)
        self.command = command


_is_asking: ContextVar[bool] = ContextVar("_is_asking", default=False)


def command_of(run: Callable[[Sequence[str]], int], argv: Sequence[str] = ()) -> Command | None:
    """The command that a function takes a line apart for, without running it.

    Args:
        run: the function; nothing is done before it calls :func:`parse`.
        argv: what selects the command: the second word of a group.

    Returns:
        The command; None where the function asks for none.
    """
    token = _is_asking.set(True)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            run([*argv, HELP.names[0]])
    except _Asked as asked:
        return asked.command
    finally:
        _is_asking.reset(token)
    return None


def parse(command: Command, argv: Sequence[str]) -> Given:
    """Take apart the command line of a command.

    Options may stand anywhere, as ``--option value`` or ``--option=value``; what follows ``--`` is
    no option.

    Raises:
        UsageError: an unknown option, a value that is missing, unwanted or none of the choices,
            too many or too few arguments.
    """
    if _is_asking.get():
        raise _Asked(command)
    by_name = {name: flag for flag in command.all_flags for name in flag.names}
    arguments: list[str] = []
    values: dict[str, list[str]] = {}
    waiting = list(argv)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            arguments += waiting
            break
        if len(argument) < 2 or not argument.startswith("-"):
            arguments.append(argument)
            continue
        name, equals, value = argument.partition("=")
        flag = by_name.get(name)
        if flag is None:
            raise _unknown(command, argument, by_name)
        if flag.value is None:
            if equals:
                raise UsageError(f"{name} takes no value, and has {value!r}; write {name}")
        elif not equals:
            if not waiting or waiting[0].partition("=")[0] in by_name:
                raise UsageError(f"{name} has no value; write {name} {flag.value}")
            value = waiting.pop(0)
        if flag.value is not None and not value.strip():
            raise UsageError(f"{name} has no value; write {name} {flag.value}")
        if flag.choices and value not in flag.choices:
            raise UsageError(f"{name} cannot be {value!r}; {hint(value, flag.choices)}")
        given = values.setdefault(flag.names[0], [])
        if given and not flag.many and given[-1] != value:
            raise UsageError(f"{name} says {value!r}, after {given[-1]!r}; give it once")
        given.append(value)
    if HELP.names[0] not in values:
        _check_number(command, arguments)
    return Given(tuple(arguments), {name: tuple(each) for name, each in values.items()})


def _check_number(command: Command, arguments: Sequence[str]) -> None:
    if len(arguments) < command.at_least:
        raise UsageError(f"{command.name} needs {_needed(command)}: {command.usage()}")
    if command.at_most is not None and len(arguments) > command.at_most:
        extra = arguments[command.at_most]
        raise UsageError(
            f"{command.name}: what is {extra!r} for? It takes {_needed(command)}: {command.usage()}"
        )


def _needed(command: Command) -> str:
    return command.positional or "options only"


def _unknown(command: Command, argument: str, known: Mapping[str, Flag]) -> UsageError:
    name = argument.partition("=")[0]
    long = [each for each in known if each.startswith("--")]
    near = nearest(name if name.startswith("--") else f"-{name}", long)
    question = f"did you mean {near}? " if near else ""
    return UsageError(
        f"unknown option {argument}; {question}nemo-runspec {command.name} has: "
        f"{', '.join(sorted(long))}"
    )


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _option_line(flag: Flag) -> str:
    names = ", ".join(sorted(flag.names, key=len))
    return labelled(f"{names} {flag.value}" if flag.value else names, flag.help, _OPTION_COLUMN)
