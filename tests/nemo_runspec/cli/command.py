"""The command line in a repository of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from nemo_runspec.cli import main
from nemo_runspec.store import Store, open_store

PATIENCE_SECONDS = 120
MAIN = "import sys; from nemo_runspec.cli import main; sys.exit(main())"


@dataclass
class Shell:
    """A person in a repository.

    Attributes:
        folder: the repository.
        capfd: pytest's.
    """

    folder: Path
    capfd: pytest.CaptureFixture[str]

    @property
    def store(self) -> Store:
        return open_store(str(self.folder / ".runspec" / "artifacts"))

    def run(self, *arguments: str | Path) -> tuple[int, str, str]:
        """Exit code, output and errors."""
        self.capfd.readouterr()
        code = main([str(each) for each in arguments])
        out, err = self.capfd.readouterr()
        return code, out, err

    def ok(self, *arguments: str | Path) -> str:
        code, out, err = self.run(*arguments)
        assert code == 0, err
        return out

    def refused(self, *arguments: str | Path) -> str:
        """The one line that says what is wrong."""
        code, out, err = self.run(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("error: ") and err.count("\n") == 1, err
        return err


Python = Callable[..., subprocess.CompletedProcess[str]]


def python(
    arguments: Sequence[str], env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A Python of its own with this one's path."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(env or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
