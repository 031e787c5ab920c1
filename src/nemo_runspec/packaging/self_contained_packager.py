"""One script with all that it imports from the repository, and its config."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_runspec.packaging import REMOTE_CONFIG, REMOTE_SCRIPT
from nemo_runspec.packaging.archive import write_archive
from nemo_runspec.packaging.checkout import is_secret_file
from nemo_runspec.packaging.errors import PackagingError
from nemo_runspec.packaging.inline import DEFAULT_PACKAGES, inline_imports
from nemo_runspec.packaging.packager import Packager

__all__ = ["SelfContainedPackager", "inline_imports"]


@dataclass(kw_only=True)
class SelfContainedPackager(Packager):
    """Packs `main.py` (the script with the modules it imports in it), `config.yaml`, and the files
    of the repository that the config names.

    Args:
        script_path: the script, absolute or relative to the repository.
        train_path: its config, paths pointing into the job's copy of the code.
        inline_packages: packages whose modules travel in `main.py`.
        remote_code_dir: where the job has its code: what paths in the config start with.
    """

    script_path: str
    train_path: str
    inline_packages: tuple[str, ...] = DEFAULT_PACKAGES
    remote_code_dir: str = "/nemo_run/code"

    def package(self, path: Path, job_dir: str, name: str) -> str:
        """See `Packager.package`.

        Raises:
            PackagingError: the script, its config or a module is not there, or the config names
                a file that may not be sent.
        """
        root = Path(path).resolve()
        script = inline_imports(
            root / self.script_path, repo_root=root, package_prefixes=self.inline_packages
        )
        try:
            config = Path(self.train_path).read_text(encoding="utf-8")
        except OSError as error:
            raise PackagingError(f"config {self.train_path}: {error.strerror}") from error
        target = Path(job_dir) / f"{name}.tar.gz"
        texts = {REMOTE_SCRIPT: script, REMOTE_CONFIG: config}
        write_archive(target, texts, dict(self._named_files(config, root)))
        return str(target)

    def _named_files(self, config: str, root: Path) -> Iterator[tuple[str, Path]]:
        from omegaconf import OmegaConf

        from nemo_runspec.utils import REMOTE_CODE_DIR

        plain = OmegaConf.to_container(OmegaConf.create(config), resolve=False)
        starts = tuple(re.escape(d.rstrip("/")) for d in (self.remote_code_dir, REMOTE_CODE_DIR))
        reference = re.compile(rf"(?:{'|'.join(starts)})/+(?P<path>.+)", re.DOTALL)
        for text in _texts(plain):
            found = reference.fullmatch(text)
            if found is None or not (root / found["path"]).is_file():
                continue
            file = (root / found["path"]).resolve()
            if not file.is_relative_to(root) or is_secret_file(file.relative_to(root)):
                raise PackagingError(
                    f"config {self.train_path}: {text} may not be packed: it lies outside of the "
                    "repository, or is called like a file of secrets"
                )
            yield found["path"], file


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
