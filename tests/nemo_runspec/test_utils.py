from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.exceptions import ConfigError
from nemo_runspec.utils import (
    find_repository_root,
    resolve_run_interpolations,
    rewrite_paths_for_remote,
    split_url,
    write_atomically,
)

RUN: dict[str, Any] = {
    "wandb": {"project": "p q", "entity": None},
    "env": {
        "nodes": 2,
        "root": "/r",
        "out": "${.root}/out",
        "up": "${..wandb.project}",
        "mounts": ["/a", "/b"],
        "user": "${oc.env:USER}",
        "more": "${run.env.out}/more",
    },
    "loop": "${run.pool}",
    "pool": "x/${run.loop}",
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${run.wandb.project}", "p q"),
        ("${run.env.nodes}", 2),
        ("nodes=${run.env.nodes}", "nodes=2"),
        ("<${run.wandb.entity}>", "<>"),
        ("${run.wandb.entity}", None),
        ("${run.env.mounts}", ["/a", "/b"]),
        ("${run.env.mounts[1]}", "/b"),
        ("${run.env.out}", "/r/out"),
        ("${run.env.more}", "/r/out/more"),
        ("${run.env.up}", "p q"),
        ("${run.env.user}", "${oc.env:USER}"),
        ("${oc.env:X,${run.env.root}}", "${oc.env:X,/r}"),
        ("${run.no.such}", "${run.no.such}"),
        ("a ${run.env} b", "a ${run.env} b"),
        ("\\${run.env.root}", "\\${run.env.root}"),
        ("${art:data,path}", "${art:data,path}"),
        ("${running.x}", "${running.x}"),
    ],
)
def test_run_interpolations(text: str, value: object) -> None:
    assert resolve_run_interpolations({"a": [text]}, RUN) == {"a": [value]}


def test_a_circle_in_the_run_section() -> None:
    with pytest.raises(ConfigError, match=r"circle: run\.loop -> run\.pool -> run\.loop"):
        resolve_run_interpolations("${run.loop}", RUN)


def test_remote_paths() -> None:
    assert rewrite_paths_for_remote(["/repo/a", "/repo", "/repository/a", 1], "/repo", "/job") == [
        "/job/a",
        "/job",
        "/repository/a",
        1,
    ]


def test_repository_root(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "pyproject.toml").touch()
    assert find_repository_root(package) == package
    (tmp_path / "BUILDROOT").touch()
    assert find_repository_root(package) == tmp_path


def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old", private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/data/x", (None, "/data/x")),
        ("a/b://c", (None, "a/b://c")),
        ("s3://bucket/x", ("s3", "bucket/x")),
        ("file:///data/x", ("file", "/data/x")),
        ("c:/data", (None, "c:/data")),
        ("", (None, "")),
    ],
)
def test_urls_and_paths(location: str, expected: tuple[str | None, str]) -> None:
    assert split_url(location) == expected
