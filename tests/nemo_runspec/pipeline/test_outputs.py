from __future__ import annotations

from pathlib import Path

import pytest

from nemo_runspec.artifacts.settings import ArtifactsSettings
from nemo_runspec.exceptions import EnvError
from nemo_runspec.pipeline.outputs import Attempt, open_output, output_root

KEY = "0123456789abcdef" * 4


def test_attempts_share_a_folder_until_it_was_recorded(tmp_path: Path) -> None:
    first = open_output(tmp_path, "a/b", KEY)
    assert first.folder == tmp_path / "a" / "b" / KEY[:16] / "1"
    assert not first.folder.parent.exists()
    first = first.with_attempt(Attempt("/jobs/1", None, "here")).with_handle("{}")
    again = open_output(tmp_path, "a/b", KEY)
    assert again == first
    assert again.attempts == (Attempt("/jobs/1", "{}", "here"),)
    again.with_version(3)
    second = open_output(tmp_path, "a/b", KEY)
    assert (second.generation, second.attempts, second.recorded) == (2, (), None)
    assert open_output(tmp_path, "a/b", "f" * 64).generation == 1


def test_what_is_not_ours_is_not_written_to(tmp_path: Path) -> None:
    parent = tmp_path / "a" / KEY[:16]
    (parent / "1").mkdir(parents=True)
    assert open_output(tmp_path, "a", KEY).generation == 2
    other = open_output(tmp_path, "a", KEY[:16] + "0" * 48)
    other.with_attempt(Attempt("", None, ""))
    mine = open_output(tmp_path, "a", KEY)
    assert (mine.generation, mine.key) == (3, KEY)
    mine.with_attempt(Attempt("", None, ""))
    (parent / "3.json").write_text("{")
    assert open_output(tmp_path, "a", KEY).generation == 4


def test_where_builds_write(tmp_path: Path) -> None:
    def root(store: str, named: str | None = None) -> str:
        return str(output_root(ArtifactsSettings(root=store, output_root=named)))

    assert root("/r/.runspec/artifacts") == "/r/.runspec/outputs"
    assert root("file:///lustre/team") == "/lustre/team-outputs"
    assert root("s3://b/store", "/lustre/out") == "/lustre/out"
    for store, named in (("s3://b/store", None), ("/x", "s3://b/out")):
        with pytest.raises(EnvError, match="output_root"):
            root(store, named)


def test_holds(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    folder = open_output(link, "a", KEY)
    real = tmp_path / "a" / KEY[:16]
    assert folder.holds(str(real / "1")) and folder.holds(str(real / "1" / "x"))
    assert not folder.holds(str(real / "10")) and not folder.holds("s3://b/1")
