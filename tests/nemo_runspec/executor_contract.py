"""What every executor must do: subclass `ExecutorContract` and name your executor.

The job is run as the recipe command runs it; the tests look only at what the protocol promises.

    class TestMyExecutor(ExecutorContract):
        def make_executor(self) -> Executor:
            return MyExecutor()

is enough for an executor whose jobs are processes of this machine. The other methods above the
tests say what yours needs beyond that: `profile`, the keys of env.toml that every job has (account,
partition, address, …); `make_folder`, where folders lie that its nodes see; `places`, which are
searched for secrets; `other_environment` and `other_executor`, by which a process of its own finds
the cluster.

An executor of a cluster subclasses `ClusterContract`, which adds what happens while jobs wait, when
nodes are lost and when nobody answers, and asks for the methods that bring this about.

Every job's `python` is this test's own interpreter, which a cluster's job takes as it is.
"""

from __future__ import annotations

import abc
import ast
import json
import multiprocessing
import os
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.protocol import Executor, Handle, Job, State
from nemo_runspec.execution.supervisor import find_process
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

# Never in one piece in a file of the tests' own: it is searched for.
SECRET = "-".join(["hush", "$HOME", 'it\'s "so"', "cf1b9e0"])
# The password of an address is a secret too, whatever its variable is called.
SECRET_ADDRESS = "https://somebody:" + "-".join(["hush", "77aa01"]) + "@example.invalid/x"

ENDLESS = "import time; print('here'); time.sleep(600)"

# Its first attempt never ends, its second does at once.
GOES_ON = """
    import os, time
    from pathlib import Path

    attempt = os.environ["RUNSPEC_ATTEMPT"]
    with open(Path(os.environ["RUNSPEC_OUTPUT_DIR"], "attempts"), "a") as file:
        print(attempt, file=file)
    if attempt == "1":
        time.sleep(600)
"""

OTHER_PROCESS = """
import sys
from nemo_runspec.execution.protocol import Handle, State

handle = Handle.from_json(sys.stdin.read())
executor = {executor}
log = b""
for piece in executor.logs(handle, follow=True):
    log += piece
    if log == b"here\\n":
        break
before = executor.status(handle).state
executor.cancel(handle)
after = executor.wait(handle, {patience}).state
print(before.value, after.value)
"""


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


def wait_for(condition: Callable[[], Any], what: str, *, patience: float = PATIENCE_SECONDS) -> Any:
    """Polls until `condition()` is true; its value."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail(f"waited {patience} s for {what}")


def run_job(
    executor: Executor, job: Job, *, patience: float = PATIENCE_SECONDS
) -> tuple[Handle, int | None, str]:
    """Runs the job to its end: its handle, exit code and log."""
    handle = executor.submit(executor.prepare(job), attached=True)
    status = executor.wait(handle, patience)
    return handle, status.exit_code, b"".join(executor.logs(handle)).decode()


def files_with(text: str, places: Sequence[Path]) -> list[Path]:
    """The files below `places` that hold `text`, as it is or as JSON and shells write it."""
    forms = {text, json.dumps(text)[1:-1], text.replace("'", "'\"'\"'"), text.replace("'", "'\\''")}
    wanted = [form.encode() for form in forms]
    found = []
    for place in places:
        for path in place.rglob("*"):
            try:
                content = path.read_bytes() if path.is_file() else b""
            except OSError:  # it has gone meanwhile, or is no file that can be read
                continue
            if any(form in content for form in wanted):
                found.append(path)
    return found


def command_lines_with(text: str) -> list[str]:
    """The command lines of this machine's processes that hold `text`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if text.encode() in line:
            found.append(line.decode(errors="replace"))
    return found


