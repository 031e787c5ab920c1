"""What every executor must do: subclass `ExecutorContract` and name your executor.

The job is run as the recipe command runs it; the tests look only at what the protocol promises.
"""

from __future__ import annotations

import abc
import ast
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.protocol import Executor, Handle, Job, State
from runspec import Runspec, RunspecRun

# Far above what anything here takes: a slow machine is no failure.
PATIENCE_SECONDS = 60

NASTY = {
    "SPACES": "  a  b  ",
    "QUOTES": 'it\'s "quoted" `twice`',
    "DOLLARS": "$HOME ${HOME} $(id) $$ %s %%",
    "NEWLINES": "one\ntwo\r\n\tthree\n",
    "UNICODE": "naïve ☃ 日本",
    "SHELL": "; echo foo & exit 3 | # \\ \\n",
    "EMPTY": "",
}


def make_job(folder: Path, script: str, **changes: Any) -> Job:
    """A job in `folder` that runs `script` with the Python of this test."""
    code = folder / "code of bundle" / "it's"
    code.mkdir(parents=True)
    path = code / "main script.py"
    path.write_text(textwrap.dedent(script), encoding="utf-8")
    job = folder / "job folder $x"
    job.mkdir()
    config = job / "train.yaml"
    config.write_text("a: 1\n", encoding="utf-8")
    made = Job(
        name="test/job",
        folder=job,
        spec=Runspec(run=RunspecRun(launch="direct"), script_path=path),
        code=code,
        script=path,
        source_roots=(code,),
        config=config,
        passthrough=(),
        profile={},
        env={},
        workdir=folder,
        python=JobPython(Path(sys.executable)),
    )
    return replace(made, **changes)


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Polls until `condition()` is true; its value."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail(f"waited {PATIENCE_SECONDS} s for {what}")


def run_job(executor: Executor, job: Job) -> tuple[Handle, int | None, str]:
    """Runs the job to its end: its handle, exit code and log."""
    handle = executor.submit(executor.prepare(job), attached=True)
    status = executor.wait(handle, PATIENCE_SECONDS)
    return handle, status.exit_code, b"".join(executor.logs(handle)).decode()


