"""An ssh that leads to this machine, without a network."""

from __future__ import annotations

from pathlib import Path

# What it is called with last is for the shell of whoever logs in.
_SSH = """\
#!/bin/sh
for last; do :; done
echo a banner
exec /bin/sh -c "$last"
"""


def near_ssh(path: Path) -> Path:
    """Makes the program."""
    path.write_text(_SSH)
    path.chmod(0o755)
    return path
