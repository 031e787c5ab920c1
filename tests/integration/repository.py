"""Clones of this repository, as adopters have one, and the real Pants in them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

# The checkout, or Pants' sandbox for a test, which holds the same files (//:clone).
SOURCE = Path(__file__).resolve().parents[2]
CLONED = (
    ".gitignore",
    "3rdparty",
    "build-support",
    "pants",
    "pants-plugins",
    "pants.2.17.toml",
    "pants.toml",
    "src",
)
# What Pants and git write into a clone; jobs are told apart by Repository.jobs.
UNTRACKED = frozenset((".git", ".pants.d", ".pids", "__pycache__"))
# A test runs in an environment of Pants' making: what [test].extra_env_vars of pants.toml lets in.
INHERITED = (
    "HOME",
    "PANTS_PEX_CLI_URL_TEMPLATE",
    "PATH",
    "PYENV_ROOT",
    "USER",
    "XDG_CACHE_HOME",
)
NOTHING: Mapping[str, str] = MappingProxyType({})

TIMEOUT_SECONDS = 600

END_DAEMON = """
cat >/dev/null
for file in .pids/*/pantsd/pid; do
    [ -f "$file" ] && kill "$(cat "$file")"
done
"""
# How long a process that was told to end may take; far more than it should.
END_SECONDS = 30


@dataclass(frozen=True)
class Repository:
    """A clone with Pants in it.

    Attributes:
        root: its folder.
        variables: environment variables of every command in it.
    """

    root: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self, variables: Mapping[str, str] = NOTHING) -> dict[str, str]:
        """Return the environment of a command: little, and nothing of the test's own Python."""
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return {**inherited, **self.variables, **variables}

    def try_pants(
        self, *arguments: str, variables: Mapping[str, str] = NOTHING
    ) -> subprocess.CompletedProcess[str]:
        """Run Pants, and return how that went."""
        return run([str(self.root / "pants"), *arguments], self.root, self.environment(variables))

    def pants(self, *arguments: str, variables: Mapping[str, str] = NOTHING) -> str:
        """Run Pants, which must succeed, and return what it printed on standard output."""
        result = self.try_pants(*arguments, variables=variables)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def git(self, *arguments: str) -> None:
        """Run git, which must succeed."""
        who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com")
        result = run(["git", *who, *arguments], self.root, self.environment())
        assert result.returncode == 0, result.stderr

    def commit(self) -> None:
        """Commit all there is."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=all there is")

    def write(self, path: str, text: str) -> Path:
        """Write a file, its folder too, and return its path."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def jobs(self) -> tuple[Path, ...]:
        """Return the folders of all jobs, oldest first."""
        return job_folders(self.root)

    def files(self) -> Mapping[str, str]:
        """Return the contents' digests of all files but Pants' and git's, by path; folders too."""
        return contents(self.root)

    def reset(self) -> None:
        """Undo all changes since the clone was made, and remove its jobs."""
        self.git("reset", "--quiet", "--hard", "as-cloned")
        kept = ("--exclude=.pants.d", "--exclude=.pids")
        self.git("clean", "--quiet", "--force", "-d", "-x", *kept)


@contextmanager
def cloned(folder: Path, variables: Mapping[str, str] = NOTHING) -> Iterator[Repository]:
    """Make a clone with one commit in `folder`, which does not exist yet; at last end its Pants."""
    folder.mkdir(parents=True)
    # It ends the daemon when its standard input does: even if this process is killed.
    with subprocess.Popen(
        ["sh", "-c", END_DAEMON], cwd=folder, stdin=subprocess.PIPE, start_new_session=True
    ):
        yield fill(folder, variables)


def fill(folder: Path, variables: Mapping[str, str]) -> Repository:
    """Copy into an empty folder what a clone has, and commit that."""
    for name in CLONED:
        source = SOURCE / name
        if source.is_dir():
            unwanted = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, symlinks=True, ignore=unwanted)
        else:
            shutil.copy(source, folder / name)
    parser = folder / "pants-plugins" / "runspec"
    if not parser.exists():  # Pants leaves the link out of a test's sandbox
        parser.symlink_to("../src/runspec")
    repository = Repository(folder, variables)
    repository.git("init", "--quiet")
    repository.commit()
    repository.git("tag", "as-cloned")
    return repository


def run(
    command: list[str], folder: Path, variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command without input."""
    return subprocess.run(
        command,
        cwd=folder,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_SECONDS,
    )


def job_folders(root: Path) -> tuple[Path, ...]:
    """Return the folders of all jobs that were started in `root`, oldest first."""
    found = root.glob(".runspec/jobs/[!_]*")
    return tuple(sorted(found, key=lambda folder: folder.stat().st_mtime_ns))


def contents(root: Path) -> Mapping[str, str]:
    """Return what is in a folder, by path relative to it: kind, mode and content of each."""
    found = {}
    for parent, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in UNTRACKED]
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.is_symlink():
                what = f"link to {os.readlink(path)}"
            elif path.is_dir():
                what = "folder"
            else:
                mode = oct(path.stat().st_mode & 0o777)
                what = f"{mode} {hashlib.sha256(path.read_bytes()).hexdigest()}"
            found[str(path.relative_to(root))] = what
    return found


def wait_until(condition: Callable[[], bool], seconds: float = END_SECONDS) -> bool:
    """Wait until something is true, and tell whether it became so in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