class ExecutorContract(abc.ABC):
    """The tests; `make_executor` gives a new executor, as another process would have it."""

    @abc.abstractmethod
    def make_executor(self) -> Executor: ...

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        yield self.make_executor()

    def test_prepare_touches_nothing(self, executor: Executor, tmp_path: Path) -> None:
        job = make_job(tmp_path, "")
        before = sorted(tmp_path.rglob("*"))
        text = executor.prepare(job).shell_text()
        assert sorted(tmp_path.rglob("*")) == before
        assert "main script.py" in text

    @pytest.mark.parametrize("code", [0, 1, 3, 255])
    def test_exit_code(self, executor: Executor, tmp_path: Path, code: int) -> None:
        handle, exit_code, _ = run_job(executor, make_job(tmp_path, f"raise SystemExit({code})"))
        assert exit_code == code
        status = executor.status(handle)
        assert status.state is (State.FAILED if code else State.SUCCEEDED)
        assert status.seconds is not None and status.seconds >= 0

    def test_death_by_signal(self, executor: Executor, tmp_path: Path) -> None:
        job = make_job(tmp_path, "import os; os.kill(os.getpid(), 9)")
        assert run_job(executor, job)[1] == 128 + 9

    def test_arguments_arrive_intact(self, executor: Executor, tmp_path: Path) -> None:
        arguments = (*NASTY.values(), "--flag", "key=value", "--", "-c")
        script = "import sys; print(ascii(sys.argv[1:]))"
        job = make_job(tmp_path, script, passthrough=arguments)
        expected = ["--config", str(job.config), *arguments]
        assert run_job(executor, job)[2].strip() == ascii(expected)

    def test_cmd_template(self, executor: Executor, tmp_path: Path) -> None:
        cmd = 'X={b,c}; echo "${X}"; python \'{script}\' --config "{config}"'
        script = "import sys; print(ascii(sys.argv[1:]))"
        job = make_job(tmp_path, script, passthrough=tuple(NASTY.values()))
        job = replace(job, spec=replace(job.spec, run=RunspecRun(launch="ray", cmd=cmd)))
        expected = ["--config", str(job.config), *NASTY.values()]
        assert run_job(executor, job)[2].splitlines() == ["{b,c}", ascii(expected)]

    def test_environment_arrives_intact(self, executor: Executor, tmp_path: Path) -> None:
        script = "import os; print(ascii({k: v for k, v in os.environ.items()}))"
        _, _, log = run_job(executor, make_job(tmp_path, script, env=NASTY))
        seen: dict[str, str] = ast.literal_eval(log)
        assert {name: seen[name] for name in NASTY} == NASTY
        for name in (
            "NEMO_RUN_DIR",
            "NEMO_EXPERIMENT_ID",
            "RUNSPEC_OUTPUT_DIR",
            "RUNSPEC_CODE_DIR",
        ):
            assert seen[name]
        assert Path(seen["RUNSPEC_OUTPUT_DIR"]).is_dir()

    def test_working_directory(self, executor: Executor, tmp_path: Path) -> None:
        workdir = tmp_path / "a 'folder'\nof two lines"
        workdir.mkdir()
        job = make_job(tmp_path, "import os; print(ascii(os.getcwd()))", workdir=workdir)
        assert run_job(executor, job)[2].strip() == ascii(os.path.realpath(workdir))

    def test_missing_working_directory(self, executor: Executor, tmp_path: Path) -> None:
        request = executor.prepare(make_job(tmp_path, "", workdir=tmp_path / "nowhere"))
        with pytest.raises(ExecutionError, match=r"run\.workdir.*nowhere"):
            executor.submit(request, attached=True)

    def test_output_keeps_its_order_and_bytes(self, executor: Executor, tmp_path: Path) -> None:
        script = r"""
            import os, sys
            for n in range(100):
                print("out", n)
                print("err", n, file=sys.stderr)
            os.write(1, b"\xff\x00\x1b[31m\r\n")
        """
        handle = executor.submit(executor.prepare(make_job(tmp_path, script)), attached=True)
        followed = b"".join(executor.logs(handle, follow=True))
        lines = [f"{stream} {n}\n".encode() for n in range(100) for stream in ("out", "err")]
        assert followed == b"".join(lines) + b"\xff\x00\x1b[31m\r\n"
        assert b"".join(executor.logs(handle)) == followed
        executor.wait(handle, PATIENCE_SECONDS)

    def test_logs_follow_while_it_runs(self, executor: Executor, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        script = f"""
            import os, time
            print("first")
            while not os.path.exists({str(gate)!r}): time.sleep(0.01)
            print("second")
        """
        handle = executor.submit(executor.prepare(make_job(tmp_path, script)), attached=True)
        stream = executor.logs(handle, follow=True)
        assert next(stream) == b"first\n"
        assert executor.status(handle).state is State.RUNNING
        gate.touch()
        assert b"".join(stream) == b"second\n"
        assert executor.wait(handle, PATIENCE_SECONDS).exit_code == 0

    def test_another_process_picks_it_up(self, executor: Executor, tmp_path: Path) -> None:
        job = make_job(tmp_path, "import time; print('here'); time.sleep(600)")
        handle = executor.submit(executor.prepare(job), attached=False)
        other = self.make_executor()
        again = Handle.from_json(handle.to_json())
        assert other.wait(again, 0.1).state is State.RUNNING
        wait_for(lambda: b"".join(other.logs(again)) == b"here\n", "the log")
        other.cancel(again)
        assert other.wait(again, PATIENCE_SECONDS).state is State.CANCELLED
        other.cancel(again)
        assert executor.wait(handle, PATIENCE_SECONDS).state is State.CANCELLED

    def test_cancel_lets_the_job_end_in_order(self, executor: Executor, tmp_path: Path) -> None:
        script = """
            import time
            try:
                print("running")
                time.sleep(600)
            except KeyboardInterrupt:
                print("saved")
        """
        handle = executor.submit(executor.prepare(make_job(tmp_path, script)), attached=True)
        stream = executor.logs(handle, follow=True)
        assert next(stream) == b"running\n"
        executor.cancel(handle)
        assert b"".join(stream) == b"saved\n"
        assert executor.wait(handle, PATIENCE_SECONDS).state is State.CANCELLED

    def test_cancel_ends_a_job_that_does_not_want_to(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        script = """
            import signal, subprocess, sys, time
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(signum, signal.SIG_IGN)
            stubborn = "import time; time.sleep(600)"
            children = [
                subprocess.Popen([sys.executable, "-c", stubborn]),
                subprocess.Popen([sys.executable, "-c", stubborn], start_new_session=True),
            ]
            print(*[child.pid for child in children])
            time.sleep(600)
        """
        handle = executor.submit(executor.prepare(make_job(tmp_path, script)), attached=True)
        pids = [int(pid) for pid in next(executor.logs(handle, follow=True)).split()]
        executor.cancel(handle)
        assert executor.wait(handle, PATIENCE_SECONDS).exit_code == 128 + 9
        for pid in pids:
            wait_for(partial(self.has_ended, pid), "the children's end")

    def test_startup_commands_run_first(self, executor: Executor, tmp_path: Path) -> None:
        startup = ['export FROM_STARTUP="it\'s set"', "cat <<EOF\nhere $FROM_STARTUP\nEOF"]
        script = "import os; print(os.environ['FROM_STARTUP'])"
        job = make_job(tmp_path, script, profile={"startup_commands": startup})
        assert run_job(executor, job)[1:] == (0, "here it's set\nit's set\n")

    @pytest.mark.parametrize(
        ("command", "code"),
        [("(exit 7)", 7), ("exit 7", 7), ("exit", 1), ("if", 2), ("set -e\nfalse", 1)],
    )
    def test_failing_startup_command(
        self, executor: Executor, tmp_path: Path, command: str, code: int
    ) -> None:
        profile: Mapping[str, Any] = {"startup_commands": ["true", command]}
        job = make_job(tmp_path, "print('ran')", profile=profile)
        _, exit_code, log = run_job(executor, job)
        assert exit_code == code
        assert (
            f"error: startup command 2/2 ended with exit code {code}: {command.split()[0]}" in log
        )
        assert "ran" not in log

    @abc.abstractmethod
    def has_ended(self, pid: int) -> bool: ...
