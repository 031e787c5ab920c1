"""Carrying a command line out on the host of its profile, seen from here.

The connection may be cut at any time: the command goes on there, and so does its output here, where
it stopped, once the host can be reached again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, timezone
from types import FrameType
from typing import BinaryIO

from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.command_line import (
    HELP,
    PROFILE,
    RELAY_PROFILE_VARIABLE,
    Command,
    parse,
    typed,
)
from nemo_runspec.config.plain import to_plain
from nemo_runspec.env import (
    ENV_FILE_NAME,
    ENV_FILE_VARIABLE,
    find_env_file,
    load_env_file,
    parse_env,
)
from nemo_runspec.exceptions import UsageError
from nemo_runspec.execution.attach import discard_rest, handled_signals
from nemo_runspec.execution.environment import GIT_VARIABLE, RELAY_PREFIX
from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.secret_file import forwarded_secrets
from nemo_runspec.relay.choice import chosen_profile, is_dry_run
from nemo_runspec.relay.env_file import EnvFile, env_file
from nemo_runspec.relay.errand import Errand, Place, errand_of
from nemo_runspec.relay.host import Connection, ConnectionLostError, Host, HostError, host_of
from nemo_runspec.relay.launcher import Launcher, find_launcher
from nemo_runspec.relay.send import Entry, Tree, digest_of, send_missing

FOLLOW = Command(
    "follow",
    "ID",
    (
        "Shows a command that was relayed to a cluster's login host, from its beginning to its "
        'end: one whose connection was lost for too long. The profile has tunnel = "ssh".',
    ),
    (PROFILE,),
    at_least=1,
    at_most=1,
    has_store=False,
    examples=("follow 20260131-235959-1a2b3c4d --profile prod",),
)
ARGUMENTS_VARIABLE = f"{RELAY_PREFIX}ARGUMENTS"
RELAYED_COMMAND = "relayed"  # what the launcher there is called with; the rest is in the variable

_COMMAND_VARIABLE = "RUNSPEC_COMMAND"
_PASSED_ON = ("NO_COLOR", "RUNSPEC_PATIENCE")  # what a person set for us, not for jobs
_ENV_FOLDER = "_relay/env"
_LOST_SECONDS = 120.0  # a shared file system may tell another host that late
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_SETTLED_SECONDS = 60.0
_WORTH_SAYING = 1 << 20
_EXIT_BROKEN_PIPE = 141
_SIGTERM = 15


def relay(arguments: Sequence[str]) -> int | None:
    """Carry a command line out on its profile's host.

    Args:
        arguments: with the command's name, one that there is.

    Returns:
        The exit code; None where the command is for this machine to carry out: it names no profile,
        or one without `tunnel = "ssh"`, or is a recipe's dry run.

    Raises:
        NemoRunspecError: the command line, the profile or the host is not as it has to be.
        UnreachableError: the host could not be reached, or not for long enough.
    """
    profile = chosen_profile(arguments)
    if profile is None:
        return None
    found = parse_env(GlobalContext(run=profile))
    values = {} if found is None else to_plain(found)
    origin = f"{os.environ.get(ENV_FILE_VARIABLE) or find_env_file() or ENV_FILE_NAME}"
    host = host_of(values, f"{origin}: profile {profile!r}")
    if host is None:
        return None
    if is_dry_run(arguments):
        print(f"note: it would be carried out on {host.name}, by tunnel", file=sys.stderr)
        return None
    launcher = find_launcher()
    if arguments[0] == FOLLOW.name:
        given = parse(FOLLOW, arguments[1:])
        return Relayed(host, launcher, profile).follow(given.arguments[0])
    relayed = Relayed(host, launcher, profile)
    return relayed.carry_out(arguments, env_file(profile, values, load_env_file()))


def run_follow(arguments: Sequence[str]) -> int:
    """`nemo-runspec follow` where there is no host to follow anything on; returns the exit code.

    Raises:
        UsageError: unless help was asked for.
    """
    given = parse(FOLLOW, arguments)
    if given.has(HELP.names[0]):
        print(FOLLOW.help(), end="")
        return 0
    raise UsageError('follow needs --profile PROFILE, one with tunnel = "ssh" in env.toml')


def take_relayed_arguments() -> list[str]:
    """On the host: the command line that was sent.

    Raises:
        UsageError: nobody sent one.
    """
    text = os.environ.pop(ARGUMENTS_VARIABLE, None)
    if text is None:
        raise UsageError(f"{RELAYED_COMMAND} is for commands that another machine sends")
    arguments: list[str] = json.loads(text)
    return arguments


class _InterruptedError(Exception):
    """A signal came that cannot be passed on."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(signum)


