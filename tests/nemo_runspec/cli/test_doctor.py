"""`nemo-runspec doctor` without a profile: each finding with its fix."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.preflight import machine, pants_cache, wandb_login
from nemo_runspec.preflight.pants_cache import check_pants_cache, file_system
from tests.nemo_runspec.cli.command import Shell

SECRET = "0123456789abcdef0123456789abcdef01234567"


def report(shell: Shell, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the checks by their name."""
    code, out, err = shell.run("doctor", "--format", "json", *arguments)
    assert err == ""
    document = json.loads(out)
    assert document["good"] is (code == 0)
    return code, {
        check["what"]: check for section in document["sections"] for check in section["checks"]
    }


def test_a_machine_where_all_is_well(shell: Shell) -> None:
    out = shell.ok("doctor")
    assert out.splitlines()[0] == "this machine: all is well"
    assert "fix" not in out
    code, checks = report(shell)
    assert code == 0
    assert {"env.toml", "store", "output", "git", "disk of jobs", "disk of store"} == set(checks)
    assert list(shell.store.names()) == []


def test_a_broken_env_file(shell: Shell) -> None:
    (shell.folder / "env.toml").write_text("[a]\nx = \n")
    code, checks = report(shell)
    assert code == 1
    assert not checks["env.toml"]["good"]
    assert "env.toml" in checks["env.toml"]["detail"]
    assert "nemo-runspec init" in checks["env.toml"]["fix"]
    assert (checks["store"]["good"], checks["store"]["detail"]) == (
        False,
        checks["env.toml"]["detail"],
    )


def test_artifacts_that_cannot_be_as_they_are(shell: Shell) -> None:
    (shell.folder / "env.toml").write_text('[artifacts]\nwandb = "perhaps"\n')
    code, checks = report(shell)
    assert (code, checks["env.toml"]["good"], checks["store"]["good"]) == (1, True, False)
    assert "wandb" in checks["store"]["detail"]


def test_an_env_file_that_is_not_there(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEMOTRON_ENV_FILE", "/nowhere/env.toml")
    code, checks = report(shell)
    assert code == 1
    assert "unset" in checks["env.toml"]["fix"]


def test_each_broken_profile_is_named(shell: Shell) -> None:
    (shell.folder / "env.toml").write_text(
        "[good]\n[a]\nexecutor = 'slrm'\n[b]\nextends = 'c'\n[d]\nnodse = 2\n"
    )
    code, out, _ = shell.run("doctor")
    assert code == 1
    for said in ("did you mean 'slurm'", "unknown profile 'c'", "did you mean 'nodes'"):
        assert said in out
    assert out.count("  fix ") == 3
    assert "change [a] in " in out and "profile good" not in out


def test_a_store_that_cannot_be_written(shell: Shell) -> None:
    (shell.folder / "env.toml").write_text('[artifacts.manifest]\nroot = "/proc/none"\n')
    code, checks = report(shell)
    assert code == 1
    assert not checks["store"]["good"]
    assert "[artifacts.manifest]" in checks["store"]["fix"]


def test_a_full_disk(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 5000}))
    code, checks = report(shell)
    assert code == 1
    assert checks["disk of jobs"]["detail"].startswith("5.0 kB free at ")
    assert "store gc" in checks["disk of jobs"]["fix"]


