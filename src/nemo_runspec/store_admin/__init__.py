"""The store from the command line: `nemo-runspec store …`, `promote`, `revoke`, `accept`.

Each command is a module with its help, which is the manual, and a function ``run``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nemo_runspec.command_line import Command, Given

STORE_HELP = """\
usage: nemo-runspec store COMMAND …

commands:
  ls [NAME-GLOB …]    the artifacts: latest version, aliases, when and by whom
  show NAME[:vN]      one version: data, key, what it was made from, metadata
  verify [NAME …]     look whether all that the store promises is true
  add NAME PATH       record existing data as a version
  gc                  free the data that nothing needs; says what, until --yes

`nemo-runspec store COMMAND --help` tells more. See also: promote accept revoke.
"""

_STORE_COMMANDS = ("ls", "show", "verify", "add", "gc")


def run_store(argv: Sequence[str]) -> int:
    """Runs `nemo-runspec store …`.

    Returns:
        The exit code.

    Raises:
        NemoRunspecError: something is wrong with the command line or the store.
    """
    from nemo_runspec.command_line import run_group

    return run_group("store", STORE_HELP, _STORE_COMMANDS, argv, run_command)


def run_command(name: str, argv: Sequence[str]) -> int:
    """Runs one command.

    Args:
        name: such as ``store ls`` or ``promote``.
        argv: what follows it.

    Returns:
        The exit code.

    Raises:
        NemoRunspecError: something is wrong with the command line or the store.
    """
    from nemo_runspec.command_line import PROFILE, run_parsed

    command, run = _load(name)
    # A store on a cluster is reached through the profile's tunnel, before this is called.
    return run_parsed(replace(command, flags=(*command.flags, PROFILE)), run, argv)


def _load(name: str) -> tuple[Command, Callable[[Given], int]]:
    # Import statements, which Pants finds, each run only where its command is.
    if name == "store ls":
        from nemo_runspec.store_admin import listing

        return listing.COMMAND, listing.run
    if name == "store show":
        from nemo_runspec.store_admin import showing

        return showing.COMMAND, showing.run
    if name == "store verify":
        from nemo_runspec.store_admin import verify

        return verify.COMMAND, verify.run
    if name == "store add":
        from nemo_runspec.store_admin import adding

        return adding.COMMAND, adding.run
    if name == "store gc":
        from nemo_runspec.store_admin import collecting

        return collecting.COMMAND, collecting.run
    if name == "promote":
        from nemo_runspec.store_admin import promoting

        return promoting.COMMAND, promoting.run
    if name == "revoke":
        from nemo_runspec.store_admin import revoking

        return revoking.COMMAND, revoking.run
    from nemo_runspec.store_admin import accepting

    return accepting.COMMAND, accepting.run
