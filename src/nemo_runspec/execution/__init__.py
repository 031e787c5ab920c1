"""Running jobs: executors behind one small protocol, and the pieces they are made of.

The names come from the modules of this package, each imported when one of its names is first
used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_runspec._lazy import lazy_names

if TYPE_CHECKING:
    from nemo_runspec.execution.attach import attach
    from nemo_runspec.execution.command import build_command, fill_template, processes_per_node
    from nemo_runspec.execution.create import (
        create_executor,
        create_slurm_executor,
        get_executor_type,
    )
    from nemo_runspec.execution.environment import build_env_vars
    from nemo_runspec.execution.errors import ExecutionError, UnreachableError
    from nemo_runspec.execution.git_mounts import clone_git_repos_via_tunnel
    from nemo_runspec.execution.interpreter import find_interpreter, job_interpreter
    from nemo_runspec.execution.local import LocalExecutor, execute_local
    from nemo_runspec.execution.protocol import (
        Executor,
        Handle,
        Job,
        JobPackage,
        Request,
        State,
        Status,
    )
    from nemo_runspec.execution.registry import executor_names, get_executor
    from nemo_runspec.execution.startup import (
        get_startup_commands,
        prepend_startup_to_cmd,
        run_startup_commands_local,
    )

__all__ = [
    "ExecutionError",
    "Executor",
    "Handle",
    "Job",
    "JobPackage",
    "LocalExecutor",
    "Request",
    "State",
    "Status",
    "UnreachableError",
    "attach",
    "build_command",
    "build_env_vars",
    "clone_git_repos_via_tunnel",
    "create_executor",
    "create_slurm_executor",
    "execute_local",
    "executor_names",
    "fill_template",
    "find_interpreter",
    "get_executor",
    "get_executor_type",
    "get_startup_commands",
    "job_interpreter",
    "prepend_startup_to_cmd",
    "processes_per_node",
    "run_startup_commands_local",
]

_NAMES = {
    "attach": ("attach",),
    "command": ("build_command", "fill_template", "processes_per_node"),
    "create": ("create_executor", "create_slurm_executor", "get_executor_type"),
    "environment": ("build_env_vars",),
    "errors": ("ExecutionError", "UnreachableError"),
    "git_mounts": ("clone_git_repos_via_tunnel",),
    "interpreter": ("find_interpreter", "job_interpreter"),
    "local": ("LocalExecutor", "execute_local"),
    "protocol": ("Executor", "Handle", "Job", "JobPackage", "Request", "State", "Status"),
    "registry": ("executor_names", "get_executor"),
    "startup": ("get_startup_commands", "prepend_startup_to_cmd", "run_startup_commands_local"),
}

__getattr__ = lazy_names(
    __name__, {name: f"{__name__}.{module}" for module, names in _NAMES.items() for name in names}
)
