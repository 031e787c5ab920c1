"""Job bundles on disk: reading one, and keeping a copy of it beside the jobs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.execution.job_python import JobPython, open_job_pex
from nemo_runspec.jobs import bundle_copy, shared_files
from nemo_runspec.utils import write_atomically
from runspec import Bundle, Runspec, RunspecError
from runspec.bundle import from_json

_BYTECODE = "__pycache__"
_OPENED = "opened.json"  # what is in its PEX, and where that was unpacked
# Wheels, mostly: bundles of one repository have them in common. Smaller files are not worth a link.
_LARGE_BYTES = 1 << 18


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

    def in_repository(self, text: str) -> str:
        """`text` with the files of `code` called what they are called in the repository."""
        for root in (self.root, os.path.normpath(self.root), os.path.realpath(self.root)):
            text = text.replace(f"{root}/code/", "")
        return text


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


def check_bundle(bundle: BundleFolder) -> None:
    """Looks whether a bundle can run: it is complete, and its code is what it was made with.

    Raises:
        BundleError: if it is not.
    """
    if bundle.job_pex is not None and not bundle.job_pex.exists():
        raise _incomplete(bundle, bundle.document.job_pex or "")
    changed = _first_change(bundle)
    if changed is not None:
        name, how = changed
        raise BundleError(
            f"{bundle.root}: {name} {how} after the bundle was made; "
            "make the change in the repository and package it again"
        )


def keep_bundle(bundle: BundleFolder, jobs: Path) -> BundleFolder:
    """Copies the bundle beside the jobs, once per digest; jobs run that copy.

    The folder it came in may be a sandbox that is gone before a detached job starts.

    Args:
        bundle: complete, with its `job.pex` when it names one.
        jobs: the jobs' root (`nemo_runspec.jobs.jobs_root`).

    Raises:
        BundleError: if it is incomplete or its code is not what it was made with.
    """
    check_bundle(bundle)
    kept = BundleFolder(bundle_copy(jobs, bundle.document.digest), bundle.document)
    if not _is_kept(kept):
        _copy(bundle.root, kept, shared_files(jobs))
    return kept


def open_python(kept: BundleFolder, interpreter: Path, environ: Mapping[str, str]) -> JobPython:
    """The Python of a kept bundle's jobs; its PEX is opened once and remembered beside it.

    Args:
        kept: from `keep_bundle`; it has a `job.pex`.
        interpreter: one that the PEX is made for.
        environ: the environment to unpack it in.

    Raises:
        ExecutionError: if PEX refuses.
    """
    assert kept.job_pex is not None
    memory = kept.root / _OPENED
    remembered = _remembered(memory, interpreter)
    if remembered is not None:
        return remembered
    opened = open_job_pex(interpreter, kept.job_pex, environ)
    document = {
        "interpreter": str(interpreter),
        "executable": str(opened.interpreter),
        "packages": [str(path) for path in opened.packages],
    }
    # It saves a second the next time; a folder that cannot be written costs no more than that.
    with contextlib.suppress(OSError):
        write_atomically(memory, json.dumps(document) + "\n")
    return opened


def _remembered(memory: Path, interpreter: Path) -> JobPython | None:
    """What an earlier job found in the PEX, if all of it is still there."""
    try:
        document = json.loads(memory.read_text(encoding="utf-8"))
        packages = tuple(Path(path) for path in document["packages"])
        found = JobPython(Path(document["executable"]), packages)
        matches = document["interpreter"] == str(interpreter)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    places = (document["executable"], *packages)
    return found if matches and all(map(os.path.exists, places)) else None


def _is_kept(kept: BundleFolder) -> bool:
    return kept.root.exists() and _first_change(kept) is None


def _copy(source: Path, kept: BundleFolder, shared: Path) -> None:
    """Puts a copy of `source` in its place, whole or not at all; a spoilt one makes room."""
    target = kept.root

    def copy_file(source: str, target: str, *, follow_symlinks: bool = True) -> str:
        large = not os.path.islink(source) and os.stat(source).st_size >= _LARGE_BYTES
        if large and _link(Path(source), Path(target), shared):
            return target
        return str(shutil.copy2(source, target, follow_symlinks=follow_symlinks))

    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".copying-", dir=target.parent))
    try:
        bytecode = shutil.ignore_patterns(_BYTECODE)
        try:
            copy = shutil.copytree(
                source,
                temporary / "bundle",
                symlinks=True,
                ignore=bytecode,
                copy_function=copy_file,
            )
        except shutil.Error as error:
            # It lists what befell every file; the first, a full disk say, befell them all.
            _, _, problem = error.args[0][0]
            raise BundleError(
                f"{target.parent}: the bundle cannot be copied there: "
                f"{str(problem).partition(': ')[0]}; free some space, or start where there is more"
            ) from error
        # Looked at again: another process may have been first, with the same content.
        if target.exists() and not _is_kept(kept):
            with contextlib.suppress(FileNotFoundError):
                target.rename(temporary / "spoilt")
        try:
            copy.rename(target)
        except OSError:
            if not target.exists():
                raise
    finally:
        shutil.rmtree(temporary)


def _link(source: Path, target: Path, shared: Path) -> bool:
    """Makes `target` a hard link to the one copy of what is in `source`; False where none can be.

    The copy may be read, not written: whoever has a link to it sees the same bytes.
    """
    executable = os.access(source, os.X_OK)
    digest = hashlib.sha256()
    with source.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    one = shared / (digest.hexdigest() + ("-executable" if executable else ""))
    try:
        if not one.exists():
            shared.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=".copying-", dir=shared)
            os.close(descriptor)
            try:
                shutil.copy2(source, name)
                os.chmod(name, 0o555 if executable else 0o444)
                os.replace(name, one)
            except BaseException:
                os.unlink(name)
                raise
        os.link(one, target)
    except OSError:
        return False  # no hard links here, or too many; a full disk shows when it is copied
    return True


def _first_change(bundle: BundleFolder) -> tuple[str, str] | None:
    """The first file of `code`, by path, that is not as the document says, and what happened to it.

    None when all are, and when the document does not say.
    """
    expected = bundle.document.contents
    if not expected:
        return None
    for name in sorted({*expected, *_code_files(bundle)}):
        if name not in expected:
            return name, "was added"
        try:
            content = (bundle.root / name).read_bytes()
        except FileNotFoundError:
            return name, "was removed"
        if hashlib.sha256(content).hexdigest() != expected[name]:
            return name, "was changed"
    return None


def _code_files(bundle: BundleFolder) -> list[str]:
    """The files below `code` but for bytecode, and links, by path in the bundle."""
    found: list[str] = []
    for parent, folders, files in os.walk(bundle.code):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        folders[:] = [name for name in folders if name != _BYTECODE]
        relative = Path(parent).relative_to(bundle.root)
        found += [(relative / name).as_posix() for name in (*files, *links)]
    return found


def _incomplete(bundle: BundleFolder, name: str) -> BundleError:
    return BundleError(
        f"{bundle.root / 'bundle.json'}: names {name!r}, which is missing; package it again"
    )
