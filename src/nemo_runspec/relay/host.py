"""The host that a profile with `tunnel = "ssh"` names, and connections to it by OpenSSH.

The user's own configuration of ssh counts (`~/.ssh/config`, known hosts, agent, jump hosts); the
profile adds `user` and `identity`. `RUNSPEC_SSH` names another ssh command, such as
`ssh -F some/config`.
"""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import re
import shlex
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from nemo_runspec._names import hint
from nemo_runspec.exceptions import ProfileError
from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.relay.far_side import HELLO
from runspec.run_script import FIND_PYTHON, FORGET_PYTHONS, LAUNCHER_PYTHON

SSH_VARIABLE = "RUNSPEC_SSH"

_TUNNELS = ("local", "ssh")
_OPTIONS = (
    "BatchMode=yes",
    "ClearAllForwardings=yes",
    "ConnectTimeout=20",
    "RemoteCommand=none",
    "RequestTTY=no",
    # A connection that is cut without a word is noticed within a minute.
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
)
_SSH_FAILED = 255
_END_SECONDS = 2
_LONGEST_ANSWER = 1 << 20
_KEPT_CHARACTERS = 8000

# `dd` reads no more than it is told to; a shell would take some of what follows for itself. What
# the user's login shell is does not matter: only this passes through it.
_REMOTE_COMMAND = """exec /bin/sh -c 'eval "$(dd bs=1 count={size} 2>/dev/null)"'"""
_SCRIPT = """\
versions='@versions@'
minors=$versions
fail() {
    printf 'error: %s\\n' "$1" >&2
    exit 2
}
@find_python@
@forget_pythons@
@launcher_python@
exec "$python" -I -S -c 'import os, sys
code = b""
while len(code) < int(sys.argv[1]):
    code += os.read(0, int(sys.argv[1]) - len(code))
exec(compile(code, "far_side.py", "exec"))' @size@
"""
_FAR_SIDE = "far_side.py"


class ConnectionLostError(Exception):
    """A connection ended before its time; what was started over it goes on."""


class HostError(ExecutionError):
    """A host cannot do what it was asked to."""


@dataclass(frozen=True)
class Host:
    """A host that commands are relayed to.

    Args:
        name: its name, as ssh knows it.
        root: the folder there that all is kept below; `~` is the user's folder there.
        port: where ssh listens; None for what ssh's configuration says.
        user: the account there; None for what ssh's configuration says.
        identity: file of the private key; None for what ssh's configuration says.
    """

    name: str
    root: str
    port: int | None = None
    user: str | None = None
    identity: Path | None = None

    def ssh_command(self, environ: Mapping[str, str] = os.environ) -> list[str]:
        """The ssh command up to what it is to run there."""
        command = shlex.split(environ.get(SSH_VARIABLE) or "ssh")
        for option in _OPTIONS:
            command += ["-o", option]
        if self.identity is not None:
            command += ["-o", "IdentitiesOnly=yes", "-i", str(self.identity)]
        if self.port is not None:
            command += ["-p", str(self.port)]
        if self.user is not None:
            command += ["-l", self.user]
        return [*command, "--", self.name]

    @property
    def by_hand(self) -> str:
        """What a person types to look whether it can be reached."""
        port = [] if self.port is None else ["-p", str(self.port)]
        user = [] if self.user is None else ["-l", self.user]
        return shlex.join(["ssh", *port, *user, self.name])


def host_of(profile: Mapping[str, Any], origin: str) -> Host | None:
    """The host that commands with this profile are relayed to; None where they run here.

    Args:
        profile: from `nemo_runspec.env.parse_env`, as plain data.
        origin: what to name in an error: the file and the profile.

    Raises:
        ProfileError: `tunnel` is unknown, or what it needs is missing or cannot be.
    """
    tunnel = profile.get("tunnel") or "local"
    if tunnel not in _TUNNELS:
        raise ProfileError(f"{origin}: tunnel {tunnel!r} is unknown; {hint(str(tunnel), _TUNNELS)}")
    if tunnel == "local":
        return None
    needed = {
        "host": "the name of the cluster's login host, as ssh knows it",
        "remote_job_dir": "a folder that all of the cluster sees",
    }
    for key, meaning in needed.items():
        if not isinstance(profile.get(key), str) or not profile[key].strip():
            raise ProfileError(f'{origin}: tunnel = "ssh" needs {key}: {meaning}')
    root = profile["remote_job_dir"]
    if not root.startswith(("/", "~/")):
        raise ProfileError(
            f"{origin}: remote_job_dir must be an absolute path on {profile['host']}, or one that "
            f"begins with ~/, not {root!r}"
        )
    name, port = _name_and_port(profile["host"], origin)
    identity = profile.get("identity")
    key_file = None if not identity else Path(str(identity)).expanduser()
    if key_file is not None and not key_file.is_file():
        raise ProfileError(f"{origin}: identity {identity}: there is no such file")
    user = profile.get("user")
    return Host(name, root, port, str(user) if user else None, key_file)


def _name_and_port(host: str, origin: str) -> tuple[str, int | None]:
    """The two parts of `NAME`, `NAME:PORT`, `[ADDRESS]:PORT` or an IPv6 address."""
    if re.fullmatch(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", host):
        return host, None
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^-\s:/@\[\]][^\s:/@\[\]]*))(?::(\d+))?", host)
    if found is None:
        raise ProfileError(
            f"{origin}: host {host!r} is no name of a host; write NAME or NAME:PORT, and the "
            "account as user"
        )
    return found[1] or found[2], int(found[3]) if found[3] else None


