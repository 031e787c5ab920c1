"""Where the folders of jobs are: this repository's, and those that the profiles name."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.command_line import Flag
from nemo_runspec.env import list_profiles, load_env_file, parse_env
from nemo_runspec.exceptions import EnvError, NemoRunspecError, UsageError
from nemo_runspec.execution.registry import get_executor
from nemo_runspec.job_admin.found import Executors, FoundJob, FoundPipeline, Item
from nemo_runspec.jobs import JobPaths, PipelinePaths, jobs_root, pipelines_root

PROFILE = Flag(
    ("--profile", "--run", "-r"), "only this profile's jobs, besides the repository's", "PROFILE"
)

_STAMP = re.compile(r"(?P<stamp>[0-9]{8}-[0-9]{6})-(?P<name>.+)")
_SHOWN = 5


class Places:
    """The folders that are looked through.

    Args:
        profile: the only profile whose folder counts; None for all of env.toml.
    """

    def __init__(self, profile: str | None = None) -> None:
        self._executors = Executors(get_executor)
        self.roots = tuple(dict.fromkeys(_roots(profile)))

    def items(self) -> list[Item]:
        """All jobs and pipelines, the newest first."""
        found = [item for root in self.roots for item in self._below(root)]
        return sorted(found, key=lambda item: item.folder.name, reverse=True)

    def find(self, text: str) -> Item:
        """The one that a person means.

        Raises:
            UsageError: there is none, or more than one.
        """
        path = Path(text).expanduser()
        if path.is_dir():
            item = self._at(path.absolute())
            if item is None:
                raise UsageError(f"{text}: no job was started in this folder")
            return item
        items = self.items()
        for matches in (
            [item for item in items if item.folder.name == text],
            [item for item in items if item.job_id == text],
            [item for item in items if text in item.folder.name],
        ):
            if len(matches) == 1:
                return matches[0]
            if matches:
                names = ", ".join(str(item.folder) for item in matches[:_SHOWN])
                more = f" and {len(matches) - _SHOWN} more" if len(matches) > _SHOWN else ""
                raise UsageError(f"{text!r} may mean {names}{more}; name one of the folders")
        where = ", ".join(map(str, self.roots))
        raise UsageError(f"no job {text!r} in {where}; `nemo-runspec jobs ls --all` lists them")

    def _below(self, root: Path) -> Iterator[Item]:
        for folder in (root, pipelines_root(root)):
            for path in _folders(folder):
                if not _STAMP.fullmatch(path.name):
                    continue
                try:
                    item = self._at(path)
                except PermissionError:
                    continue  # somebody else's, who lets nobody look
                except (NemoRunspecError, OSError) as error:
                    print(f"note: {error}", file=sys.stderr)  # it hides none of the others
                    continue
                if item is not None:
                    yield item

    def _at(self, folder: Path) -> Item | None:
        pipeline = PipelinePaths(folder)
        if pipeline.order.is_file():
            return FoundPipeline(pipeline, self._executors)
        paths = JobPaths(folder)
        if paths.handle.is_file() or paths.status.is_file():
            return FoundJob(paths, self._executors)
        return None


def name_of(folder: Path) -> str:
    """The name in a folder's name: without the time."""
    match = _STAMP.fullmatch(folder.name)
    return match["name"] if match else folder.name


def age_of(folder: Path) -> float | None:
    """Seconds since a job's folder was made, by its name; None if that holds no time."""
    match = _STAMP.fullmatch(folder.name)
    if match is None:
        return None
    try:
        made = datetime.strptime(match["stamp"], "%Y%m%d-%H%M%S")
    except ValueError:
        return None
    return max(0.0, (datetime.now() - made).total_seconds())


def _roots(profile: str | None) -> Iterator[Path]:
    yield jobs_root()
    for name in [profile] if profile else list_profiles(load_env_file()):
        try:
            values = parse_env(GlobalContext(run=name))
        except EnvError as error:
            if profile:
                raise
            print(f"note: {error}", file=sys.stderr)  # the others' jobs are listed all the same
            continue
        remote = values.get("remote_job_dir") if values is not None else None
        if remote:
            yield Path(str(remote)).expanduser().absolute()


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
