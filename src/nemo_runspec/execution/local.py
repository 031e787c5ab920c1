"""Jobs on this machine: a plain process in a session of its own, under a small supervisor."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_runspec.execution import supervisor
from nemo_runspec.execution.command import (
    RUN_SECRET_COMMAND,
    SECRET_COMMAND_VARIABLE,
    build_command,
    processes_per_node,
    torchrun_options,
    without_secrets,
)
from nemo_runspec.execution.environment import (
    inherited_environment,
    is_dropped,
    runspec_variables,
)
from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.own_source import own_source
from nemo_runspec.execution.protocol import (
    Executor,
    Handle,
    Job,
    Request,
    State,
    Status,
)
from nemo_runspec.execution.ray.embedded import embedded_ray
from nemo_runspec.execution.startup import run_startup_commands_local
from nemo_runspec.jobs import JobPaths
from nemo_runspec.masking import is_secret_name, mask_secrets

_POLL_SECONDS = 0.05
_CHUNK_BYTES = 1 << 16

# `python -c` gets this, the supervisor's source comes through standard input.
_BOOTSTRAP = (
    "import sys; exec(compile(sys.stdin.buffer.read(int(sys.argv[1])), 'supervisor.py', 'exec'))"
)

# The supervisors that this process started, by job folder. The standard input of an attached one
# stays open here: when it closes, as it does when this process ends, the supervisor ends its job.
_SUPERVISORS: dict[str, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class LocalRequest(Request):
    """One local process to be started.

    Args:
        folder: the job's folder.
        argv: its command; a name without a slash is looked up in the job's PATH.
        shown: `argv` as people may see it, without the secrets that are written in it.
        cwd: the folder to run it in.
        env: variables added to the inherited environment.
        shims: scripts to write into the job's `bin`, which comes first in its PATH, by name.
        output: the folder that the job writes to.
    """

    folder: Path
    argv: tuple[str, ...]
    shown: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    shims: Mapping[str, str]
    output: Path

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """The job's whole environment."""
        env = {**inherited_environment(inherited), **self.env}
        search = [str(JobPaths(self.folder).bin)] if self.shims else []
        return {**env, "PATH": os.pathsep.join([*search, env.get("PATH", os.defpath)])}

    def shell_text(self) -> str:
        return self._shell_text(self.shown)

    def script(self) -> str:
        """The request as a script that runs it, with whatever secrets stand in `argv`."""
        return f"#!/bin/sh\n{self._shell_text(self.argv)}\n"

    def _shell_text(self, argv: Sequence[str]) -> str:
        dropped = (n for n in sorted(os.environ) if is_dropped(n) and n not in self.env)
        unset = [f"-u {name}" for name in dropped]
        variables = [
            _assignment(name, value) for name, value in sorted(self.env.items()) if name != "PATH"
        ]
        if self.shims:
            first = shlex.quote(f"{JobPaths(self.folder).bin}{os.pathsep}")
            rest = shlex.quote(self.env["PATH"]) if "PATH" in self.env else '"$PATH"'
            variables.append(f"PATH={first}{rest}")
        environment = " \\\n    ".join([" ".join(["env", *unset]), *variables])
        return f"cd {shlex.quote(str(self.cwd))} &&\n  {environment} \\\n  {shlex.join(argv)}"


