"""Executors by name, imported when they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_runspec._names import hint
from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.protocol import Executor

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP = "nemo_runspec.executors"


def _local() -> Executor:
    from nemo_runspec.execution.local import LocalExecutor

    return LocalExecutor()


def _slurm() -> Executor:
    from nemo_runspec.execution.slurm.executor import SlurmExecutor

    return SlurmExecutor()


def _ray() -> Executor:
    from nemo_runspec.execution.ray.executor import RayExecutor

    return RayExecutor()


def _docker() -> Executor:
    from nemo_runspec.execution.containers.docker import DockerExecutor

    return DockerExecutor()


def _dgxcloud() -> Executor:
    from nemo_runspec.execution.containers.dgxcloud import DGXCloudExecutor

    return DGXCloudExecutor()


def _lepton() -> Executor:
    from nemo_runspec.execution.containers.lepton import LeptonExecutor

    return LeptonExecutor()


_BUILT_IN = {
    "dgxcloud": _dgxcloud,
    "docker": _docker,
    "lepton": _lepton,
    "local": _local,
    "ray": _ray,
    "slurm": _slurm,
}


def executor_names() -> list[str]:
    """The executors that can be used now: those that come with the library and those installed."""
    return sorted({*_BUILT_IN, *_installed()})


def get_executor(name: str) -> Executor:
    """The executor of that name.

    Raises:
        ExecutionError: if there is none, or it cannot be imported.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    installed = _installed()
    if name not in installed:
        raise ExecutionError(f"unknown executor {name!r}; {hint(name, executor_names())}")
    origin = f"executor {name!r} ({installed[name].value})"
    try:
        executor = installed[name].load()()
    except (ImportError, AttributeError) as error:
        raise ExecutionError(f"{origin} cannot be loaded: {error}") from error
    if not isinstance(executor, Executor):
        raise ExecutionError(f"{origin} is no nemo_runspec.execution.protocol.Executor")
    return executor


def _installed() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # 10 ms that a built-in executor does not need

    return {found.name: found for found in entry_points(group=ENTRY_POINT_GROUP)}
