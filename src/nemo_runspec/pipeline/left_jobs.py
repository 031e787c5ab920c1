"""Jobs of a cluster that go on while nobody stands over them, as a plan sees them.

Their supervisor is gone, and its leases with it; what is left is the attempt beside the output
folder. Whoever builds the version next picks the job up (`nemo_runspec.pipeline.build.Builder`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.execution.errors import UnreachableError
from nemo_runspec.execution.protocol import Executor, Handle
from nemo_runspec.execution.registry import get_executor
from nemo_runspec.pipeline.outputs import open_output


class LeftJobs:
    """Looks for such jobs; each executor is asked once for all of them.

    Args:
        outputs: where builds write (`nemo_runspec.pipeline.outputs.output_root`).
    """

    def __init__(self, outputs: Path) -> None:
        self._outputs = outputs
        self._executors: dict[str, Executor] = {}

    def find(self, name: str, key: str) -> Mapping[str, Any] | None:
        """The job that makes a version now, as one who holds its lease; None without one.

        Args:
            name: the artifact's name, namespace included.
            key: the version's key.
        """
        try:
            attempts = open_output(self._outputs, name, key).attempts
        except NemoRunspecError:
            return None  # whoever builds it says what is wrong with the folder
        last = attempts[-1] if attempts else None
        if last is None or last.handle is None or last.executor is None:
            return None
        handle = Handle.from_json(last.handle)
        job = {"job": handle.id, "executor": handle.executor, "folder": handle.folder}
        try:
            executor = self._executor(handle.executor)
            if executor.runs_here or executor.status(handle).state.is_final:
                return None
        except UnreachableError as error:
            # It may run, and nobody may take it for ended.
            return {**job, "unknown": str(error)}
        except NemoRunspecError:
            return None
        return job

    def _executor(self, name: str) -> Executor:
        if name not in self._executors:
            self._executors[name] = get_executor(name)
        return self._executors[name]