class ExecutorContract(abc.ABC):
    """The tests; `make_executor` gives a new executor, as another process would have it."""

    # How long anything may take, in seconds.
    patience: ClassVar[float] = PATIENCE_SECONDS
    # The exit codes that a job may have in the end which had to be killed.
    codes_of_killed: ClassVar[frozenset[int | None]] = frozenset({None, 128 + 9, 128 + 15})
    # Whether its end reaches processes that left for a session of their own; a scheduler that
    # counts by control groups does that, one that counts by parents does not.
    ends_other_sessions: ClassVar[bool] = True

    @abc.abstractmethod
    def make_executor(self) -> Executor: ...

    def make_folder(self, tmp_path: Path) -> Path:
        """A folder that submitter and nodes see by the same path."""
        return tmp_path

    def profile(self) -> Mapping[str, Any]:
        """What the profile of every job holds."""
        return {}

    def places(self, folder: Path) -> Sequence[Path]:
        """Where secrets are searched for: the test's folder, and what the cluster keeps itself."""
        return [folder]

    def has_ended(self, pid: int) -> bool:
        """Whether a process of a job has ended."""
        return find_process(pid) is None

    def other_environment(self) -> Mapping[str, str]:
        """The environment of another process that picks jobs up, but for PYTHONPATH."""
        return os.environ

    def other_executor(self) -> str:
        """What makes the executor in another process: an expression that knows `handle`."""
        registry = "__import__('nemo_runspec.execution.registry', fromlist=['_'])"
        return f"{registry}.get_executor(handle.executor)"

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        yield self.make_executor()

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return self.make_folder(tmp_path)

    def job(self, folder: Path, script: str, **changes: Any) -> Job:
        """A job of this executor; a `profile` among the changes adds to that of all jobs."""
        profile = {**self.profile(), **changes.pop("profile", {})}
        return make_job(folder, script, profile=profile, **changes)

    def start(self, executor: Executor, job: Job, *, attached: bool = True) -> Handle:
        return executor.submit(executor.prepare(job), attached=attached)

    def run(self, executor: Executor, job: Job) -> tuple[Handle, int | None, str]:
        return run_job(executor, job, patience=self.patience)

    def wait_for(self, condition: Callable[[], Any], what: str) -> Any:
        return wait_for(condition, what, patience=self.patience)

    def has_said(self, executor: Executor, handle: Handle, text: bytes) -> bool:
        return text in b"".join(executor.logs(handle))

    def goes_on(
        self,
        executor: Executor,
        folder: Path,
        end: Callable[[Handle], None],
        states: set[State],
    ) -> None:
        """Whoever starts it again, the executor or its caller: same output, the next attempt."""
        output = folder / "its output"
        job = self.job(folder, GOES_ON, output=output)
        handle = self.start(executor, job, attached=False)
        told = output / "attempts"
        self.wait_for(lambda: told.exists() and told.read_text() == "1\n", "the first attempt")
        end(handle)
        status = executor.wait(handle, self.patience)
        if status.state is not State.SUCCEEDED:
            assert status.state in states
            again = folder / "once more"
            again.mkdir()
            job = replace(job, folder=again, attempt=2)
            status = executor.wait(self.start(executor, job, attached=False), self.patience)
        assert status.state is State.SUCCEEDED
        assert told.read_text() == "1\n2\n"

    # What a request is

    def test_prepare_touches_nothing(self, executor: Executor, folder: Path) -> None:
        job = self.job(folder, "")
        before = sorted(folder.rglob("*"))
        text = executor.prepare(job).shell_text()
        assert sorted(folder.rglob("*")) == before
        assert "main script.py" in text

    # How a job ends

    @pytest.mark.parametrize("code", [0, 1, 3, 255])
    def test_exit_code(self, executor: Executor, folder: Path, code: int) -> None:
        job = self.job(folder, f"raise SystemExit({code})")
        handle, exit_code, _ = self.run(executor, job)
        assert exit_code == code
        status = executor.status(handle)
        assert status.state is (State.FAILED if code else State.SUCCEEDED)
        assert status.seconds is not None and status.seconds >= 0

    def test_death_by_signal(self, executor: Executor, folder: Path) -> None:
        job = self.job(folder, "import os; os.kill(os.getpid(), 9)")
        handle, exit_code, _ = self.run(executor, job)
        assert exit_code == 128 + 9
        assert executor.status(handle).state is State.FAILED

    def test_the_end_is_told_as_long_as_the_folder_is_there(
        self, executor: Executor, folder: Path
    ) -> None:
        handle, _, log = self.run(executor, self.job(folder, "print('done')"))
        other = self.make_executor()
        assert other.wait(handle, self.patience) == executor.status(handle)
        other.cancel(handle)
        assert other.status(handle).state is State.SUCCEEDED
        assert b"".join(other.logs(handle, follow=True)).decode() == log == "done\n"

    def test_a_job_that_nobody_started(self, executor: Executor, folder: Path) -> None:
        job = self.job(folder, "")
        assert executor.find(job.folder) is None
        with pytest.raises(ExecutionError):
            executor.status(Handle(executor.name, str(job.folder), "999999999"))

    # What reaches it

    def test_arguments_arrive_intact(self, executor: Executor, folder: Path) -> None:
        arguments = (*NASTY.values(), "--flag", "key=value", "--", "-c")
        script = "import sys; print(ascii(sys.argv[1:]))"
        job = self.job(folder, script, passthrough=arguments)
        expected = ["--config", str(job.config), *arguments]
        assert self.run(executor, job)[2].strip() == ascii(expected)

    def test_cmd_template(self, executor: Executor, folder: Path) -> None:
        cmd = 'X={b,c}; echo "${X}"; python \'{script}\' --config "{config}"'
        script = "import sys; print(ascii(sys.argv[1:]))"
        job = self.job(folder, script, passthrough=tuple(NASTY.values()))
        job = replace(job, spec=replace(job.spec, run=RunspecRun(launch="direct", cmd=cmd)))
        expected = ["--config", str(job.config), *NASTY.values()]
        assert self.run(executor, job)[2].splitlines() == ["{b,c}", ascii(expected)]

    def test_environment_arrives_intact(self, executor: Executor, folder: Path) -> None:
        script = "import os; print(ascii({k: v for k, v in os.environ.items()}))"
        _, _, log = self.run(executor, self.job(folder, script, env=NASTY))
        seen: dict[str, str] = ast.literal_eval(log)
        assert {name: seen[name] for name in NASTY} == NASTY
        for name in (
            "NEMO_RUN_DIR",
            "NEMO_EXPERIMENT_ID",
            "RUNSPEC_OUTPUT_DIR",
            "RUNSPEC_CODE_DIR",
        ):
            assert seen[name]
        assert seen["RUNSPEC_ATTEMPT"] == "1"
        assert Path(seen["RUNSPEC_OUTPUT_DIR"]).is_dir()

    def test_working_directory(self, executor: Executor, folder: Path) -> None:
        workdir = folder / "a 'folder'\nof two lines"
        workdir.mkdir()
        job = self.job(folder, "import os; print(ascii(os.getcwd()))", workdir=workdir)
        assert self.run(executor, job)[2].strip() == ascii(os.path.realpath(workdir))

    def test_missing_working_directory(self, executor: Executor, folder: Path) -> None:
        job = self.job(folder, "print('ran')", workdir=folder / "nowhere")
        # Only a node may know that there is no such folder: then the job's log says so.
        try:
            handle, exit_code, told = self.run(executor, job)
        except ExecutionError as error:
            told = str(error)
        else:
            assert exit_code and executor.status(handle).state is State.FAILED
        assert "run.workdir" in told and "nowhere" in told and "ran\n" not in told

    def test_startup_commands_run_first(self, executor: Executor, folder: Path) -> None:
        startup = ['export FROM_STARTUP="it\'s set"', "cat <<EOF\nhere $FROM_STARTUP\nEOF"]
        script = "import os; print(os.environ['FROM_STARTUP'])"
        job = self.job(folder, script, profile={"startup_commands": startup})
        assert self.run(executor, job)[1:] == (0, "here it's set\nit's set\n")

    @pytest.mark.parametrize(
        ("command", "code"),
        [("(exit 7)", 7), ("exit 7", 7), ("exit", 1), ("if", 2), ("set -e\nfalse", 1)],
    )
    def test_failing_startup_command(
        self, executor: Executor, folder: Path, command: str, code: int
    ) -> None:
        profile: Mapping[str, Any] = {"startup_commands": ["true", command]}
        _, exit_code, log = self.run(executor, self.job(folder, "print('ran')", profile=profile))
        assert exit_code == code
        assert (
            f"error: startup command 2/2 ended with exit code {code}: {command.split()[0]}" in log
        )
        assert "ran" not in log

    def test_torchrun(self, executor: Executor, folder: Path) -> None:
        # That module is made of this one.
        from tests.nemo_runspec.torch_jobs import VARIABLE, results, torch_job, torch_python

        python = torch_python()
        if python is None:
            pytest.skip(
                "no interpreter imports torch: `apt-get install python3-torch`, or set "
                f"{VARIABLE}=PYTHON to one that does"
            )
        job = torch_job(folder, python, 2)
        job = replace(job, profile={**self.profile(), **job.profile})
        _, exit_code, log = self.run(executor, job)
        assert exit_code == 0, log
        assert results(log) == ["0 of 2: 11", "1 of 2: 11"]

    # Secrets

    def test_secrets_reach_the_job_and_stay_nowhere(self, executor: Executor, folder: Path) -> None:
        gate = folder / "gate"
        script = f"""
            import os, time
            # As numbers: the log is searched for them as well.
            print([os.environ[name].encode().hex() for name in ("SOME_API_KEY", "MIRROR")])
            while not os.path.exists({str(gate)!r}): time.sleep(0.01)
        """
        env = {"SOME_API_KEY": SECRET, "MIRROR": SECRET_ADDRESS, "PLAIN": "plain value"}
        secrets = (SECRET, SECRET_ADDRESS)
        job = self.job(folder, script, env=env)
        request = executor.prepare(job)
        text = request.shell_text()
        assert "plain value" in text
        assert not any(secret in text or json.dumps(secret)[1:-1] in text for secret in secrets)
        handle = executor.submit(request, attached=False)
        said = str([secret.encode().hex() for secret in secrets]).encode()
        self.wait_for(lambda: self.has_said(executor, handle, said), "the job's own secrets")
        for secret in secrets:
            holding = files_with(secret, self.places(folder))
            assert {stat.S_IMODE(path.stat().st_mode) for path in holding} <= {0o600}, holding
            assert not command_lines_with(secret)
        gate.touch()
        assert executor.wait(handle, self.patience).state is State.SUCCEEDED
        for secret in secrets:
            assert not files_with(secret, self.places(folder))

    def test_secrets_of_a_cancelled_job_stay_nowhere(
        self, executor: Executor, folder: Path
    ) -> None:
        job = self.job(folder, ENDLESS, env={"SOME_API_KEY": SECRET})
        handle = self.start(executor, job, attached=False)
        self.wait_for(lambda: self.has_said(executor, handle, b"here\n"), "the job")
        executor.cancel(handle)
        assert executor.wait(handle, self.patience).state is State.CANCELLED
        assert not files_with(SECRET, self.places(folder))

    def test_secret_arguments_are_not_shown(self, executor: Executor, folder: Path) -> None:
        job = self.job(folder, "", passthrough=("--api-key", SECRET))
        text = executor.prepare(job).shell_text()
        assert "--api-key" in text and "cf1b9e0" not in text

    # Its log

    def test_output_keeps_its_order_and_bytes(self, executor: Executor, folder: Path) -> None:
        script = r"""
            import os, sys
            for n in range(100):
                print("out", n)
                print("err", n, file=sys.stderr)
            os.write(1, b"\xff\x00\x1b[31m\r\n")
        """
        handle = self.start(executor, self.job(folder, script))
        followed = b"".join(executor.logs(handle, follow=True))
        lines = [f"{stream} {n}\n".encode() for n in range(100) for stream in ("out", "err")]
        assert followed == b"".join(lines) + b"\xff\x00\x1b[31m\r\n"
        assert b"".join(executor.logs(handle)) == followed
        executor.wait(handle, self.patience)

    def test_logs_follow_while_it_runs(self, executor: Executor, folder: Path) -> None:
        gate = folder / "gate"
        script = f"""
            import os, time
            print("first")
            while not os.path.exists({str(gate)!r}): time.sleep(0.01)
            print("second")
        """
        handle = self.start(executor, self.job(folder, script))
        stream = executor.logs(handle, follow=True)
        assert next(stream) == b"first\n"
        assert executor.status(handle).state is State.RUNNING
        gate.touch()
        assert b"".join(stream) == b"second\n"
        assert executor.wait(handle, self.patience).exit_code == 0

    # By handle, from anywhere

    def test_wait_ends_when_it_is_told_to(self, executor: Executor, folder: Path) -> None:
        handle = self.start(executor, self.job(folder, ENDLESS))
        assert not executor.wait(handle, 0.1).state.is_final
        assert not executor.wait(handle, 0).state.is_final
        executor.cancel(handle)
        assert executor.wait(handle, self.patience).state is State.CANCELLED

    def test_another_executor_picks_it_up(self, executor: Executor, folder: Path) -> None:
        handle = self.start(executor, self.job(folder, ENDLESS), attached=False)
        other = self.make_executor()
        again = Handle.from_json(handle.to_json())
        self.wait_for(lambda: b"".join(other.logs(again)) == b"here\n", "the log")
        assert other.wait(again, 0.1).state is State.RUNNING
        other.cancel(again)
        assert other.wait(again, self.patience).state is State.CANCELLED
        other.cancel(again)
        assert executor.wait(handle, self.patience).state is State.CANCELLED

    def test_another_process_picks_it_up(self, executor: Executor, folder: Path) -> None:
        handle = self.start(executor, self.job(folder, ENDLESS), attached=False)
        program = OTHER_PROCESS.format(executor=self.other_executor(), patience=self.patience)
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=handle.to_json(),
            env={**self.other_environment(), "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * self.patience,
        )
        assert (done.returncode, done.stdout.split()) == (0, ["running", "cancelled"]), done.stderr
        assert executor.wait(handle, self.patience).state is State.CANCELLED

    def test_its_submitter_may_go(self, folder: Path) -> None:
        gate = folder / "gate"
        script = f"""
            import os, time
            while not os.path.exists({str(gate)!r}): time.sleep(0.01)
            print("went on")
        """
        job = self.job(folder, script)

        def submit_and_die() -> None:
            self.start(self.make_executor(), job, attached=False)
            os.kill(os.getpid(), 9)

        process = multiprocessing.get_context("fork").Process(target=submit_and_die)
        process.start()
        process.join(self.patience)
        assert process.exitcode == -9
        # The handle went with it; a handle that was kept finds the same.
        executor = self.make_executor()
        handle = executor.find(job.folder)
        assert handle is not None
        assert (handle.executor, handle.folder) == (executor.name, str(job.folder))
        assert not executor.status(handle).state.is_final
        gate.touch()
        assert executor.wait(handle, self.patience).state is State.SUCCEEDED
        assert b"".join(executor.logs(handle)) == b"went on\n"

    def test_find(self, executor: Executor, folder: Path) -> None:
        job = self.job(folder, ENDLESS)
        assert executor.find(job.folder) is None
        request = executor.prepare(job)
        assert executor.find(job.folder) is None
        handle = executor.submit(request, attached=False)
        assert self.make_executor().find(job.folder) == handle
        executor.cancel(handle)
        executor.wait(handle, self.patience)
        assert self.make_executor().find(job.folder) == handle

    # Cancelling

    def test_cancel_lets_the_job_end_in_order(self, executor: Executor, folder: Path) -> None:
        # As a person's Ctrl-C or as a scheduler does it.
        script = """
            import signal, time
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            try:
                print("running")
                time.sleep(600)
            except KeyboardInterrupt:
                print("saved")
        """
        handle = self.start(executor, self.job(folder, script))
        stream = executor.logs(handle, follow=True)
        assert next(stream) == b"running\n"
        executor.cancel(handle)
        # A scheduler may add a line of its own.
        assert b"saved" in b"".join(stream).splitlines()
        assert executor.wait(handle, self.patience).state is State.CANCELLED

    def test_cancel_ends_a_job_that_does_not_want_to(
        self, executor: Executor, folder: Path
    ) -> None:
        script = f"""
            import signal, subprocess, sys, time
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(signum, signal.SIG_IGN)
            stubborn = "import time; time.sleep(600)"
            sessions = [False, *([True] if {self.ends_other_sessions} else [])]
            children = [
                subprocess.Popen([sys.executable, "-c", stubborn], start_new_session=new)
                for new in sessions
            ]
            print(*[child.pid for child in children])
            time.sleep(600)
        """
        handle = self.start(executor, self.job(folder, script))
        pids = [int(pid) for pid in next(executor.logs(handle, follow=True)).split()]
        executor.cancel(handle)
        status = executor.wait(handle, self.patience)
        assert status.state is State.CANCELLED
        assert status.exit_code in self.codes_of_killed
        for pid in pids:
            self.wait_for(partial(self.has_ended, pid), "the children's end")


