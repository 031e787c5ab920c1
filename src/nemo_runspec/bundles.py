"""Job bundles on disk: reading one, and keeping a copy of it beside the jobs."""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.jobs import bundle_copy
from runspec import Bundle, Runspec, RunspecError
from runspec.bundle import from_json


class BundleError(NemoRunspecError):
    """A job bundle cannot be used."""


@dataclass(frozen=True)
class BundleFolder:
    """A job bundle at its place.

    Args:
        root: the bundle's folder.
        document: its `bundle.json`.
    """

    root: Path
    document: Bundle

    @property
    def spec(self) -> Runspec:
        return self.document.spec

    @property
    def code(self) -> Path:
        return self.root / "code"

    @property
    def script(self) -> Path:
        return self.root / self.document.script

    @property
    def config_dir(self) -> Path:
        return Path(os.path.normpath(self.script.parent / self.spec.config.dir))

    @property
    def source_roots(self) -> tuple[Path, ...]:
        return tuple(self.root / root for root in self.document.source_roots)

    @property
    def job_pex(self) -> Path | None:
        return self.root / self.document.job_pex if self.document.job_pex else None


def read_bundle(folder: Path) -> BundleFolder:
    """The bundle in `folder`.

    Raises:
        BundleError: if it is none, or its script is missing.
    """
    root = folder.absolute()
    path = root / "bundle.json"
    try:
        document = from_json(path.read_text(encoding="utf-8"), path)
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(
            f"{folder}: no job bundle (it has no bundle.json); `pants package` makes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
    except RunspecError as error:
        raise BundleError(str(error)) from error
    bundle = BundleFolder(root, document)
    if not bundle.script.is_file():
        raise _incomplete(bundle, document.script)
    return bundle


def keep_bundle(bundle: BundleFolder, jobs: Path) -> BundleFolder:
    """Copies the bundle beside the jobs, once per digest; jobs run that copy.

    The folder it came in may be a sandbox that is gone before a detached job starts.

    Args:
        bundle: complete, with its `job.pex` when it names one.
        jobs: the jobs' root (`nemo_runspec.jobs.jobs_root`).

    Raises:
        BundleError: if it is incomplete or its code is not what its digest names.
    """
    if bundle.job_pex is not None and not bundle.job_pex.exists():
        raise _incomplete(bundle, bundle.document.job_pex or "")
    kept = BundleFolder(bundle_copy(jobs, bundle.document.digest), bundle.document)
    if not kept.root.exists():
        _copy(bundle.root, kept.root)
    changed = None if bundle.root == kept.root else _first_difference(bundle.code, kept.code)
    if changed is not None:
        raise BundleError(
            f"{bundle.code / changed}: was changed after the bundle was made; "
            "make the change in the repository and package it again"
        )
    return kept


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = tempfile.mkdtemp(prefix=".copying-", dir=target.parent)
    try:
        copy = shutil.copytree(source, Path(temporary) / "bundle", symlinks=True)
        try:
            copy.rename(target)
        except OSError:
            if not target.exists():
                raise
            # Another process was first, with the same content: the digest says so.
    finally:
        shutil.rmtree(temporary)


def _first_difference(source: Path, kept: Path) -> Path | None:
    files = (path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file())
    return next(
        (
            name
            for name in files
            if "__pycache__" not in name.parts
            and not ((kept / name).is_file() and filecmp.cmp(source / name, kept / name, False))
        ),
        None,
    )


def _incomplete(bundle: BundleFolder, name: str) -> BundleError:
    return BundleError(
        f"{bundle.root / 'bundle.json'}: names {name!r}, which is missing; package it again"
    )
