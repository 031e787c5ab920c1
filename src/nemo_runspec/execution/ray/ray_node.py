"""What Ray runs on a node for a job: it starts `job.sh`, stands by it and knows how it ended.

A copy of this file lies beside `job.sh` and is run by the interpreter that the node's Ray has:
standard library only, no import of ours, any Python from 3.9 on. Ray ends a job by signals to its
command and all processes below it, at once; for a job to end in good order its processes must not
be below. So the job runs under `supervisor.py`, which is nobody's child, and which ends it when
this process is told to end or is gone: with its node, say, or with Ray itself.

Its orders (`ray_node.json`) hold:
    script      job.sh
    worker      worker.sh, with which Ray starts the workers of the job's tasks
    packages    a folder for PYTHONPATH (ray_packages.py)
    link        a path that job.sh knows this working folder by; null where folders are shared
    log, status    the job's own files; null: in the folder of Ray's logs
    records, secrets    likewise; null for secrets: there are none
    cancelled   a file that says that the job is not to start
    pythons     the Pythons that the job is made for, as `3.11`; null for any
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shlex
import shutil
import signal
import sys
import time
from typing import Any, NoReturn

PACKAGES_VARIABLE = "RUNSPEC_RAY_PACKAGES"
PYTHON_VARIABLE = "RUNSPEC_PYTHON"

# What Ray tells a job's command of the job (ray/_private/runtime_env/constants.py).
_JOB_CONFIG_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_ID_KEY = "job_submission_id"
_SUBMITTED_KEY = "runspec_submitted_at"
_PREFACE = b"Running entrypoint for job "
_POLL_SECONDS = 0.05
_PREFACE_SECONDS = 2.0
# Ray kills what is still there 3 s after it asked; the supervisor's own ladder takes less than 2.
_END_SECONDS = 2.5
# A job that was stopped while it waited is started all the same, and told at once. It is given
# this long to be told before anything of it runs.
_WAITED_SECONDS = 20.0
_HELD_SECONDS = 1.0


class NodeError(Exception):
    """The job cannot run here; the message is for people."""


class _Told:
    """Whether this process was told to end."""

    def __init__(self) -> None:
        self.to_end = False
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, self._remember)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signum})

    def _remember(self, *_: Any) -> None:
        self.to_end = True


def _job_config() -> dict[str, Any]:
    config: dict[str, Any] = json.loads(os.environ[_JOB_CONFIG_VARIABLE])
    return config


def _ray_packages() -> str | None:
    """The folder that this interpreter imports ray from."""
    found = importlib.util.find_spec("ray")
    if found is None or not found.origin:
        return None
    return os.path.dirname(os.path.dirname(found.origin))


def _link(path: str, target: str) -> None:
    """Makes the working folder known by the path that the job's files have in its script."""
    try:
        os.symlink(target, path)
    except FileExistsError:
        if os.lstat(path).st_uid != os.getuid() or not os.path.islink(path):
            raise NodeError(
                f"{path} belongs to somebody else; remove it on {os.uname().nodename}"
            ) from None
        os.unlink(path)
        os.symlink(target, path)


def _check_python(orders: dict[str, Any]) -> None:
    here = "{}.{}".format(*sys.version_info)
    if orders["pythons"] is not None and here not in orders["pythons"]:
        raise NodeError(
            f"the job is made for Python {' or '.join(orders['pythons'])}, and the Ray of "
            f"{os.uname().nodename} runs on {sys.version.split()[0]}; choose "
            f"interpreter_constraints with {here} for the recipe, or another cluster"
        )


