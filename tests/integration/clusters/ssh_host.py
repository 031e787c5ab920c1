"""A cluster's login host: a real sshd on this machine's loopback, with a home of its own.

It has its own host key, its own authorized key and, on the side of those who come, its own known
hosts. `cut` ends the connections as a broken network does; what runs on the host goes on.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_PATIENCE_SECONDS = 30
_POLL_SECONDS = 0.02
_SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
_COMMANDS = {"sshd": "openssh-server", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}
# Where sshd, as root, drops its rights; Debian makes it when the service starts.
_PRIVILEGE_SEPARATION = Path("/run/sshd")
_LAUNCHER = """\
#!/bin/sh
PYTHONPATH={path} exec {python} -m nemo_runspec "$@"
"""


def missing_packages() -> str | None:
    """Why no sshd can be started here, with the command that changes it; None if one can."""
    missing = {package for name, package in _COMMANDS.items() if _which(name) is None}
    if not missing:
        return None
    return f"needs sshd: apt-get install -y --no-install-recommends {' '.join(sorted(missing))}"


@contextmanager
def ssh_host(env: Mapping[str, str] | None = None) -> Iterator[SshHost]:
    """A login host that answers for as long as the context.

    Args:
        env: variables of whoever logs in.
    """
    # sshd and ssh want no folder above their keys that others may write to.
    folder = Path(tempfile.mkdtemp(prefix="ssh-"))
    host = SshHost(folder, env or {})
    try:
        host.start()
        yield host
    finally:
        host.cut()
        shutil.rmtree(folder)


class SshHost:
    """A login host.

    Args:
        folder: an empty folder for all of its files.
        env: variables of whoever logs in, besides HOME.

    Attributes:
        home: the home folder there.
        port: where it listens.
        identity: the private key that it lets in.
        ssh: the ssh command that reaches it.
        launcher: an executable there that is our command line.
    """

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.identity = folder / "id_ed25519"
        self.port = _free_port()
        self.launcher = folder / "launcher"
        self._env = {"HOME": str(self.home), **env}
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("host_key", self.identity.name):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        shutil.copyfile(self.identity.with_suffix(".pub"), folder / "authorized_keys")
        kind, key, *_ = (folder / "host_key.pub").read_text().split()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")
        (folder / "sshd_config").write_text(self._sshd_config())
        (folder / "ssh_config").write_text(
            f"Host *\n  UserKnownHostsFile {folder}/known_hosts\n"
            "  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
            f"  IdentityAgent none\n  PreferredAuthentications publickey\n"
        )
        path = os.pathsep.join(each for each in sys.path if each)
        self.launcher.write_text(
            _LAUNCHER.format(path=shlex.quote(path), python=shlex.quote(sys.executable))
        )
        self.launcher.chmod(0o755)

    @property
    def ssh(self) -> str:
        return f"ssh -F {self.folder}/ssh_config"

    @property
    def environment(self) -> dict[str, str]:
        """What those need who come: how ssh is called, and which launcher there is there."""
        return {"RUNSPEC_SSH": self.ssh, "RUNSPEC_REMOTE_LAUNCHER": str(self.launcher)}

    def profile(self, **more: object) -> dict[str, object]:
        """The keys of a profile that name it."""
        return {
            "tunnel": "ssh",
            "host": f"127.0.0.1:{self.port}",
            "user": getpass.getuser(),
            "identity": str(self.identity),
            "remote_job_dir": "~/jobs",
            **more,
        }

    def start(self) -> None:
        """Lets it listen."""
        if os.geteuid() == 0:
            _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        sshd = _which("sshd")
        assert sshd is not None
        with open(self.folder / "sshd.log", "ab") as log:
            self._process = subprocess.Popen(
                [sshd, "-D", "-e", "-f", str(self.folder / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + _PATIENCE_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise AssertionError((self.folder / "sshd.log").read_text())
            time.sleep(_POLL_SECONDS)

    def cut(self) -> None:
        """Ends it and all connections to it; what was started over them goes on."""
        process, self._process = self._process, None
        if process is None:
            return
        # The sessions' own processes of sshd, not what they started.
        sessions = [pid for pid in _descendants(process.pid) if _name(pid) == "sshd"]
        for pid in [process.pid, *sessions]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(_PATIENCE_SECONDS)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), _PATIENCE_SECONDS):
                return True
        except ConnectionRefusedError:
            return False

    def _sshd_config(self) -> str:
        variables = " ".join(f'"{name}={value}"' for name, value in self._env.items())
        return (
            f"ListenAddress 127.0.0.1:{self.port}\n"
            f"HostKey {self.folder}/host_key\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\n"
            f"PidFile {self.folder}/sshd.pid\n"
            f"SetEnv {variables}\n"
            # Its folder lies below one that everybody may write to.
            "StrictModes no\n"
            "PermitRootLogin prohibit-password\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "UsePAM no\nPrintMotd no\nUseDNS no\n"
            # Refuse no one of many who come at once.
            "MaxStartups 100\n"
        )


def _which(name: str) -> str | None:
    return shutil.which(name, path=_SEARCH)


def _run(*argv: str) -> None:
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for above in found:
        with contextlib.suppress(FileNotFoundError):
            text = Path(f"/proc/{above}/task/{above}/children").read_text()
            found += map(int, text.split())
    return found[1:]


def _name(pid: int) -> str:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
