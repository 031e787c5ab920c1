from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nemo_runspec.bundles import BundleError, keep_bundle, read_bundle
from tests.nemo_runspec.example_bundle import make_bundle


def test_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_bundle(
        tmp_path / "it's a bundle", more="[tool.runspec.config]\ndir = './config/../config'"
    )
    monkeypatch.chdir(tmp_path)
    bundle = read_bundle(Path("it's a bundle"))
    assert bundle.root == tmp_path / "it's a bundle"
    assert bundle.script.is_file()
    assert bundle.config_dir == bundle.script.parent / "config"
    assert bundle.source_roots == (bundle.root / "code/src",)
    assert bundle.job_pex is None
    assert bundle.spec.name == "demo/train"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "9"}', '{"schema": "1"}'])
def test_broken(tmp_path: Path, text: str) -> None:
    folder = make_bundle(tmp_path / "b")
    (folder / "bundle.json").write_text(text)
    with pytest.raises(BundleError) as raised:
        read_bundle(folder)
    assert str(folder / "bundle.json") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(BundleError, match="no job bundle"):
            read_bundle(folder)


def test_kept_once_and_whole(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b", job_pex="job.pex")
    (folder / "job.pex").mkdir()
    (folder / "job.pex" / "__main__.py").touch()
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    bundle = read_bundle(folder)
    with ThreadPoolExecutor(8) as pool:
        kept = set(pool.map(lambda _: keep_bundle(bundle, tmp_path / "jobs").root, range(8)))
    (root,) = kept
    assert root == tmp_path / "jobs" / "_bundles" / ("d" * 32)
    assert list(root.parent.iterdir()) == [root]
    assert os.access(root / "run", os.X_OK)
    assert (root / "job.pex" / "__main__.py").exists()
    again = keep_bundle(read_bundle(root), tmp_path / "jobs")
    assert again.root == root


def test_a_changed_bundle_is_refused(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b")
    bundle = read_bundle(folder)
    kept = keep_bundle(bundle, tmp_path)
    (kept.code / "src" / "demo" / "__pycache__").mkdir()
    keep_bundle(bundle, tmp_path)
    (folder / "code/src/demo/config/tiny.yaml").write_text("changed: 1\n")
    with pytest.raises(BundleError, match=r"tiny\.yaml: was changed"):
        keep_bundle(bundle, tmp_path)


def test_a_missing_job_pex(tmp_path: Path) -> None:
    bundle = read_bundle(make_bundle(tmp_path / "b", job_pex="job.pex"))
    with pytest.raises(BundleError, match=r"'job\.pex', which is missing"):
        keep_bundle(bundle, tmp_path)
    assert not (tmp_path / "_bundles").exists()


def test_unknown_keys_are_for_later_versions(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b")
    document = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**document, "new": 1}))
    assert read_bundle(folder).document.recipe == "src/demo:train"
