"""Makes the environment that ./pants runs in: Pants in a virtual environment, and the Pex CLI.

Usage: python3.9 -I bootstrap.py LINK

LINK, which ends in the digest of what goes in, becomes a symbolic link to a new folder beside it:
    venv/                Pants and what it needs, from pants-2.17.lock
    client               the part of Pants that talks to its daemon, without Python
    pex-vVERSION.pex     the Pex CLI that Pants would otherwise download from GitHub
The link is made last and at once, so that a reader sees all or nothing, and whoever is killed half
way leaves at most a folder that the next one removes. Standard library only: it runs before
anything is installed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

SUPPORT = Path(__file__).resolve().parent
PANTS_LOCK = SUPPORT / "pants-2.17.lock"
PEX_LOCK = SUPPORT / "pex.lock"
OVERLAY = SUPPORT.parent / "pants.2.17.toml"

Argument = Union[str, Path]

HEARTBEAT_SECONDS = 5.0
UNWRITABLE = frozenset(
    (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EEXIST,
        errno.ENOTDIR,
    )
)
WRITABLE = "set XDG_CACHE_HOME to a folder that you can write to, with 1 GB free"
CHECK_INDEX = (
    "check the network and which package index pip uses (`pip config list`), then run ./pants again"
)
# What pip says somewhere in its output, what that means, and what to do about it.
KNOWN_FAILURES = (
    ("No space left on device", "no space is left on the disk", WRITABLE),
    ("DO NOT MATCH THE HASHES", "a package is not the one whose hash the lock has", CHECK_INDEX),
    ("after connection broken by", "the package index cannot be reached", CHECK_INDEX),
)


class BootstrapError(Exception):
    """What went wrong and what to do about it, in one line."""


@dataclass(frozen=True)
class PexPin:
    """The Pex CLI that Pants expects: as known_versions of [pex-cli] in the overlay has it."""

    version: str
    sha256: str
    size: int


def read_pin(overlay: Path) -> PexPin:
    """Read the pin from the overlay, without a TOML parser (Python 3.9 has none).

    Every platform has the same file, and so the same pin: the first known version counts.
    """
    match = re.search(r'"v([^|"]+)\|[^|"]+\|([0-9a-f]{64})\|(\d+)"', overlay.read_text("utf-8"))
    if match is None:
        raise BootstrapError(
            f"{overlay}: [pex-cli] known_versions has no 'vVERSION|PLATFORM|SHA256|SIZE' entry"
        )
    return PexPin(match[1], match[2], int(match[3]))


class Progress:
    """Tells on stderr what is being done, each line with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._latest = ""

    def say(self, message: str) -> None:
        seconds = time.monotonic() - self._start
        print(f"./pants: [{seconds:3.0f} s] {message}", file=sys.stderr, flush=True)

    def note(self, line: str) -> None:
        """Remember a line of a tool's output, to be said if the step takes long."""
        if line.startswith(("Collecting ", "Downloading ", "Building ", "Installing ")):
            self._latest = " ".join(line.split()[:2])

    @contextmanager
    def step(self, message: str) -> Iterator[None]:
        """Say `message`, and where it is now and then after that: silence looks like a hang."""
        self._latest = message
        self.say(message)
        finished = threading.Event()

        def beat() -> None:
            while not finished.wait(HEARTBEAT_SECONDS):
                self.say(f"  … {self._latest}")

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            finished.set()
            thread.join()


def clean_environment(scratch: Path) -> Mapping[str, str]:
    """The user's environment (proxies, certificates, pip's settings) less what bends the build."""
    bending = (
        "PYTHON",
        "PEX_",
        "VIRTUAL_ENV",
        "SOURCE_DATE_EPOCH",
        "PIP_REQUIRE_VIRTUALENV",
        "PIP_TARGET",
        "PIP_USER",
        "PIP_PREFIX",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(bending)}
    return {**kept, "PEX_ROOT": str(scratch / "pex-root"), "TMPDIR": str(scratch)}


def explain(output: Sequence[str]) -> tuple[str, str]:
    """Why pip or Pex failed, as far as its output tells, and what to do about it."""
    for telling, reason, fix in KNOWN_FAILURES:
        if any(telling in line for line in output):
            return reason, fix
    lines = [line.strip() for line in output if line.strip()] or ["it said nothing"]
    errors = [line.partition("ERROR: ")[2] for line in lines if "ERROR: " in line]
    return (errors or lines)[-1], CHECK_INDEX


