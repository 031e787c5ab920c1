from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
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


def edit(folder: Path) -> None:
    (folder / "code/src/demo/train.py").write_text("import os\n")


def add(folder: Path) -> None:
    (folder / "code/src/demo/a b.py").write_text("")


def add_link(folder: Path) -> None:
    (folder / "code/src/link").symlink_to(folder)


def remove(folder: Path) -> None:
    (folder / "code/src/demo/config/tiny.yaml").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit, "code/src/demo/train.py was changed"),
        (add, "code/src/demo/a b.py was added"),
        (add_link, "code/src/link was added"),
        (remove, "code/src/demo/config/tiny.yaml was removed"),
    ],
)
def test_a_changed_bundle_is_refused_and_never_kept(
    tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    pristine = read_bundle(make_bundle(tmp_path / "b"))
    changed = shutil.copytree(pristine.root, tmp_path / "changed")
    change(changed)
    for _ in range(2):
        with pytest.raises(BundleError, match=f"{message} after .*package it again") as raised:
            keep_bundle(read_bundle(changed), tmp_path / "jobs")
        assert "\n" not in str(raised.value)
        kept = keep_bundle(pristine, tmp_path / "jobs")
        assert kept.script.read_bytes() == pristine.script.read_bytes()


@pytest.mark.parametrize("change", [edit, add, remove])
def test_a_changed_copy_is_repaired(tmp_path: Path, change: Callable[[Path], None]) -> None:
    bundle = read_bundle(make_bundle(tmp_path / "b"))
    kept = keep_bundle(bundle, tmp_path)
    change(kept.root)
    assert keep_bundle(bundle, tmp_path) == kept
    assert sorted(path.relative_to(kept.root) for path in kept.root.rglob("*")) == sorted(
        path.relative_to(bundle.root) for path in bundle.root.rglob("*")
    )
    assert kept.script.read_bytes() == bundle.script.read_bytes()
    assert [path.name for path in kept.root.parent.iterdir()] == ["d" * 32]


def test_bytecode_is_no_change_and_stays_behind(tmp_path: Path) -> None:
    bundle = read_bundle(make_bundle(tmp_path / "b"))
    (bundle.script.parent / "__pycache__").mkdir()
    (bundle.script.parent / "__pycache__" / "x.pyc").touch()
    kept = keep_bundle(bundle, tmp_path)
    assert not list(kept.root.rglob("__pycache__"))
    (kept.script.parent / "__pycache__").mkdir()
    assert keep_bundle(bundle, tmp_path) == kept
    assert list(kept.root.rglob("__pycache__"))


def test_a_bundle_whose_build_did_not_say_what_it_holds(tmp_path: Path) -> None:
    bundle = read_bundle(make_bundle(tmp_path / "b", contents={}))
    assert keep_bundle(bundle, tmp_path).script.is_file()


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


def test_a_bundle_that_cannot_be_copied_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = read_bundle(make_bundle(tmp_path / "b"))

    def full_disk(source: Path, target: Path, **_: object) -> None:
        # As copytree raises it on a full disk: one entry a file.
        text = f"[Errno 28] No space left on device: '{source}/run' -> '{target}/run'"
        raise shutil.Error([(f"{source}/{n}", f"{target}/{n}", text) for n in ("run", "code/x")])

    monkeypatch.setattr(shutil, "copytree", full_disk)
    jobs = tmp_path / "jobs"
    with pytest.raises(BundleError, match="No space left on device; free some space") as caught:
        keep_bundle(bundle, jobs)
    assert "\n" not in str(caught.value)
    assert [path for path in jobs.rglob("*") if path.is_file()] == []


def test_bundles_share_their_wheels(tmp_path: Path) -> None:
    wheel = os.urandom(1 << 19)
    kept = []
    for digest in "ab":
        folder = make_bundle(tmp_path / digest, job_pex="job.pex", digest=digest * 64)
        (folder / "job.pex").mkdir()
        (folder / "job.pex" / "a.whl").write_bytes(wheel)
        (folder / "job.pex" / "run").write_bytes(wheel)
        (folder / "job.pex" / "run").chmod(0o755)
        (folder / "job.pex" / "small").write_bytes(wheel[:9])
        kept.append(keep_bundle(read_bundle(folder), tmp_path / "jobs").root / "job.pex")
        shutil.rmtree(folder)
    first, second = kept
    assert first != second
    assert (first / "a.whl").samefile(second / "a.whl")
    assert not (first / "small").samefile(second / "small")
    assert not (first / "a.whl").samefile(first / "run")
    assert os.access(second / "run", os.X_OK)
    for folder in kept:
        assert (folder / "a.whl").read_bytes() == (folder / "run").read_bytes() == wheel
