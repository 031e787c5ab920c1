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


_BUILT_IN = {"local": _local}
# Valid in an env.toml, but nothing here runs them: their profiles can be shown, not run.
_NOT_YET = ("slurm", "ray", "docker", "dgxcloud", "lepton")


def executor_names() -> list[str]:
    """The executors that can be used now: those that come with the library and those installed."""
    return sorted({*_BUILT_IN, *_installed()})


def has_executor(name: str) -> bool:
    """Whether `get_executor(name)` would find one.

    Raises:
        ExecutionError: if no executor of that name is known, not even as a name of env.toml.
    """
    if name in _BUILT_IN or name in _installed():
        return True
    if name in _NOT_YET:
        return False
    raise _unknown(name)


def get_executor(name: str) -> Executor:
    """The executor of that name.

    Raises:
        ExecutionError: if there is none, or it cannot be imported.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    installed = _installed()
    if name not in installed:
        raise _unknown(name)
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


def _unknown(name: str) -> ExecutionError:
    available = executor_names()
    if name in _NOT_YET:
        return ExecutionError(
            f"executor {name!r} cannot run jobs in this version; "
            f"available: {', '.join(available)}; --dry-run shows what would run"
        )
    known = [*available, *_NOT_YET]
    return ExecutionError(f"unknown executor {name!r}; {hint(name, known)}")