class Relayed:
    """One command on its way through, and back.

    Args:
        host: where it is carried out.
        launcher: what carries it out there.
        profile: the profile's name.
    """

    def __init__(self, host: Host, launcher: Launcher, profile: str) -> None:
        self._host = host
        self._launcher = launcher
        self._profile = profile
        self._id = ""
        self._connection: Connection | None = None
        self._offsets = {"out": 0, "err": 0}
        self._sinks: dict[str, BinaryIO] = {"out": sys.stdout.buffer, "err": sys.stderr.buffer}
        self._is_following = False
        self._has_begun = False  # a request to start it was sent
        self._received: list[int] = []
        self._untold: int | None = None  # a signal that could not be passed on yet
        self._is_unread = False  # nobody reads our output any more

    def carry_out(self, arguments: Sequence[str], file: EnvFile) -> int:
        """Carry a command line out; returns its exit code."""
        moment = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
        self._id = f"{moment}-{uuid.uuid4().hex[:8]}"
        order = _Order(self._host.root, self._id, arguments, self._profile, file)
        return self._until_its_end(order)

    def follow(self, id: str) -> int:
        """Show a command that was sent before, from its beginning; returns its exit code."""
        self._id = id
        self._has_begun = True
        return self._until_its_end(None)

    def _until_its_end(self, order: _Order | None) -> int:
        sys.stdout.flush()
        try:
            with handled_signals(self._on_signal):
                return self._connect_again_and_again(order)
        except _InterruptedError as interrupted:
            if self._has_begun:
                self._tell(f"the job goes on there ({self._host.name}); {self._way_back()}")
            return 128 + interrupted.signum

    def _connect_again_and_again(self, order: _Order | None) -> int:
        # Not at the top: it brings the tables of `materialize`.
        from nemo_runspec.execution.patience import patience_seconds

        patience = patience_seconds()
        name = self._host.name
        lost_at: float | None = None
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                with closing(Connection(self._host, self._launcher.versions)) as connection:
                    if lost_at is not None:
                        self._tell(f"connected to {name} again")
                    return self._through(connection, order)
            except ConnectionLostError as lost:
                self._connection = None
                self._is_following = False
                if lost_at is None or time.monotonic() - began > _SETTLED_SECONDS:
                    lost_at, pause = time.monotonic(), _FIRST_PAUSE
                goes_on = "the job goes on there; " if self._has_begun else ""
                self._tell(f"connection to {name} lost; {goes_on}trying again")
                reason = str(lost)
            except ExecutionError as error:
                if lost_at is None or self._connection is not None:
                    raise
                reason = str(error)
            left = lost_at + patience - time.monotonic()
            if left <= 0:
                end = f"it goes on there; {self._way_back()}" if self._has_begun else ""
                raise UnreachableError(
                    f"{name} could not be reached again within {patience:g} s ({reason}); "
                    f"{end or 'nothing was started there'}"
                )
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _through(self, connection: Connection, order: _Order | None) -> int:
        self._connection = connection
        there = connection.ask("open", root=self._host.root)
        if order is not None:
            errand = order.for_root(there["root"])
            trees = [*self._launcher.trees(), *errand.trees, *order.own_trees(errand)]
            send_missing(connection, trees, self._tell_size)
            # From here on it may run, whether we hear of it or not.
            self._has_begun = True
            argv = self._launcher.argv(there["root"], there["python"])
            connection.ask(
                "start", id=self._id, argv=[*argv, RELAYED_COMMAND], env=order.env(errand)
            )
        connection.request("follow", id=self._id, lost_seconds=_LOST_SECONDS, **self._offsets)
        self._is_following = True
        if self._untold is not None:
            self._pass_on(self._untold)
        return self._show_all(connection)

    def _show_all(self, connection: Connection) -> int:
        while True:
            answer = connection.answer()
            if "stream" in answer:
                self._show(answer["stream"], connection.read(answer["size"]))
            elif "end" in answer:
                self._is_following = False
                with contextlib.suppress(ConnectionLostError):
                    connection.ask("done", id=self._id)
                return _EXIT_BROKEN_PIPE if self._is_unread else int(answer["end"])
            elif "lost" in answer:
                raise HostError(
                    f"{self._host.name}: the command there gave no sign of life for "
                    f"{_LOST_SECONDS:g} s, as when a host is started anew; what it had submitted "
                    "goes on: give the command again"
                )
            else:
                raise HostError(
                    f"{self._host.name} knows no command {self._id}; its end was seen, or is two "
                    "weeks ago"
                )

    def _show(self, stream: str, content: bytes) -> None:
        sink = self._sinks[stream]
        self._offsets[stream] += len(content)
        try:
            sink.write(content)
            sink.flush()
        except OSError:
            discard_rest(sink)
            if not self._is_unread:
                self._is_unread = True
                self._pass_on(_SIGTERM)

    def _on_signal(self, signum: int, _frame: FrameType | None = None) -> None:
        self._received.append(signum)
        if len(self._received) > 1 or not self._is_following:
            raise _InterruptedError(signum)
        self._pass_on(signum)

    def _pass_on(self, signum: int) -> None:
        """Tells the command there of a signal; after the next connection, if this one is gone."""
        assert self._connection is not None
        delivered = self._connection.tell(signal=signum)
        self._untold = None if delivered else signum

    def _tell(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def _tell_size(self, size: int) -> None:
        if size >= _WORTH_SAYING:
            self._tell(f"sending {size / (1 << 20):.1f} MiB to {self._host.name}")

    def _way_back(self) -> str:
        command = typed(FOLLOW.name, self._id, "--profile", self._profile)
        return f"see it to its end with: {command}"


class _Order:
    """A command line with all that its command gets there.

    Args:
        root: the root, as the profile names it.
        id: names the command.
        arguments: the command line.
        profile: the name of its profile.
        file: its `env.toml`.
    """

    def __init__(
        self, root: str, id: str, arguments: Sequence[str], profile: str, file: EnvFile
    ) -> None:
        # Not at the top: it brings most of the library.
        from nemo_runspec.pipeline.facts import git_facts

        self._arguments = tuple(arguments)
        self._profile = profile
        self._file = file
        self._git = json.dumps(asdict(git_facts()))
        # What is wrong with the command line is said before anybody is called.
        self._place = Place(root, id)
        self._errand = errand_of(self._arguments, self._place)

    def for_root(self, root: str) -> Errand:
        """The errand, the root there being known."""
        if root != self._place.root:
            self._place = Place(root, self._place.id)
            self._errand = errand_of(self._arguments, self._place)
        return self._errand

    def own_trees(self, errand: Errand) -> list[Tree]:
        """What is sent besides the trees of the errand: `env.toml`, and the command's own files."""
        entries = self._env_entries()
        return [
            Tree(self._env_folder(), lambda: entries),
            Tree(self._place.run, lambda: errand.files, private=True),
        ]

    def env(self, errand: Errand) -> dict[str, str]:
        """The variables that the command gets besides those of a login there."""
        env = forwarded_secrets()
        env |= {name: os.environ[name] for name in _PASSED_ON if os.environ.get(name)}
        if sys.stdout.isatty():
            env["COLUMNS"] = str(shutil.get_terminal_size().columns)
        return {
            **env,
            **errand.env,
            **self._file.secrets,
            RELAY_PROFILE_VARIABLE: self._profile,
            _COMMAND_VARIABLE: self._typed(),
            ARGUMENTS_VARIABLE: json.dumps(errand.arguments),
            ENV_FILE_VARIABLE: self._place.path(self._env_folder(), ENV_FILE_NAME),
            GIT_VARIABLE: self._git,
        }

    def _typed(self) -> str:
        """What a person types to give the command again."""
        return os.environ.get(_COMMAND_VARIABLE) or shlex.join(["nemo-runspec", *self._arguments])

    def _env_entries(self) -> list[Entry]:
        return [Entry(ENV_FILE_NAME, self._file.text.encode())]

    def _env_folder(self) -> str:
        return f"{_ENV_FOLDER}/{digest_of(self._env_entries())[:32]}"