class LocalExecutor(Executor):
    """Runs jobs as processes of this machine. Its handles serve any process of the machine."""

    name = "local"
    runs_here = True

    def prepare(self, job: Job) -> LocalRequest:
        paths = JobPaths(job.folder)
        output = job.output or paths.output
        told = runspec_variables(
            job.folder, output, job.code, attempt=job.attempt, context=job.context
        )
        ray = embedded_ray(job.spec.run.kind, {**os.environ, **job.env})
        env = {**told, **ray, **job.env}
        imports = [str(path) for path in (*job.source_roots, *job.python.packages)]
        declared = env.get("PYTHONPATH")
        env["PYTHONPATH"] = os.pathsep.join([*imports, *([declared] if declared else [])])
        shims = {}
        if job.python.interpreter:
            shim = f'#!/bin/sh\nexec {shlex.quote(str(job.python.interpreter))} "$@"\n'
            shims = {"python": shim, "python3": shim}
        shown = build_command(without_secrets(job))
        argv = build_command(job)
        return LocalRequest(job.folder, argv, shown, job.workdir, env, shims, output)

    def stage(self, request: Request) -> None:
        request = _own(request)
        if not request.cwd.is_dir():
            raise ExecutionError(
                f"run.workdir: no folder {str(request.cwd)!r} on this machine; "
                "create it or change workdir in the script's [tool.runspec.run]"
            )
        paths = JobPaths(request.folder)
        paths.log.parent.mkdir(exist_ok=True)
        paths.log.touch()
        request.output.mkdir(parents=True, exist_ok=True)
        for name, text in request.shims.items():
            _write_script(paths.bin / name, text, 0o755)
        _write_script(paths.command, request.script(), 0o600)

    def submit(self, request: Request, *, attached: bool) -> Handle:
        request = _own(request)
        self.stage(request)
        paths = JobPaths(request.folder)
        argv, env = request.argv, request.environment(os.environ)
        if argv != request.shown and argv[:2] == ("bash", "-c"):
            env[SECRET_COMMAND_VARIABLE] = argv[2]
            argv = ("bash", "-c", RUN_SECRET_COMMAND)
        instructions = {
            "argv": argv,
            "cwd": str(request.cwd),
            "env": env,
            "log": str(paths.log),
            "status": str(paths.status),
            "attached": attached,
        }
        process, answer = _start_supervisor(instructions, paths)
        if "pid" not in answer:
            _close(process)
            raise ExecutionError(f"cannot start {request.argv[0]!r}: {answer['error']}")
        handle = Handle(self.name, str(request.folder), str(answer["pid"]))
        _SUPERVISORS[handle.folder] = process
        return handle

    def find(self, folder: Path) -> Handle | None:
        try:
            record = _read_record(JobPaths(folder).status)
        except ExecutionError:
            return None
        return Handle(self.name, str(folder), str(record["job"]["pid"]))

    def status(self, handle: Handle) -> Status:
        path = JobPaths(Path(handle.folder)).status
        record = _read_record(path)
        if record["state"] == "running" and not _still_runs(record):
            record = _read_record(path)  # it may have ended between the two looks
            if record["state"] == "running":
                return Status(State.LOST, started_at=record["started_at"])
        if record["state"] == "running":
            return Status(State.RUNNING, started_at=record["started_at"])
        if record["cancelled"]:
            state = State.CANCELLED
        else:
            state = State.FAILED if record["exit_code"] else State.SUCCEEDED
        return Status(state, record["exit_code"], record["started_at"], record["ended_at"])

    def logs(self, handle: Handle, *, follow: bool = False) -> Iterator[bytes]:
        with open(JobPaths(Path(handle.folder)).log, "rb", buffering=0) as log:
            while True:
                # Asked before reading: what was written before the end is then read for certain.
                ended = not follow or self.status(handle).state.is_final
                while chunk := log.read(_CHUNK_BYTES):
                    yield chunk
                if ended:
                    return
                time.sleep(_POLL_SECONDS)

    def cancel(self, handle: Handle) -> None:
        record = _read_record(JobPaths(Path(handle.folder)).status)
        if record["state"] != "running":
            return
        if record["machine"] != supervisor.machine():
            raise ExecutionError(
                f"{handle.folder}: the job was started on {record['machine'].split()[0]}; "
                "cancel it there"
            )
        if supervisor.is_alive(record["supervisor"]):
            os.kill(record["supervisor"]["pid"], signal.SIGTERM)
        elif supervisor.is_alive(record["job"]):
            supervisor.end_group(record["job"]["pid"])

    def wait(self, handle: Handle, timeout: float | None = None) -> Status:
        deadline = None if timeout is None else time.monotonic() + timeout
        process = _SUPERVISORS.get(handle.folder)
        while not (status := self.status(handle)).state.is_final:
            if deadline is not None and time.monotonic() >= deadline:
                return status
            if process is None or process.poll() is not None:
                time.sleep(_POLL_SECONDS)
                continue
            # Of a supervisor of our own we are told at once.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)
        process = _SUPERVISORS.pop(handle.folder, None)
        if process is not None:
            _close(process)
        return status


