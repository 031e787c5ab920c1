"""What is seen in a terminal of 80 columns."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

from tests.nemo_runspec.store_admin.commands import Build, Shell

MAIN = "import sys; from nemo_runspec.cli import main; sys.exit(main())"
PATIENCE_SECONDS = 120


def on_terminal(*arguments: str) -> list[str]:
    """The lines that a command writes to a terminal, colours left out."""
    master, slave = pty.openpty()
    env = {"COLUMNS": "80", "LINES": "24", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        stdout=slave,
        stderr=slave,
        stdin=slave,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **env},
    )
    os.close(slave)
    chunks = []
    try:
        while chunk := os.read(master, 65_536):
            chunks.append(chunk)
    except OSError:
        pass  # Linux says EIO when the other end was closed
    os.close(master)
    assert process.wait(PATIENCE_SECONDS) == 0
    text = b"".join(chunks).decode()
    return re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r\n", "\n").splitlines()


def test_nothing_is_wider_than_the_terminal(shell: Shell) -> None:
    long = "a-group-with-a-long-name/an-experiment-with-a-long-name/model"
    for name in (long, "data", long):
        Build(name, used=("data:v1",), run={"user": "a-person-with-a-long-name"}).record(
            shell.store, shell.folder / ".runspec" / "outputs"
        )
    shell.ok(f"promote {long}:v1 prod")
    shell.ok(f"promote {long}:v1 the-one-of-last-year --reason 'because it was good'")
    for command in (["ls", "--size"], ["show", f"{long}:v1"], ["gc"]):
        lines = on_terminal("store", *command)
        assert max(map(len, lines)) <= 80, lines
    listing = on_terminal("store", "ls", "--size")
    assert listing[0].split() == ["NAME", "LATEST", "VERSIONS", "ALIASES", "WHEN", "BY", "SIZE"]
    assert listing[1].startswith("a-")
    assert "prod=v1" in " ".join(listing)
    shown = on_terminal("store", "show", long)
    assert any(line.split()[:1] == ["type"] for line in shown)
    # Folded, not cut.
    assert f"{long}/2".replace("/", "") in "".join("".join(shown).split()).replace("/", "")
