"""Job bundles that are kept beside the jobs, and which of them are used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from nemo_runspec.jobs import (
    JobPaths,
    PipelinePaths,
    bundle_copy,
    jobs_root,
    pipelines_root,
    shared_files,
)
from nemo_runspec.store import Manifest
from nemo_runspec.store_admin.data import Data

# A job is given its folder before its files say which bundle it runs.
_STARTING = timedelta(hours=1)


def unused_bundles(versions: Iterable[Manifest], since: datetime) -> Iterator[tuple[Path, int]]:
    """The kept bundles of this repository that no job, pipeline or version names.

    What bundles have in common is one file with a link from each; it follows when no bundle is
    left that has one.

    Args:
        versions: those that stay; what made them can be run again while its bundle is there.
        since: bundles that are newer stay.

    Yields:
        Each bundle's folder or shared file, and its bytes.
    """
    root = jobs_root()
    if shared_files(root).is_dir():
        starting = (datetime.now(timezone.utc) - _STARTING).timestamp()
        for file in sorted(shared_files(root).iterdir()):
            status = file.lstat()
            if status.st_nlink == 1 and status.st_ctime < starting:
                yield file, status.st_size
    folder = bundle_copy(root, "any").parent
    if not folder.is_dir():
        return
    texts = list(_job_texts(root))
    if None in texts:
        return
    digests = {str(each.run.get("bundle") or "")[:32] for each in versions}
    newest = min(since, datetime.now(timezone.utc) - _STARTING)
    for bundle in sorted(folder.iterdir()):
        if bundle.name in digests or any(bundle.name in (text or "") for text in texts):
            continue
        modified = datetime.fromtimestamp(bundle.lstat().st_mtime, timezone.utc)
        if modified < newest:
            yield bundle, Data(str(bundle)).size() or 0


def _job_texts(root: Path) -> Iterator[str | None]:
    """What jobs and pipelines say they run; None for one that does not say so yet."""
    pipelines = pipelines_root(root)
    starting = datetime.now(timezone.utc) - _STARTING
    for folder in root.iterdir():
        if folder.name.startswith("_") or not folder.is_dir():
            continue
        paths = JobPaths(folder)
        found = [_read(path) for path in (paths.command, paths.context, paths.job_config)]
        modified = datetime.fromtimestamp(folder.stat().st_mtime, timezone.utc)
        yield None if not any(found) and modified > starting else "".join(found)
    if pipelines.is_dir():
        for folder in pipelines.iterdir():
            yield _read(PipelinePaths(folder).order)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
