"""What git has of the repository at a commit, read without checking anything out."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nemo_runspec.exceptions import NemoRunspecError

_COMMIT = re.compile(r"[0-9a-f]{7,64}")


class GitError(NemoRunspecError):
    """Git cannot do what was asked of it."""


@dataclass(frozen=True)
class History:
    """The repository that a build root lies in.

    Args:
        root: the build root: paths are seen from there.
        top: the folder of git's working tree.
    """

    root: Path
    top: Path

    def has(self, commit: str) -> bool:
        """Whether a commit is in this repository."""
        if not _COMMIT.fullmatch(commit):
            return False
        return _git(self.root, "cat-file", "-e", f"{commit}^{{commit}}").returncode == 0

    def head(self) -> str | None:
        """The commit that is checked out; None before there is any."""
        done = _git(self.root, "rev-parse", "--verify", "--quiet", "HEAD")
        return None if done.returncode else done.stdout.decode().strip()

    def paths(self, commit: str) -> list[str]:
        """The files of a commit below the build root, by path from there.

        Raises:
            GitError: git cannot list them.
        """
        done = _git(self.root, "ls-tree", "-r", "-z", "--name-only", commit)
        _check(done, f"list the files of {commit}")
        return [name.decode(errors="surrogateescape") for name in done.stdout.split(b"\0") if name]

    def read(self, commit: str, paths: Sequence[str]) -> Mapping[str, bytes]:
        """The files of a commit, by path from the build root; those that it lacks are left out.

        Raises:
            GitError: git cannot read them.
        """
        prefix = self.root.relative_to(self.top).as_posix()
        before = "" if prefix == "." else f"{prefix}/"
        # One line asks for one file.
        asked = [path for path in paths if "\n" not in path]
        lines = "".join(f"{commit}:{before}{path}\n" for path in asked)
        done = _git(self.root, "cat-file", "--batch", given=lines.encode(errors="surrogateescape"))
        _check(done, f"read the files of {commit}")
        return dict(_blobs(asked, done.stdout))


def open_history(root: Path) -> History | None:
    """The history of the repository that a build root lies in; None where there is no git."""
    try:
        done = _git(root, "rev-parse", "--show-toplevel")
    except OSError:
        return None  # git is not installed
    if done.returncode:
        return None
    top = done.stdout.decode(errors="surrogateescape").rstrip("\n")
    return History(root.resolve(), Path(top).resolve())


def _blobs(paths: Sequence[str], answer: bytes) -> Iterator[tuple[str, bytes]]:
    position = 0
    for path in paths:
        end = answer.index(b"\n", position)
        head = answer[position:end]
        position = end + 1
        # `<object> <type> <size>`; what is not there is `<name> missing`, however it is called.
        if head.endswith(b" missing"):
            continue
        _, kind, size = head.rsplit(b" ", 2)
        body = answer[position : position + int(size)]
        position += int(size) + 1
        if kind == b"blob":
            yield path, body


def _git(root: Path, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", "--no-optional-locks", "-C", str(root), *arguments],
        input=given,
        capture_output=True,
        check=False,
    )


def _check(done: subprocess.CompletedProcess[bytes], what: str) -> None:
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise GitError(f"git cannot {what}: {lines[-1]}")
