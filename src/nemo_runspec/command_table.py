"""The table of `nemo-runspec`'s commands, and the help page that is made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from nemo_runspec.command_line import labelled

Runner = Callable[[Sequence[str]], int]

_COLUMN = 18
_EXIT_CODES = """\
exit codes:
  0    done; for a job: it succeeded; a detached one: it was submitted
  1    a job failed without a code of its own, or a check found something wrong
  2    bad input, one `error: …` line says what and what to do
  130  Ctrl-C; other signals: 128 + their number; 141: the output's reader left
  any other is the job's own, as its program left it
"""


class Group(Enum):
    """What a command is for, in the order of the help."""

    RUN = "run"
    ARTIFACTS = "artifacts and lineage"
    STORE = "store"
    JOBS = "jobs"
    SET_UP = "set-up"
    HIDDEN = "hidden"  # for machines


@dataclass(frozen=True)
class Entry:
    """One command.

    Args:
        name: the first word.
        group: where the help shows it.
        usage: its arguments, for the help.
        summary: what it does, in one line.
        run: runs it with what follows its name; returns the exit code.
        is_local: whether it is carried out here even where its profile is on another machine.
    """

    name: str
    group: Group
    usage: str
    summary: str
    run: Runner
    is_local: bool = False

    @property
    def subcommands(self) -> tuple[str, ...]:
        """Its second words: `ls | show`; empty for a command of one word."""
        return tuple(self.usage.split(" | ")) if " | " in self.usage else ()


COMMANDS: dict[str, Entry] = {}


def command(
    name: str, group: Group, usage: str, summary: str, *, is_local: bool = False
) -> Callable[[Runner], Runner]:
    """Decorates the function that runs a command; arguments as for :class:`Entry`."""

    def register(run: Runner) -> Runner:
        COMMANDS[name] = Entry(name, group, usage, summary, run, is_local)
        return run

    return register


def command_names() -> list[str]:
    """The names of the commands for people, in the order of the help."""
    return [entry.name for group in Group for entry in _of(group) if group is not Group.HIDDEN]


def overview() -> str:
    """The page of `nemo-runspec --help`."""
    parts = ["usage: nemo-runspec COMMAND …\n"]
    for group in Group:
        if group is not Group.HIDDEN:
            lines = [_line(entry) for entry in _of(group)]
            parts.append("\n".join([f"{group.value}:", *lines, ""]))
    parts.append(
        "options:\n"
        "  -h, --help        this page; `nemo-runspec COMMAND --help` for a command's own\n"
        "  --version         the version\n"
    )
    parts.append(
        "environment:\n"
        "  NO_COLOR          no colours on a terminal\n"
        "  NEMOTRON_ENV_FILE\n"
        "                    the env.toml to read; default: the nearest one upwards\n"
    )
    parts.append(_EXIT_CODES)
    return "\n".join(parts)


def _of(group: Group) -> list[Entry]:
    return [entry for entry in COMMANDS.values() if entry.group is group]


def _line(entry: Entry) -> str:
    return labelled(f"{entry.name} {entry.usage}".rstrip(), entry.summary, _COLUMN)
