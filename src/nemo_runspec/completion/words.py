"""What can stand at the end of a command line: `nemo-runspec complete SHELL LINE`, for shells.

It is asked at every Tab, so that it looks at files of this machine only, and never fails: where it
knows nothing, the shell completes file names.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from nemo_runspec.command_line import Command, Flag, command_of
from nemo_runspec.command_table import COMMANDS, command_names
from nemo_runspec.completion.scripts import SCRIPTS
from nemo_runspec.env import list_profiles, load_env_file
from nemo_runspec.exceptions import NemoRunspecError
from runspec import OPTIONS, RunspecError

# What bash breaks words at unless told otherwise; it replaces only what follows the last of them.
_BASH_BREAKS = " \t\n\"'><=;|&(:"
_HELP = ("--help",)
# Commands that take a recipe's command line.
_RECIPE_COMMANDS = ("recipe", "pipe", "evaluate")


def run_complete(arguments: Sequence[str]) -> int:
    """Print what can stand at the end of a line, one a line; returns 0, whatever happens.

    Args:
        arguments: the shell, the command line up to the cursor and, from bash, its COMP_WORDBREAKS.
    """
    shell, line = arguments[0], arguments[1] if len(arguments) > 1 else ""
    words = split_line(line)
    found = candidates(words[1:-1], words[-1] if len(words) > 1 else "")
    if shell == "bash":
        breaks = arguments[2] if len(arguments) > 2 else _BASH_BREAKS
        found = [_after_break(words[-1], each, breaks) for each in found]
    print("".join(f"{each}\n" for each in found), end="")
    return 0


def split_line(line: str) -> list[str]:
    """The words of an unfinished command line; the last is empty where a new one begins."""
    for closing in ("", '"', "'"):
        try:
            words = shlex.split(line + closing)
        except ValueError:
            continue  # a quotation that is still open
        is_new = not closing and line[-1:].isspace() and not line.endswith("\\ ")
        return [*words, ""] if is_new or not words else words
    return [""]


def candidates(before: Sequence[str], current: str) -> list[str]:
    """What can stand in the place of a word.

    Args:
        before: the words before it, without the program.
        current: what there is of it.
    """
    try:
        found = _all(before, current)
    except (NemoRunspecError, RunspecError, OSError):
        return []  # a broken env.toml, say; its command will tell
    return [each for each in dict.fromkeys(found) if each.startswith(current)]


def _all(before: Sequence[str], current: str) -> Iterable[str]:
    if not before or before[0] == "help":
        return [*command_names(), "help", *_HELP, "--version"]
    name = before[0]
    entry = COMMANDS.get(name)
    if entry is None or "--" in before:
        return []
    if entry.subcommands and len(before) == 1:
        return [*entry.subcommands, *_HELP]
    if name in _RECIPE_COMMANDS:
        return _recipe_words(before, current)
    if name == "completion":
        return [*SCRIPTS, *_HELP]
    depth = 2 if entry.subcommands else 1
    command = command_of(entry.run, before[1:depth])
    return [] if command is None else _words_of(command, before[depth:], current)


def _words_of(command: Command, before: Sequence[str], current: str) -> Iterable[str]:
    flags = {name: flag for flag in command.all_flags for name in flag.names}
    option, equals, _ = current.partition("=")
    if equals and option in flags:
        return [f"{option}={value}" for value in _values(flags[option])]
    last = flags.get(before[-1]) if before else None
    if last is not None and last.value is not None:
        return _values(last)
    if current.startswith("-"):
        return [name for name in flags if name.startswith("--")]
    return _artifacts(current) if "NAME" in command.positional else []


def _values(flag: Flag) -> Iterable[str]:
    if flag.choices:
        return flag.choices
    return _profiles() if flag.value == "PROFILE" else []


def _recipe_words(before: Sequence[str], current: str) -> Iterable[str]:
    options = {name: option for option in OPTIONS for name in option.names}
    option, equals, _ = current.partition("=")
    if equals and option in options:
        return [f"{option}={value}" for value in _recipe_values(options[option].value, before)]
    last = options.get(before[-1])
    if last is not None and last.value is not None:
        return _recipe_values(last.value, before)
    if current.startswith("-"):
        return [name for name in options if name.startswith("--")]
    if equals and option.startswith("run."):
        return [f"{option}={name}" for name in _artifacts(current.partition("=")[2])]
    return []


def _recipe_values(kind: str | None, before: Sequence[str]) -> Iterable[str]:
    return _profiles() if kind == "PROFILE" else _configs(before)


def _profiles() -> list[str]:
    return list_profiles(load_env_file())


def _configs(before: Sequence[str]) -> list[str]:
    """The configs of the bundle that the line names; of the folder here for `evaluate`."""
    if before[0] == "evaluate":
        return sorted(str(path) for path in Path().glob("*.y*ml"))
    from nemo_runspec.bundles import read_bundle

    folder = read_bundle(Path(before[1])).config_dir
    return sorted(path.stem for path in folder.glob("*.y*ml"))


def _artifacts(current: str) -> list[str]:
    """Artifacts of a store on this machine; behind a colon the versions and aliases of one."""
    from nemo_runspec.artifacts.settings import environment_settings
    from nemo_runspec.store import open_store

    settings = environment_settings()
    if settings.root is None or "://" in settings.root or not os.path.isdir(settings.root):
        return []
    store = open_store(settings.root, shared=settings.shared)
    name, colon, _ = current.partition(":")
    if not colon:
        return store.names()
    versions = [f"v{number}" for number in reversed(store.versions(name))]
    return [f"{name}:{each}" for each in (*versions, *store.aliases(name), "latest")]


def _after_break(word: str, candidate: str, breaks: str) -> str:
    """What bash puts in: it takes a word for begun anew behind `=` and `:`."""
    start = max((word.rfind(each) for each in breaks), default=-1) + 1
    return candidate[start:]
