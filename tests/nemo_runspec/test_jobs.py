from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from nemo_runspec.jobs import bundle_copy, create_job_folder, jobs_root, plan_job_folder


def test_root(tmp_path: Path) -> None:
    inner = tmp_path / "repo" / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "repo" / "pants.toml").touch()
    assert jobs_root(inner) == tmp_path / "repo" / ".runspec" / "jobs"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nano3/pretrain", "nano3-pretrain"),
        ("../../etc", "etc"),
        ("a b\n; $c", "a-b-c"),
        ("日本", "job"),
        ("", "job"),
        ("x" * 300, "x" * 100),
    ],
)
def test_names(tmp_path: Path, name: str, expected: str) -> None:
    now = datetime(2026, 1, 31, 23, 59, 59)
    assert plan_job_folder(name, tmp_path, now) == tmp_path / f"20260131-235959-{expected}"
    assert not list(tmp_path.iterdir())


def test_never_the_same_folder(tmp_path: Path) -> None:
    root = tmp_path / "not" / "there yet"
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: create_job_folder("a/b", root), range(64)))
    assert len(set(folders)) == 64
    assert all(folder.parent == root and folder.is_dir() for folder in folders)


def test_bundles_by_digest(tmp_path: Path) -> None:
    assert bundle_copy(tmp_path, "0123456789abcdef" * 4).name == "0123456789abcdef" * 2