class Connection:
    """A running ssh whose other end is `nemo_runspec.relay.far_side`.

    Args:
        host: where to.
        versions: the Pythons that may run it there, such as `3.11`, best first.

    Raises:
        UnreachableError: the host does not answer.
        HostError: it does not let us in, or cannot run it.
    """

    def __init__(self, host: Host, versions: Sequence[str]) -> None:
        self.host = host
        command = host.ssh_command()
        program = pkgutil.get_data(__package__, _FAR_SIDE)
        assert program is not None
        script = _script(versions, len(program)).encode()
        try:
            self._process = subprocess.Popen(
                [*command, _REMOTE_COMMAND.format(size=len(script))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C"},  # its messages are read below
                start_new_session=True,  # a terminal's Ctrl-C is for us to pass on
            )
        except OSError as error:
            raise HostError(
                f"{command[0]} cannot be started ({error.strerror}); install OpenSSH's client, or "
                f"name one in {SSH_VARIABLE}"
            ) from error
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._input: IO[bytes] = self._process.stdin
        self._output: IO[bytes] = self._process.stdout
        self._errors = _Drained(self._process.stderr)
        try:
            self._begin(script + program)
        except BaseException:
            self._process.kill()  # it may still be waiting for an answer
            self.close()
            raise

    def request(self, op: str, /, **values: Any) -> None:
        """Send a request.

        Raises:
            ConnectionLostError: the connection is gone.
        """
        self.write(json.dumps({"op": op, **values}).encode() + b"\n")

    def tell(self, **values: Any) -> bool:
        """Send something that is not answered, also while another thread of thought waits for an
        answer; returns whether that was possible."""
        try:
            self._input.write(json.dumps(values).encode() + b"\n")
            self._input.flush()
        except (BrokenPipeError, ValueError):
            return False
        return True

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        try:
            self._input.write(data)
            self._input.flush()
        except (BrokenPipeError, ValueError):
            # It may have said why it stopped to listen.
            while True:
                self.answer()

    def ask(self, op: str, /, **values: Any) -> dict[str, Any]:
        """Send a request; returns the answer.

        Raises:
            ConnectionLostError: the connection is gone.
            HostError: the host cannot do it.
        """
        self.request(op, **values)
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next answer.

        Raises:
            ConnectionLostError: the connection is gone.
            HostError: the host could not do what it was asked to.
        """
        line = self._output.readline(_LONGEST_ANSWER)
        if not line.endswith(b"\n"):
            raise ConnectionLostError(self._why())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise HostError(f"{self.host.name}: {answer['error']}")
        return answer

    def read(self, size: int) -> bytes:
        """So many bytes that belong to an answer.

        Raises:
            ConnectionLostError: the connection is gone.
        """
        data = self._output.read(size)
        if len(data) < size:
            raise ConnectionLostError(self._why())
        return data

    def close(self) -> None:
        """End the connection; what was started over it goes on."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        # What ssh left behind, such as a shared connection's master, may hold the pipe for long.
        self._errors.join(_END_SECONDS)
        self._output.close()

    def _begin(self, start: bytes) -> None:
        try:
            self._input.write(start)
            self._input.flush()
        except BrokenPipeError:
            pass  # why it ended is read below
        # A login shell may print what it likes before.
        while True:
            line = self._output.readline(_LONGEST_ANSWER)
            if not line:
                raise self._refused()
            if line.endswith(HELLO):
                return

    def _refused(self) -> ExecutionError:
        code = self._process.wait()
        self._errors.join(_END_SECONDS)
        return refusal(self.host, code, self._errors.text)

    def _why(self) -> str:
        self._errors.join(_END_SECONDS)
        return _last_line(self._errors.text)


def _script(versions: Sequence[str], size: int) -> str:
    """What finds a Python there and lets it run a program of so many bytes, which follow it."""
    text = _SCRIPT.replace("@versions@", " ".join(versions)).replace("@size@", str(size))
    text = text.replace("@find_python@", FIND_PYTHON)
    text = text.replace("@forget_pythons@", FORGET_PYTHONS)
    return text.replace("@launcher_python@", LAUNCHER_PYTHON)


def refusal(host: Host, code: int, said: str) -> ExecutionError:
    """What it means that ssh ended before anything ran, and what to do.

    Args:
        host: where it was to go.
        code: ssh's exit code.
        said: its standard error.
    """
    name = host.name
    last = _last_line(said)
    if code != _SSH_FAILED:
        # Ours says `error: …`; else a shell's last words.
        ours = re.findall(r"^error: (.+)$", said, re.MULTILINE)
        return HostError(f"{name}: {ours[-1] if ours else last or f'exit code {code}'}")
    if "IDENTIFICATION HAS CHANGED" in said:
        return HostError(
            f"{name}: its host key is not the one that is known here; if that is as it should be, "
            f"forget the old one with `ssh-keygen -R {shlex.quote(name)}`"
        )
    if "Host key verification failed" in said or "host key is known" in said:
        return HostError(
            f"{name}: its host key is not known here; connect once by hand and look at it: "
            f"`{host.by_hand}`"
        )
    if "Permission denied" in said or "Too many authentication failures" in said:
        return HostError(
            f"{name} does not let us in: {last.rstrip('.')}; load a key with ssh-add, or name it "
            "as identity, and the account as user, in the profile; a password cannot be asked for"
        )
    return UnreachableError(
        f"{name} cannot be reached: {last or 'no answer'}; look whether `{host.by_hand}` works"
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


class _Drained:
    """What comes out of a pipe, read as it comes, the last of it kept."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.text = ""
        self._pipe = pipe
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _drain(self) -> None:
        with self._pipe:
            for line in self._pipe:
                self.text = (self.text + line.decode(errors="replace"))[-_KEPT_CHARACTERS:]
