from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.exceptions import ProfileError
from nemo_runspec.execution.errors import UnreachableError
from nemo_runspec.relay.host import Connection, Host, HostError, host_of, refusal

GOOD = {"tunnel": "ssh", "host": "login", "remote_job_dir": "/lustre/jobs"}


@pytest.mark.parametrize("profile", [{}, {"tunnel": "local", "host": "x"}, {"tunnel": None}])
def test_no_tunnel_no_host(profile: dict[str, Any]) -> None:
    assert host_of(profile, "env.toml") is None


@pytest.mark.parametrize(
    ("written", "name", "port"),
    [
        ("login", "login", None),
        ("login.cluster.example:2222", "login.cluster.example", 2222),
        ("127.0.0.1:22", "127.0.0.1", 22),
        ("fe80::1", "fe80::1", None),
        ("::1", "::1", None),
        ("[::1]:2222", "::1", 2222),
    ],
)
def test_name_and_port(written: str, name: str, port: int | None) -> None:
    host = host_of({**GOOD, "host": written}, "env.toml")
    assert host == Host(name, "/lustre/jobs", port)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"tunnel": "shh"},
            "x: tunnel 'shh' is unknown; did you mean 'ssh'? There are: local, ssh",
        ),
        ({"host": None}, 'x: tunnel = "ssh" needs host: the name of the cluster\'s login host'),
        ({"host": " "}, 'x: tunnel = "ssh" needs host'),
        ({"remote_job_dir": ""}, 'x: tunnel = "ssh" needs remote_job_dir: a folder that all of'),
        ({"remote_job_dir": "jobs"}, "x: remote_job_dir must be an absolute path on login"),
        ({"host": "me@login"}, "x: host 'me@login' is no name of a host; write NAME or NAME:PORT"),
        ({"host": "-oProxyCommand=x"}, "x: host '-oProxyCommand=x' is no name of a host"),
        ({"host": "a b"}, "x: host 'a b' is no name of a host"),
        ({"identity": "/no/key"}, "x: identity /no/key: there is no such file"),
    ],
)
def test_profile_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        host_of({**GOOD, **change}, "x")
    assert str(caught.value).startswith(message)


def test_command_has_what_the_profile_says(tmp_path: Path) -> None:
    key = tmp_path / "my key"
    key.touch()
    host = host_of({**GOOD, "host": "login:22", "user": "me", "identity": str(key)}, "x")
    assert host is not None
    command = host.ssh_command({"RUNSPEC_SSH": "ssh -F 'my config'"})
    assert command[:3] == ["ssh", "-F", "my config"]
    assert command[-8:] == ["-i", str(key), "-p", "22", "-l", "me", "--", "login"]
    assert "BatchMode=yes" in command
    assert host.by_hand == "ssh -p 22 -l me login"


@pytest.mark.parametrize(
    ("code", "said", "kind", "message"),
    [
        (
            255,
            "ssh: connect to x port 22: Connection refused\r\n",
            UnreachableError,
            "refused",
        ),
        (255, "ssh: Could not resolve hostname x: Name or service", UnreachableError, "resolve"),
        (255, "", UnreachableError, "no answer"),
        (255, "No ED25519 host key is known for x\nHost key verification failed.", HostError, "by"),
        (
            255,
            "@ REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key",
            HostError,
            "keygen -R login",
        ),
        (255, "me@x: Permission denied (publickey).", HostError, "ssh-add"),
        (2, "error: no Python 3.98 on PATH; install one\n", HostError, "login: no Python 3.98"),
        (1, "csh: dd: Command not found.", HostError, "login: csh: dd: Command not found."),
    ],
)
def test_refusals_say_what_to_do(code: int, said: str, kind: type[Any], message: str) -> None:
    error = refusal(Host("login", "/jobs"), code, said)
    assert type(error) is kind
    assert message in str(error)
    assert "\n" not in str(error)


def test_no_ssh_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNSPEC_SSH", "/no/ssh")
    with pytest.raises(HostError, match="install OpenSSH's client"):
        Connection(Host("login", "/jobs"), ["3.11"])


def test_what_ssh_left_behind_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the master of a shared connection does (ControlPersist)."""
    left, ssh = tmp_path / "left", tmp_path / "ssh"
    ssh.write_text(
        f"#!/bin/sh\nsleep 600 </dev/null >/dev/null &\necho $! > {left}\n"
        "echo 'ssh: connect to host login port 22: Connection refused' >&2\nexit 255\n"
    )
    ssh.chmod(0o755)
    monkeypatch.setenv("RUNSPEC_SSH", str(ssh))
    try:
        with pytest.raises(UnreachableError, match="Connection refused"):
            Connection(Host("login", "/jobs"), ["3.11"])
        os.kill(int(left.read_text()), 0)  # still there: nobody waited for it
    finally:
        os.kill(int(left.read_text()), signal.SIGKILL)


def test_launcher_of_pants_run_is_none_of_the_hosts(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNSPEC_LAUNCHER_PEX", "/no/launcher.pex")
    connect()


@pytest.mark.usefixtures("connect")
def test_no_python_there() -> None:
    with pytest.raises(HostError, match=r"there: RUNSPEC_LAUNCHER_PYTHON=.* is no Python 3\.98"):
        Connection(Host("there", "/jobs"), ["3.98"])


def test_paths_stay_below_the_root(connect: Any) -> None:
    connection = connect()
    with pytest.raises(HostError, match="leads out of"):
        connection.ask("need", paths=["../x"])