def execute_local(
    script_path: str | Path,
    train_path: str | Path,
    passthrough: list[str],
    *,
    torchrun: bool = True,
    env_vars: Mapping[str, str] | None = None,
    startup_commands: list[str] | None = None,
    profile: Mapping[str, Any] | None = None,
) -> None:
    """Runs a script with the interpreter that runs us, in the foreground.

    For commands that show their own execution; recipes in bundles go through `LocalExecutor`.

    Args:
        script_path: the script.
        train_path: its config, given as `--config`.
        passthrough: further arguments for the script.
        torchrun: start it by torch.distributed.run, as many processes as the profile says, else one
            per GPU of this machine.
        env_vars: added to the environment.
        startup_commands: bash commands to run before it.
        profile: `run.env` of the job config, for its `nproc_per_node` and `gpus_per_node`.

    Raises:
        ExecutionError: the profile's number of processes is none.
        SystemExit: with the exit code of the script or startup command, unless it is 0.
    """
    env = {**os.environ, **(env_vars or {})}
    run_startup_commands_local(startup_commands or [], env)
    launcher = torchrun_options(processes_per_node(profile or {}, "gpu", env)) if torchrun else ()
    argv = [
        sys.executable,
        *launcher,
        str(script_path),
        "--config",
        str(train_path),
        *passthrough,
    ]
    returncode = subprocess.call(argv, env=env)
    if returncode:
        raise SystemExit(returncode if returncode > 0 else 128 - returncode)


def _assignment(name: str, value: str) -> str:
    """`name=value` for a shell; a secret is left to the environment of whoever runs the line."""
    is_secret = is_secret_name(name) or mask_secrets(value) != value
    return f'{name}="${name}"' if is_secret else f"{name}={shlex.quote(value)}"


def _own(request: Request) -> LocalRequest:
    if not isinstance(request, LocalRequest):
        raise TypeError(f"{type(request).__name__} was prepared by another executor")
    return request


def _write_script(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_text(text, encoding="utf-8", errors="surrogateescape")


def _start_supervisor(
    instructions: Mapping[str, Any], paths: JobPaths
) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    source = own_source("nemo_runspec.execution", "supervisor.py")
    # As JSON through a pipe: the environment may hold secrets and any byte.
    orders = json.dumps(instructions).encode()
    argv = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, str(len(source)), str(len(orders))]
    with open(paths.log, "ab") as log:
        process = subprocess.Popen(
            [*argv, str(paths.folder)],  # the folder only for those who read `ps`
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(source + orders)
        process.stdin.flush()
    except BrokenPipeError as error:
        raise _no_supervisor(paths) from error
    with process.stdout as answers:
        answer = answers.readline()
    if not answer:
        raise _no_supervisor(paths)
    if not instructions["attached"]:
        process.stdin.close()
    return process, json.loads(answer)


def _no_supervisor(paths: JobPaths) -> ExecutionError:
    last = paths.log.read_text(errors="replace").strip().rpartition("\n")[2]
    return ExecutionError(f"the job's supervisor did not start with {sys.executable}: {last}")


def _close(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ExecutionError(f"{path.parent}: no job was started in this folder") from None
    except ValueError as error:
        raise ExecutionError(f"{path}: not a job's status: {error}") from error
    return record


def _still_runs(record: Mapping[str, Any]) -> bool:
    if record["machine"].split()[0] != supervisor.machine().split()[0]:
        return True  # another machine's process ids say nothing here: its record is believed
    if record["machine"] != supervisor.machine():
        return False  # this machine was restarted since
    return supervisor.is_alive(record["supervisor"]) or supervisor.is_alive(record["job"])
