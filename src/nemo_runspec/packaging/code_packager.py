"""The whole checkout, for recipes that import from it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nemo_runspec.packaging import REMOTE_CONFIG, REMOTE_SCRIPT
from nemo_runspec.packaging.archive import write_archive
from nemo_runspec.packaging.checkout import all_files, tracked_files, untracked_files
from nemo_runspec.packaging.errors import PackagingError
from nemo_runspec.packaging.packager import Packager

__all__ = ["CodePackager"]


@dataclass(kw_only=True)
class CodePackager(Packager):
    """Packs the files that git tracks, with a `main.py` that runs the script among them.

    Files that git does not track are left out, with a note: among them are the `.env` and the
    keys that nobody means to send. The script itself always comes along.

    Args:
        script_path: the script, absolute or relative to the repository.
        train_path: its config, which the job finds as `config.yaml` and the script gets as
            `--config`; empty: it gets none.
        exclude_dirs: top folders of the repository that are left out.
        include_untracked: also pack what git neither tracks nor ignores, but for files whose
            names say that they hold secrets.
    """

    script_path: str
    train_path: str
    exclude_dirs: tuple[str, ...] = ("usage-cookbook", "use-case-examples")
    include_untracked: bool = False

    def package(self, path: Path, job_dir: str, name: str) -> str:
        """See `Packager.package`.

        Raises:
            PackagingError: the script or the config is not there, or outside of the repository.
        """
        root = Path(path).resolve()
        script = self._script(root)
        target = Path(job_dir) / f"{name}.tar.gz"
        texts = {REMOTE_SCRIPT: _launcher(script, has_config=bool(self.train_path))}
        if self.train_path:
            texts[REMOTE_CONFIG] = _read_config(self.train_path)
        jobs = Path(job_dir).resolve()
        files = {str(script): root / script}
        for relative in self._files(root):
            source = root / relative
            if relative.parts[0] in self.exclude_dirs or jobs in (root / relative).parents:
                continue
            # Tracked, and deleted since; a submodule that was not checked out is a folder.
            if source.is_symlink() or source.is_file():
                files[relative.as_posix()] = source
        write_archive(target, texts, files)
        return str(target)

    def _script(self, root: Path) -> PurePosixPath:
        script = (root / self.script_path).resolve()
        if not script.is_relative_to(root):
            raise PackagingError(f"script {self.script_path} lies outside of the repository {root}")
        if not script.is_file():
            raise PackagingError(f"no script {self.script_path} in {root}")
        return PurePosixPath(script.relative_to(root).as_posix())

    def _files(self, root: Path) -> list[Path]:
        tracked = tracked_files(root)
        if tracked is None:
            return all_files(root)
        others = untracked_files(root)
        if self.include_untracked:
            return [*tracked, *others]
        python = [path for path in others if path.suffix == ".py"]
        if python:
            print(
                f"note: {len(python)} Python files that git does not track are not packed, such as "
                f"{python[0]}; `git add` them, or pass include_untracked=True",
                file=sys.stderr,
            )
        return tracked


def _read_config(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise PackagingError(f"config {path}: {error.strerror}") from error


def _launcher(script: PurePosixPath, *, has_config: bool) -> str:
    config = "'--config', os.path.join(ROOT, 'config.yaml'), " if has_config else ""
    return f'''\
"""Runs {ascii(str(script))} of the packed checkout, in the checkout's root."""

import os
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))
SCRIPT = os.path.join(ROOT, {str(script)!a})

os.chdir(ROOT)
imports = [ROOT, os.path.join(ROOT, "src"), os.environ.get("PYTHONPATH", "")]
os.environ["PYTHONPATH"] = os.pathsep.join(entry for entry in imports if entry)
os.execv(sys.executable, [sys.executable, SCRIPT, {config}*sys.argv[1:]])
'''