def _environment(orders: dict[str, Any]) -> dict[str, str]:
    """The job's: that of Ray's workers, and how workers of the job's tasks are started."""
    env = dict(os.environ)
    packages = _ray_packages()
    told = {PYTHON_VARIABLE: sys.executable}
    if packages is not None:
        told[PACKAGES_VARIABLE] = packages
    env.update(told)
    env["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), env.get("PATH", os.defpath)])
    config = _job_config()
    runtime_env = config.setdefault("runtime_env", {})
    words = [f"{name}={value}" for name, value in told.items()]
    # Ray gives this to a shell.
    runtime_env["py_executable"] = shlex.join(["env", *words, "bash", orders["worker"]])
    env[_JOB_CONFIG_VARIABLE] = json.dumps(config)
    return env


def _start_supervisor(instructions: dict[str, Any], here: str) -> tuple[int, int, int]:
    """Starts the supervisor as nobody's child.

    Returns:
        Its process id; the end of a pipe that it lives as long as; one that lives as long as it.
    """
    orders = json.dumps(instructions).encode()
    stdin, our_stdin = os.pipe()
    our_stdout, stdout = os.pipe()
    first = os.fork()
    if first == 0:
        try:
            os.setsid()
            if os.fork():
                os._exit(0)
            os.write(stdout, b"%d\n" % os.getpid())
            os.dup2(stdin, 0)
            alive = os.dup(stdout)
            os.set_inheritable(alive, True)
            os.dup2(stdout, 1)
            log = os.open(instructions["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            os.dup2(log, 2)
            supervisor = os.path.join(here, "supervisor.py")
            words = [sys.executable, "-I", "-S", supervisor, "0", str(len(orders))]
            os.execv(sys.executable, words)
        finally:
            os._exit(127)
    os.waitpid(first, 0)
    os.close(stdin)
    os.close(stdout)
    with open(our_stdin, "wb", buffering=0, closefd=False) as pipe:
        pipe.write(orders)
    pid = b""
    while not pid.endswith(b"\n"):
        pid += os.read(our_stdout, 1)
    return int(pid), our_stdin, our_stdout


def _wait_for_preface() -> None:
    """Until Ray's own first lines stand in its log, so that none of them comes between ours."""
    deadline = time.monotonic() + _PREFACE_SECONDS
    while time.monotonic() < deadline:
        try:
            with open("/proc/self/fd/1", "rb") as log:
                if _PREFACE in log.read():
                    return
        except OSError:
            return
        time.sleep(_POLL_SECONDS)


def _run(orders: dict[str, Any], here: str, told: _Told) -> int:
    _check_python(orders)
    if orders["link"] is not None:
        _link(orders["link"], os.getcwd())
    if time.time() - float(_job_config()["metadata"][_SUBMITTED_KEY]) > _WAITED_SECONDS:
        time.sleep(_HELD_SECONDS)
    if told.to_end or os.path.exists(orders["cancelled"]):
        return 128 + signal.SIGTERM
    log = orders["log"] or _beside_ray_log("log")
    status = orders["status"] or _beside_ray_log("json")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    instructions = {
        "argv": ["bash", orders["script"]],
        "cwd": here,
        "env": _environment(orders),
        "log": log,
        "status": status,
        "attached": True,
    }
    _wait_for_preface()
    pid, _, alive = _start_supervisor(instructions, here)
    answer = b""
    while not answer.endswith(b"\n"):
        piece = os.read(alive, 4096)
        if not piece:
            raise NodeError(f"the job's supervisor did not start; see {log}")
        answer += piece
    if "error" in json.loads(answer):
        raise NodeError(json.loads(answer)["error"])
    _follow(pid, alive, log, told)
    if orders["secrets"] is not None and os.path.exists(orders["secrets"]):
        os.unlink(orders["secrets"])
    if orders["log"] is None and os.path.exists(orders["records"]):
        shutil.copyfile(orders["records"], _beside_ray_log("jsonl"))
    if orders["link"] is not None:
        os.unlink(orders["link"])
    with open(status, encoding="utf-8") as file:
        return int(json.load(file)["exit_code"])


def _follow(pid: int, alive: int, log: str, told: _Told) -> None:
    """Until the supervisor has ended; what the job says goes to Ray's log as well."""
    os.set_blocking(alive, False)
    asked_at = None
    with open(log, "rb") as file:
        ended = False
        while not ended:
            if told.to_end and asked_at is None:
                asked_at = time.monotonic()
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(pid, signal.SIGTERM)
            try:
                ended = os.read(alive, 1) == b""
            except BlockingIOError:
                time.sleep(_POLL_SECONDS)
            # Asked before reading: what was written before the end is then read for certain.
            while piece := file.read(1 << 16):
                os.write(1, piece)
            if asked_at is not None and time.monotonic() - asked_at > _END_SECONDS:
                return  # with us goes the pipe, and the supervisor ends what is left


def _beside_ray_log(suffix: str) -> str:
    """A file that the dashboard serves: in the folder of the log that this process writes to."""
    own = os.readlink("/proc/self/fd/1")
    return os.path.join(os.path.dirname(own), f"{_job_config()['metadata'][_ID_KEY]}.{suffix}")


def main() -> NoReturn:
    """Runs the job; its exit code."""
    here = os.path.dirname(os.path.abspath(__file__))
    told = _Told()
    with open(os.path.join(here, "ray_node.json"), encoding="utf-8") as file:
        orders = json.load(file)
    try:
        code = _run(orders, here, told)
    except (NodeError, OSError) as error:
        line = f"error: {error}\n".encode("utf-8", "surrogateescape")
        os.write(1, line)
        if orders["log"] is not None:
            with open(orders["log"], "ab") as log:
                log.write(line)
        code = 2
    os._exit(code)


if __name__ == "__main__":
    main()
