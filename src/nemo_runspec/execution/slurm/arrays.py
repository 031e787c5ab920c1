"""Job arrays: elements of a fan-out that are submitted at the same time go to Slurm as one.

An array has a folder beside its jobs: the script that Slurm starts for each element, which goes on
as the element's own batch script; and, by the element's number, links to its folder and to the file
that Slurm writes to. Everything else of an element is as it is for any other job.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shlex
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.slurm.client import SlurmClient
from nemo_runspec.jobs import JobPaths, arrays_root

# Options of the header that are an element's own.
_OWN = ("--job-name=", "--output=")
_NUMBER = "%a"  # sbatch(1), "filename pattern"

_SCRIPT = """\
#!/bin/bash
{header}
#SBATCH --array=0-{last}
#SBATCH --job-name={name}
#SBATCH --output={output}
exec bash {folder}/"$SLURM_ARRAY_TASK_ID"/{command}
"""


@dataclass(frozen=True)
class Element:
    """A job that may be submitted together with others.

    Args:
        folder: the job's folder.
        header: the lines of `#SBATCH` of its batch script.
    """

    folder: Path
    header: tuple[str, ...]

    @property
    def shared_header(self) -> tuple[str, ...]:
        """What elements of one array have in common."""
        return tuple(line for line in self.header if not any(own in line for own in _OWN))


@dataclass(frozen=True)
class Place:
    """Where a job is in an array.

    Args:
        name: the array's, in Slurm.
        number: the element's, from 0.
    """

    name: str
    number: int


def place_of(folder: Path) -> Place | None:
    """A job's place in an array; None for a job on its own."""
    try:
        document = json.loads(JobPaths(folder).array.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Place(str(document["name"]), int(document["number"]))


@dataclass
class _Waiting:
    element: Element
    is_done: threading.Event
    id: str = ""
    error: BaseException | None = None
    is_refused: bool = False


class Gatherer:
    """Submits elements that threads of this process bring within a short while as one array.

    Args:
        client: submits.
        window: seconds that the first waits for others, and each that comes for the next.
    """

    def __init__(self, client: SlurmClient, window: float = 0.3) -> None:
        self._client = client
        self._window = window
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, ...], list[_Waiting]] = {}

    def submit(
        self,
        element: Element,
        alone: Callable[[], str],
        find: Callable[[str], str | None],
    ) -> str:
        """The element's id, once it has been submitted, alone or in an array.

        Args:
            element: a job whose folder is staged.
            alone: submits it on its own.
            find: the id of the job of a name.

        Raises:
            ExecutionError: Slurm does not take it.
            UnreachableError: Slurm did not answer in time.
        """
        key = (str(element.folder.parent), *element.shared_header)
        mine = _Waiting(element, threading.Event())
        with self._lock:
            group = self._waiting.setdefault(key, [])
            group.append(mine)
            leads = len(group) == 1
        if leads:
            self._lead(key, alone, find)
        mine.is_done.wait()
        if mine.is_refused:
            # A limit on how many jobs one may have: some of them fit in. Or each hears why not.
            JobPaths(element.folder).array.unlink(missing_ok=True)
            return alone()
        if mine.error is not None:
            raise mine.error
        return mine.id

    def _lead(
        self, key: tuple[str, ...], alone: Callable[[], str], find: Callable[[str], str | None]
    ) -> None:
        seen = 0
        while True:
            with self._lock:
                found = len(self._waiting[key])
                if found == seen:
                    group = self._waiting.pop(key)
                    break
            seen = found
            time.sleep(self._window)
        try:
            if len(group) == 1:
                group[0].id = alone()
            else:
                self._submit_all(group, find)
        except BaseException as error:
            refused = isinstance(error, ExecutionError) and not isinstance(error, UnreachableError)
            for each in group:
                # Those of an array before it are in the queue.
                if not each.id:
                    each.error = error
                    each.is_refused = refused and len(group) > 1
        finally:
            for each in group:
                each.is_done.set()

    def _submit_all(self, group: Sequence[_Waiting], find: Callable[[str], str | None]) -> None:
        most = self._client.most_array_elements()
        for start in range(0, len(group), most):
            part = group[start : start + most]
            name, script = _write_array([each.element for each in part])
            id = self._client.submit(script, functools.partial(find, name))
            for number, each in enumerate(part):
                each.id = f"{id}_{number}"


def _write_array(elements: Sequence[Element]) -> tuple[str, Path]:
    """The array's name and its script, in a folder of its own."""
    folders = "\0".join(os.path.abspath(element.folder) for element in elements)
    name = f"array.{hashlib.sha256(os.fsencode(folders)).hexdigest()[:16]}"
    folder = arrays_root(elements[0].folder.parent) / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, element in enumerate(elements):
        paths = JobPaths(element.folder)
        _link(folder / str(number), paths.folder)
        _link(folder / f"{number}.log", paths.slurm_log)
        paths.array.write_text(json.dumps({"name": name, "number": number}), encoding="utf-8")
    text = _SCRIPT.format(
        header="\n".join(elements[0].shared_header),
        last=len(elements) - 1,
        name=name,
        output=shlex.quote(f"{str(folder).replace('%', '%%')}/{_NUMBER}.log"),
        folder=shlex.quote(str(folder)),
        command=JobPaths(folder).command.name,
    )
    script = folder / "array.sh"
    script.write_text(text, encoding="utf-8", errors="surrogateescape")
    return name, script


def _link(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(os.path.abspath(target))