@dataclass(frozen=True)
class Tools:
    """Runs pip and Pex, without a word unless they fail."""

    env: Mapping[str, str]
    progress: Progress

    def run(self, *command: Argument, doing: str, env: Optional[Mapping[str, str]] = None) -> None:
        """Run `command`, in the environment `env` if that is given.

        Raises:
            BootstrapError: it failed; the message says why, as far as the output tells.
        """
        output: list[str] = []
        with subprocess.Popen(
            [str(part) for part in command],
            env=dict(self.env if env is None else env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                output.append(line)
                self.progress.note(line)
        if process.returncode == 0:
            return
        reason, fix = explain(output)
        raise BootstrapError(f"cannot {doing}: {reason}; {fix}")

    def pip(self, python: Path, *arguments: Argument, doing: str) -> None:
        """Run the pip of `python`; what it takes must have the hashes that the lock has."""
        options = ("--disable-pip-version-check", "--no-input", "--progress-bar=off")
        command, *rest = arguments
        isolated_pip = (python, "-I", "-m", "pip", command, *options, "--require-hashes")
        self.run(*isolated_pip, *rest, doing=doing)


def install_pants(venv: Path, tools: Tools) -> None:
    """Make a virtual environment of this interpreter and put the locked packages into it."""
    tools.run(sys.executable, "-I", "-m", "venv", venv, doing="make a virtual environment")
    python = venv / "bin" / "python"
    tools.pip(python, "install", "-r", PANTS_LOCK, doing="install Pants from the package index")


def link_client(venv: Path, link: Path) -> None:
    """Make `link` lead to the client without Python, a program that Pants' wheel holds as mere
    data."""
    (client,) = venv.glob("lib/python*/site-packages/pants/bin/native_client")
    client.chmod(0o755)
    link.symlink_to(client.relative_to(link.parent))


def build_pex_cli(python: Path, pin: PexPin, target: Path, scratch: Path, tools: Tools) -> None:
    """Build the Pex CLI, the same bytes on every machine, and check them against the pin.

    The options are those of Pex' own release build, as far as they change the file's content.
    """
    wheels, library = scratch / "wheels", scratch / "library"
    doing = "download Pex from the package index"
    tools.pip(python, "download", "--no-deps", "-d", wheels, "-r", PEX_LOCK, doing=doing)
    for wheel in wheels.iterdir():
        shutil.unpack_archive(str(wheel), library, "zip")
    source = ("--no-index", "--find-links", wheels, f"pex=={pin.version}")
    shape = ("--python-shebang", "/usr/bin/env python3", "--no-compress", "--no-strip-pex-env")
    # Pex writes XDG_CACHE_HOME, when it is set, into the file that it makes.
    env = {name: value for name, value in tools.env.items() if name != "XDG_CACHE_HOME"}
    tools.run(
        *(python, "-m", "pex", *source, "-c", "pex", "-o", target, *shape),
        doing="build the Pex CLI",
        env={**env, "PYTHONPATH": str(library)},
    )
    content = target.read_bytes()
    found = PexPin(pin.version, hashlib.sha256(content).hexdigest(), len(content))
    if found != pin:
        raise BootstrapError(
            f"the Pex CLI {pin.version} built here has sha256 {found.sha256} and {found.size} "
            f"bytes, but {OVERLAY.name} pins {pin.sha256} and {pin.size} bytes; try another "
            "CPython 3.9 (from uv or pyenv, say), or correct the pin if you changed it"
        )


def remove_leftovers(link: Path) -> None:
    """Remove what earlier attempts at this environment left behind."""
    for folder in link.parent.glob(f"{link.name}.*"):
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


def is_ready(link: Path) -> bool:
    return os.access(link / "venv" / "bin" / "python", os.X_OK)


def build(link: Path, progress: Progress) -> None:
    """Build the environment in a new folder beside `link` and make `link` point to it."""
    pin = read_pin(OVERLAY)
    remove_leftovers(link)
    home = Path(tempfile.mkdtemp(prefix=f"{link.name}.", dir=link.parent))
    scratch = home / "scratch"
    scratch.mkdir()
    venv = home / "venv"
    tools = Tools(clean_environment(scratch), progress)
    with progress.step("installing Pants from the package index"):
        install_pants(venv, tools)
        link_client(venv, home / "client")
    with progress.step(f"building the Pex CLI {pin.version}"):
        pex = home / f"pex-v{pin.version}.pex"
        build_pex_cli(venv / "bin" / "python", pin, pex, scratch, tools)
    shutil.rmtree(scratch)
    new_link = home / "link"
    new_link.symlink_to(home.name)
    os.replace(new_link, link)
    progress.say("ready")


def bootstrap(link: Path) -> None:
    """Make sure that `link` leads to a whole environment, whoever builds it.

    Raises:
        BootstrapError: it cannot be made.
    """
    progress = Progress()
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        with open(link.parent / f"{link.name}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with progress.step("waiting for another ./pants, which is setting up the same"):
                    fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_ready(link):
                progress.say(f"setting up Pants, once, in {link} (with {sys.executable})")
                try:
                    build(link, progress)
                except BaseException:
                    if not is_ready(link):
                        remove_leftovers(link)
                    raise
    except OSError as error:
        fix = WRITABLE if error.errno in UNWRITABLE else "see to that, then run ./pants again"
        raise BootstrapError(f"cannot set up Pants in {link.parent}: {error}; {fix}") from error


def main() -> int:
    os.umask(0o022)
    try:
        bootstrap(Path(sys.argv[1]))
    except BootstrapError as error:
        print(f"./pants: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
