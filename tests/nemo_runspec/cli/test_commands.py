"""The table of commands and the page made of it."""

from __future__ import annotations

from nemo_runspec.command_line import Command, command_of
from nemo_runspec.command_table import COMMANDS, Group, command_names, overview
from tests.nemo_runspec.cli.command import Shell

# They take a recipe's command line, or a shell's.
WITHOUT_A_PAGE_OF_OPTIONS = {"recipe", "pipe", "evaluate", "relayed", "complete"}


def test_the_page_has_every_command_once_in_its_group() -> None:
    page = overview()
    for entry in COMMANDS.values():
        count = page.count(f"\n  {entry.name} ") + page.count(f"\n  {entry.name}\n")
        assert count == (0 if entry.group is Group.HIDDEN else 1), entry.name
    positions = [page.index(f"{group.value}:") for group in Group if group is not Group.HIDDEN]
    assert positions == sorted(positions)
    assert max(map(len, page.splitlines())) <= 80
    assert "exit codes:" in page and "130" in page


def test_every_command_has_help(shell: Shell) -> None:
    for entry in COMMANDS.values():
        if entry.group is Group.HIDDEN:
            continue
        page = shell.ok(entry.name, "--help")
        assert page.startswith("usage: nemo-runspec "), entry.name
        assert shell.ok("help", entry.name) == page
        for word in entry.subcommands:
            assert shell.ok(entry.name, word, "--help").startswith("usage: ")


def test_every_command_can_be_asked_for_its_options() -> None:
    for entry in COMMANDS.values():
        if entry.name in WITHOUT_A_PAGE_OF_OPTIONS:
            continue
        for words in [[word] for word in entry.subcommands] or [[]]:
            command = command_of(entry.run, words)
            assert isinstance(command, Command), entry.name
            assert command.name == " ".join([entry.name, *words])


def test_an_unknown_command_hints(shell: Shell) -> None:
    assert "did you mean 'materialize'?" in shell.refused("materialise")
    error = shell.refused("nothing-like-it")
    assert all(name in error for name in command_names())
    assert "relayed" not in error
    assert "did you mean 'ls'?" in shell.refused("store", "lss")


def test_without_arguments_the_page_and_exit_code_2(shell: Shell) -> None:
    code, out, err = shell.run()
    assert (code, err) == (2, "")
    assert out == overview()