class ClusterContract(ExecutorContract):
    """What an executor of a cluster must do besides; the jobs here are never of this machine."""

    @abc.abstractmethod
    def waiting_profile(self) -> Mapping[str, Any]:
        """A profile with which a job waits for ever and is not started."""

    @abc.abstractmethod
    def lose_worker(self, handle: Handle) -> None:
        """Takes away what runs the job, at once and without a word."""

    @abc.abstractmethod
    def interrupt(self, handle: Handle) -> None:
        """Lets the job come to what the executor calls unfinished: its time limit, say."""

    @abc.abstractmethod
    def unreachable(self) -> AbstractContextManager[None]:
        """Nobody answers meanwhile; the jobs run on."""

    def test_cancel_of_a_waiting_job(self, executor: Executor, folder: Path) -> None:
        job = self.job(folder, "print('ran')", profile=self.waiting_profile())
        handle = self.start(executor, job, attached=False)
        assert executor.wait(handle, 1).state is State.PENDING
        assert b"".join(executor.logs(handle)) == b""
        executor.cancel(handle)
        executor.cancel(handle)
        assert executor.wait(handle, self.patience).state is State.CANCELLED
        assert b"ran" not in b"".join(executor.logs(handle, follow=True))

    def test_a_lost_worker(self, executor: Executor, folder: Path) -> None:
        self.goes_on(executor, folder, self.lose_worker, {State.UNFINISHED, State.LOST})

    def test_an_unfinished_job_goes_on(self, executor: Executor, folder: Path) -> None:
        self.goes_on(executor, folder, self.interrupt, {State.UNFINISHED})

    def test_silence_is_no_end(self, executor: Executor, folder: Path) -> None:
        gate = folder / "gate"
        script = f"""
            import os, time
            print("here")
            while not os.path.exists({str(gate)!r}): time.sleep(0.01)
        """
        job = self.job(folder, script)
        elsewhere = folder / "another"
        elsewhere.mkdir()
        other = self.job(elsewhere, "print('ran')")
        handle = self.start(executor, job, attached=False)
        self.wait_for(lambda: self.has_said(executor, handle, b"here\n"), "the job")
        with self.unreachable():
            asked = self.make_executor()
            state = answer(lambda: asked.status(handle))
            assert state is None or not state.state.is_final
            found = answer(lambda: [asked.find(job.folder)])
            assert found is None or found == [handle]
            with pytest.raises(UnreachableError):
                self.start(asked, other, attached=False)
        assert self.make_executor().find(other.folder) is None
        gate.touch()
        assert executor.wait(handle, self.patience).state is State.SUCCEEDED


def answer(ask: Callable[[], Any]) -> Any:
    """What was answered; None if nobody did."""
    try:
        return ask()
    except UnreachableError:
        return None
