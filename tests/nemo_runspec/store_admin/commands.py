"""The command line as a user types it, and versions as builds leave them."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.cli import main
from nemo_runspec.store import KeyRecord, Manifest, Store, VersionDraft, open_store


@dataclass
class Shell:
    """A terminal in a repository: what is typed, what comes out.

    Attributes:
        folder: the repository.
        capsys: pytest's.
    """

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def store(self) -> Store:
        """The repository's own store."""
        return open_store(str(self.folder / ".runspec" / "artifacts"))

    def run(self, line: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of a command line."""
        self.capsys.readouterr()
        code = main(shlex.split(line))
        out, err = self.capsys.readouterr()
        return code, out, err

    def ok(self, line: str) -> str:
        """The output of a command line that succeeds."""
        code, out, err = self.run(line)
        assert (code, err) == (0, ""), err
        return out

    def json(self, line: str) -> Any:
        """What a command line prints for programs."""
        return json.loads(self.ok(f"{line} --format json"))

    def refused(self, line: str) -> str:
        """The one line that says what is wrong with a command line."""
        code, out, err = self.run(line)
        assert (code, out) == (2, "")
        assert err.startswith("error: ") and err.count("\n") == 1, err
        return err.removeprefix("error: ").rstrip()


def shell_in_repository(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """A terminal in a new repository without any artifact.

    Args:
        folder: the repository; made.
        monkeypatch: pytest's.
        capsys: pytest's.
    """
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("NEMOTRON_ENV_FILE", raising=False)
    monkeypatch.setenv("LOGNAME", "ada")
    return Shell(folder, capsys)


@dataclass(frozen=True)
class Build:
    """A build that was recorded: its own folder with one file, a version and a key.

    Attributes:
        name: the artifact.
        used: what it was made from.
        days: how long ago its key was recorded.
        key: its key; None for a version without.
        content: what the file holds.
        run: more facts of the job.
        extra: more of the manifest.
    """

    name: str
    used: tuple[str, ...] = ()
    days: float = 0
    key: str | None = None
    content: str = "data"
    run: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=lambda: {"owned": True})

    def record(self, store: Store, outputs: Path) -> Manifest:
        """Writes the folder and records the version."""
        folder = outputs / self.name / f"{len(store.versions(self.name)) + 1}"
        folder.mkdir(parents=True)
        (folder / "data.bin").write_text(self.content)
        draft = VersionDraft(
            path=str(folder),
            type="ModelArtifact",
            metadata={"loss": 0.5},
            used_artifacts=self.used,
            key=self.key,
            run={"user": "ada", "host": os.uname().nodename, **self.run},
            extra=self.extra,
        )
        manifest = store.add_version(self.name, draft)
        if self.key is not None:
            at = datetime.now(timezone.utc) - timedelta(days=self.days)
            record = KeyRecord(
                manifest.version, manifest.identity, manifest.path, None, at.isoformat()
            )
            store.set_key(self.name, self.key, record)
        return manifest