def test_without_git(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    code, checks = report(shell)
    assert (code, checks["git"]["good"], checks["git"]["detail"]) == (1, False, "no git in PATH")
    assert "install git" in checks["git"]["fix"]


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
filer:/home /home nfs4 rw 0 0
/dev/sdb1 /home/me/lo\\040cal ext4 rw 0 0
lustre /lustre lustre rw 0 0
"""


def test_the_file_system_of_a_path(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    for path, kind in {
        "/home/me/.cache/pants": "nfs4",
        "/home/me/lo cal/x": "ext4",
        "/homes/x": "ext4",
        "/lustre": "lustre",
    }.items():
        assert file_system(Path(path), mounts) == kind
    assert file_system(Path("/home"), tmp_path / "none") is None


def test_the_cache_of_pants_on_a_network_home(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    monkeypatch.setattr(pants_cache, "file_system", lambda path: file_system(path, mounts))
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CACHE_HOME")
    for name in ("PANTS_LOCAL_STORE_DIR", "PANTS_NAMED_CACHES_DIR"):
        monkeypatch.delenv(name, raising=False)
    file = shell.folder / "pants.toml"
    file.write_text("[GLOBAL]\npants_version = '2.33.0'\n")
    found = {check.what: check for check in check_pants_cache(shell.folder)}
    store = found["pants local_store_dir"]
    assert (store.good, store.detail) == (False, "/home/me/.cache/pants/lmdb_store (nfs4)")
    assert '[GLOBAL] local_store_dir = "/tmp/%(user)s-pants/lmdb_store"' in store.fix
    file.write_text('[GLOBAL]\nlocal_store_dir = "/tmp/%(user)s/s"\nnamed_caches_dir = "/lustre/c"')
    found = {check.what: check for check in check_pants_cache(shell.folder)}
    assert found["pants local_store_dir"].good
    assert "%(" not in found["pants local_store_dir"].detail
    assert found["pants named_caches_dir"].detail == "/lustre/c (lustre)"
    monkeypatch.setenv("PANTS_NAMED_CACHES_DIR", "/var/c")
    assert all(check.good for check in check_pants_cache(shell.folder))
    assert "pants local_store_dir" in report(shell)[1]


class Server:
    """W&B's API, as much of it as tells who somebody is."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] = (200, b"{}")
        self.seen: list[tuple[str, str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.seen.append((self.path, self.headers["Authorization"], body))
                status, answer = outer.answer
                self.send_response(status)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    (shell.folder / "env.toml").write_text("[artifacts]\nwandb = true\n")
    server = Server()
    monkeypatch.setattr(wandb_login, "_PATIENCE_SECONDS", 60.0)
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("NETRC", str(shell.folder / "netrc"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.http.shutdown()
    server.http.server_close()


def test_a_key_that_wandb_takes(
    shell: Shell, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    server.answer = (200, json.dumps({"data": {"viewer": {"username": "ann"}}}).encode())
    code, checks = report(shell)
    assert code == 0 and checks["wandb"]["detail"] == f"ann at {server.url}"
    ((path, authorization, body),) = server.seen
    assert path == "/graphql" and "viewer" in body["query"]
    assert base64.b64decode(authorization.removeprefix("Basic ")).decode() == f"api:{SECRET}"


def test_a_key_of_the_netrc_file(shell: Shell, server: Server) -> None:
    assert report(shell)[1]["wandb"]["detail"].startswith("no key for ")
    netrc = shell.folder / "netrc"
    netrc.write_text(f"machine 127.0.0.1\nlogin user\npassword {SECRET}\n")
    netrc.chmod(0o600)
    server.answer = (200, b'{"data": {"viewer": {"entity": "team"}}}')
    assert report(shell)[1]["wandb"]["detail"] == f"team at {server.url}"


REFUSALS = {
    "refuses the key": (401, b""),
    "answers with 500": (500, b"oops"),
    "does not know the key": (200, b'{"data": {"viewer": null}}'),
    "cannot be reached": (200, b"<html>"),
}


@pytest.mark.parametrize("said", REFUSALS)
def test_what_wandb_may_say_instead(
    shell: Shell, server: Server, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    server.answer = REFUSALS[said]
    code, out, err = shell.run("doctor")
    assert (code, err) == (1, "")
    assert said in " ".join(out.split())
    assert "  fix " in out
    assert SECRET not in out


def test_a_wandb_that_never_answers(
    shell: Shell, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb_login, "_PATIENCE_SECONDS", 0.2)
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        code, checks = report(shell)
    assert code == 1 and "timed out" in checks["wandb"]["detail"]
    monkeypatch.setenv("WANDB_BASE_URL", "nonsense")
    assert report(shell)[0] == 1


def test_wandb_is_not_asked_where_it_is_off(shell: Shell, server: Server) -> None:
    (shell.folder / "env.toml").write_text("[artifacts]\nwandb = false\n")
    code, checks = report(shell)
    assert code == 0 and "wandb" not in checks and server.seen == []


def test_a_profile_of_this_machine_too(shell: Shell) -> None:
    (shell.folder / "env.toml").write_text(
        "[lab]\nexecutor = 'local'\n[image]\nexecutor = 'local'\ncontainer_image = '/no/x.sqsh'\n"
    )
    code, checks = report(shell, "--profile", "lab", "--no-job")
    assert code == 0 and {"keys", "executor", "jobs", "git"} <= set(checks)
    code, checks = report(shell, "--profile", "image", "--no-job")
    assert code == 1
    assert checks["image"]["detail"] == "no file /no/x.sqsh"
    assert "nemo-runspec squash" in checks["image"]["fix"]
    assert "did you mean 'lab'" in shell.run("doctor", "--profile", "lob")[2]
    assert "--profile PROFILE" in shell.refused("doctor", "bundle")
