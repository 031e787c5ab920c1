from __future__ import annotations

from pathlib import Path

import pytest

from tests.nemo_runspec.golden.dry_run import check


def test_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check("local", 'executor = "local"', tmp_path, monkeypatch, capsys)


def test_local_torchrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = 'executor = "local"\nnproc_per_node = 2'
    check("local-torchrun", profile, tmp_path, monkeypatch, capsys, launch="torchrun")


def test_ray_by_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = 'executor = "ray"\nhost = "http://127.0.0.1:8265"'
    # Secrets do not travel by upload.
    check("ray-upload", profile, tmp_path, monkeypatch, capsys, secrets=False)


def test_ray_with_a_shared_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = (
        'executor = "ray"\nhost = "http://127.0.0.1:8265"\nremote_job_dir = "@tmp@/shared"\n'
        "nodes = 2\ngpus_per_node = 8"
    )
    check("ray-shared", profile, tmp_path, monkeypatch, capsys, launch="ray")
