"""What NeMo-Run asks of a packager: the fields and methods of its own base class.

Not a subclass of it: a command that only imports a packager need not have NeMo-Run, and NeMo-Run
looks at nothing but these.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_runspec.execution.nemo_run_library import nemo_run


@dataclass(kw_only=True)
class Packager:
    """Base of our packagers.

    Args:
        debug: NeMo-Run's flag for a launcher's debug options.
        symlink_from_remote_dir: a folder on the cluster to use as the code (Slurm).
    """

    debug: bool = False
    symlink_from_remote_dir: str | None = None

    def package(self, path: Path, job_dir: str, name: str) -> str:
        """Packs what a job needs.

        Args:
            path: the repository.
            job_dir: folder for the archive.
            name: its name without `.tar.gz`.

        Returns:
            The archive.
        """
        raise NotImplementedError

    def setup(self) -> None:
        """NeMo-Run calls it where the job runs, before the job; there is nothing to do."""

    def to_config(self) -> Any:
        """The packager as NeMo-Run writes it down (a Fiddle config)."""
        dataclasses = nemo_run("a packager's config", "fiddle._src.experimental.dataclasses")
        return dataclasses.convert_dataclasses_to_configs(self, allow_post_init=True)
