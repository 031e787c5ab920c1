"""What the executor `slurm` makes of profiles and of what Slurm says, without a Slurm."""

from __future__ import annotations

import datetime
import shlex
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.job_script import JobScript
from nemo_runspec.execution.protocol import Handle, State
from nemo_runspec.execution.slurm.arrays import Element, Gatherer, place_of
from nemo_runspec.execution.slurm.batch_script import Grace, batch_script
from nemo_runspec.execution.slurm.client import SlurmClient, SlurmJob
from nemo_runspec.execution.slurm.executor import (
    SlurmExecutor,
    SlurmRequest,
    _with_repositories,
    slurm_name,
)
from nemo_runspec.execution.slurm.record import Record, joint_status
from nemo_runspec.execution.slurm.render import Rendered
from nemo_runspec.execution.slurm.settings import SlurmSettings, slurm_settings
from nemo_runspec.jobs import JobPaths
from runspec import RunspecResources, RunspecRun
from tests.nemo_runspec.executor_contract import make_job


def settings_of(folder: Path, profile: Mapping[str, Any], **spec: Any) -> SlurmSettings:
    job = make_job(folder, "", profile=profile)
    return slurm_settings(replace(job, spec=replace(job.spec, **spec)))


# A profile


def test_every_key_of_a_profile(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        {
            "account": "team",
            "partition": "gpu",
            "cpus_per_task": "4",
            "time": datetime.time(4, 0),
            "mem": "64G",
            "mem_per_cpu": 500,
            "exclusive": True,
            "setup_lines": ["module load a", "true"],
            "qos": "high",
            "gres": "gpu:a100:2",
            "constraint": ["fast", "new"],
            "reservation": "r1",
            "exclude": "node[1-3]",
            "comment": "it's",
            "signal": "sigusr1@120",
            "sbatch": {
                "nice": 5,
                "--mail-type": ["END", "FAIL"],
                "hold": True,
                "spread_job": False,
            },
            "srun_args": "--cpu-bind=none --mpi='pmix v3'",
            "nodes": 3,
            "ntasks_per_node": 2,
            "gpus_per_task": 1,
            "cpus_per_gpu": 8,
            "segments": 5,
            "qos_of_nothing": None,
        },
    )
    assert settings == SlurmSettings(
        nodes=3,
        tasks_per_node=2,
        flags={
            "partition": "gpu",
            "qos": "high",
            "reservation": "r1",
            "comment": "it's",
            "gres": "gpu:a100:2",
            "account": "team",
            "mem": "64G",
            "mem_per_cpu": "500",
            "constraint": "fast,new",
            "exclude": "node[1-3]",
            "cpus_per_task": 4,
            "cpus_per_gpu": 8,
            "gpus_per_task": 1,
            "time": "04:00:00",
            "exclusive": True,
            "signal": "B:USR1@120",
            "requeue": True,
            "nice": "5",
            "mail_type": "END,FAIL",
            "hold": True,
        },
        srun_args=("--cpu-bind=none", "--mpi=pmix v3"),
        setup_lines="module load a\ntrue",
        signal="USR1",
        segments=5,
    )


def test_what_the_recipe_says_counts_where_the_profile_is_silent(tmp_path: Path) -> None:
    resources = RunspecResources(nodes=2, gpus_per_node=4)
    settings = settings_of(tmp_path, {}, resources=resources)
    assert (settings.nodes, settings.flags["gpus_per_node"]) == (2, 4)


@pytest.mark.parametrize(
    ("profile", "flag"),
    [
        ({"gpus_per_node": 0}, None),
        ({"gpus_per_node": "gpu"}, None),
        ({"gpus_per_node": "a100:4"}, "a100:4"),
        ({"gres": "shard:2"}, None),
    ],
)
def test_gpus(tmp_path: Path, profile: Mapping[str, Any], flag: str | None) -> None:
    assert settings_of(tmp_path, profile).flags.get("gpus_per_node") == flag


@pytest.mark.parametrize("launch", ["torchrun", "ray"])
def test_one_process_starts_those_of_a_node(tmp_path: Path, launch: str) -> None:
    settings = settings_of(tmp_path, {"ntasks_per_node": 8}, run=RunspecRun(launch=launch))
    assert settings.tasks_per_node == 1


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"cpus_per_task": "many"}, "run.env.cpus_per_task: 'many' is no whole number from 1"),
        ({"nodes": 0}, "run.env.nodes: 0 is no whole number from 1"),
        ({"nodes": True}, "run.env.nodes: True is no whole number from 1"),
        ({"gpus_per_node": -1}, "run.env.gpus_per_node: -1 is no whole number from 0"),
        ({"mem": "a lot"}, "run.env.mem: 'a lot' is no size of memory"),
        ({"time": "4 hours"}, "run.env.time: '4 hours' is no time limit"),
        ({"exclusive": "yes"}, "run.env.exclusive: 'yes' is none of true, false, user"),
        ({"signal": "KILL@60"}, "run.env.signal: 'KILL@60' is no SIGNAL[@SECONDS]"),
        ({"partition": "a\nb"}, r"run.env.partition: 'a\nb' is not one line of text"),
        ({"qos": ["a"]}, "run.env.qos: ['a'] is no text"),
        ({"segments": 0}, "run.env.segments: 0 is no whole number from 1"),
        ({"requeue_on": "node_fail"}, "run.env.requeue_on: 'node_fail' holds 'node_fail'"),
        ({"sbatch": "--nice"}, "run.env.sbatch: '--nice' is no table of options"),
        ({"sbatch": {"n": 1}}, "run.env.sbatch.n: 1 is no long option of sbatch"),
        ({"sbatch": {"job_name": "x"}}, "run.env.sbatch.job_name: 'x' is not for a profile to set"),
        ({"sbatch": {"ntasks": 8}}, "run.env.sbatch.ntasks: 8 is not for a profile to set: nodes"),
        ({"sbatch": {"clusters": "x"}}, "run.env.sbatch.clusters: 'x' is not for a profile to set"),
        ({"srun_args": "'open"}, 'run.env.srun_args: "\'open" is no line of arguments'),
        ({"setup_lines": 3}, "run.env.setup_lines: 3 is no bash"),
    ],
)
def test_a_wrong_value(tmp_path: Path, profile: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ExecutionError) as raised:
        settings_of(tmp_path, profile)
    assert str(raised.value).startswith(message) and "\n" not in str(raised.value)


# A request


def test_the_batch_script_is_bash(tmp_path: Path) -> None:
    job = make_job(tmp_path, "")
    settings = SlurmSettings(2, 1, setup_lines="cat <<END\n@srun@ $HOME\nEND", signal="USR1")
    rendered = Rendered(("#SBATCH --nodes=2",), "srun --kill-on-bad-exit=1")
    text = batch_script(job, settings, rendered, Grace(30, 15))
    assert "@srun@ $HOME" in text
    assert text.count("@") == text.count("@srun@") * 2 + text.count('"$@"')
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_nemo_run_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nemo_run.core.execution.slurm", None)
    job = make_job(tmp_path, "", profile={"gpus_per_node": 0})
    with pytest.raises(Exception, match=r"executor 'slurm' needs NeMo-Run[^\n]*install") as raised:
        SlurmExecutor().prepare(job)
    assert "\n" not in str(raised.value)


def render_in_container(tmp_path: Path, **changes: Any) -> str:
    pytest.importorskip("nemo_run", reason="needs NeMo-Run: pip install nemo_run leptonai==0.27.3")
    job = make_job(tmp_path, "", image="/nemo_run/my image.sqsh", profile={"gpus_per_node": 0})
    request = SlurmExecutor().prepare(replace(job, **changes))
    return next(line for line in request.batch.splitlines() if line.strip().startswith("srun "))


def test_a_container_sees_what_the_job_needs(tmp_path: Path) -> None:
    profile = {"gpus_per_node": 0, "mounts": ["/lustre", "/nemo_run/data:/nemo_run:ro"]}
    store = tmp_path / "the store"
    line = render_in_container(tmp_path, profile=profile, store=store, output=store / "x")
    code = tmp_path / "code of bundle"
    mounts = f"/lustre:/lustre,/nemo_run/data:/nemo_run:ro,{tmp_path}/job folder $x:{tmp_path}"
    assert "--container-image '/nemo_run/my image.sqsh'" in line
    assert f"--container-mounts '{mounts}/job folder $x,{code}:{code},{store}:{store}'" in line
    assert "--container-workdir" not in line and "--chdir" not in line and "--wait" not in line


def test_repositories_whose_names_begin_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"RL": "/opt/rl", "RL-extras": "/opt/extras"}
    mounts = {name: {"url": "u", "ref": "r", "target": to} for name, to in names.items()}
    monkeypatch.setattr("nemo_runspec.execution.slurm.executor.get_git_mounts", lambda: mounts)
    monkeypatch.setattr(
        "nemo_runspec.execution.git_mounts.clone_git_repos_via_tunnel",
        lambda *_: [f"/cache/{name}:{to}" for name, to in names.items()],
    )
    batch = "srun --container-mounts __auto_mount__:RL-extras,__auto_mount__:RL"
    assert _with_repositories(batch, tmp_path) == (
        "srun --container-mounts /cache/RL-extras:/opt/extras,/cache/RL:/opt/rl"
    )


def test_a_folder_that_no_container_can_have(tmp_path: Path) -> None:
    with pytest.raises(ExecutionError, match="a comma or a colon in its name"):
        render_in_container(tmp_path, output=tmp_path / "a,b")


def test_names_tell_folders_apart() -> None:
    one, other = slurm_name(Path("/a/it's")), slurm_name(Path("/b/it's"))
    assert one != other
    assert one.rpartition(".")[0] == other.rpartition(".")[0] == "it-s"


# What it comes to

RECORD = Record("7", "running", 2, 10.0, None, None, "")


@pytest.mark.parametrize(
    ("record", "job", "state", "why"),
    [
        (None, ("PENDING", "Resources"), State.PENDING, "waits for resources"),
        (None, ("PENDING", "SomethingNew"), State.PENDING, "SomethingNew"),
        (RECORD, ("PENDING", "BeginTime"), State.PENDING, "waits to start again"),
        (RECORD, ("RUNNING", ""), State.RUNNING, None),
        (RECORD, ("COMPLETING", ""), State.RUNNING, None),
        (
            replace(RECORD, state="requeued", why="time limit"),
            ("COMPLETING", ""),
            State.PENDING,
            "time limit",
        ),
        # It saved in time and ended well, and Slurm could not be asked to start it again.
        (
            replace(RECORD, state="requeued", why="time limit"),
            ("COMPLETED", ""),
            State.UNFINISHED,
            "time limit",
        ),
        (RECORD, ("TIMEOUT", ""), State.UNFINISHED, "time limit"),
        (RECORD, ("PREEMPTED", ""), State.UNFINISHED, "preemption"),
        (RECORD, ("NODE_FAIL", ""), State.UNFINISHED, "node failure"),
        (RECORD, ("CANCELLED", ""), State.CANCELLED, None),
        (RECORD, ("OUT_OF_MEMORY", ""), State.FAILED, "out of memory"),
        (RECORD, ("FAILED", "NonZeroExitCode"), State.FAILED, "NonZeroExitCode"),
        (None, ("COMPLETED", ""), State.SUCCEEDED, None),
        (RECORD, None, State.LOST, "Slurm does not know it any more"),
        (None, None, State.LOST, "Slurm does not know it any more"),
    ],
)
def test_what_slurm_says(
    record: Record | None, job: tuple[str, str] | None, state: State, why: str | None
) -> None:
    known = None if job is None else SlurmJob("7", "x", *job)
    status = joint_status(record, known, is_cancelled=False)
    assert (status.state, status.why) == (state, why)
    assert status.attempt == (record and record.attempt)


def test_an_end_that_was_asked_for(tmp_path: Path) -> None:
    for known in (None, SlurmJob("7", "x", "FAILED", exit_code=128 + 12)):
        assert joint_status(RECORD, known, is_cancelled=True).state is State.CANCELLED


# Slurm's commands


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Makes a command of Slurm's out of bash; gives the file that has a line for each call."""
    commands = tmp_path / "bin"
    commands.mkdir()
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")

    def make(name: str, text: str) -> Path:
        calls = tmp_path / f"{name}.calls"
        calls.touch()
        (commands / name).write_text(f"#!/bin/bash\nprintf '%s\\n' \"$*\" >>'{calls}'\n{text}\n")
        (commands / name).chmod(0o755)
        return calls

    return make


def submitted(folder: Path, id: str) -> Handle:
    """The handle of a job that was submitted from a folder of its own."""
    job = folder / f"job {id}"
    job.mkdir()
    JobPaths(job).command.touch()
    return Handle("slurm", str(job), id)


def test_one_question_serves_all_jobs(tmp_path: Path, command: Callable[[str, str], Path]) -> None:
    handles = [submitted(tmp_path, str(id)) for id in range(20)]
    rows = "\n".join(
        f"{handle.id}|RUNNING|None|100|N/A|{slurm_name(Path(handle.folder))}" for handle in handles
    )
    calls = command("squeue", f"sleep 0.1; cat <<'END'\n{rows}\nEND")
    executor = SlurmExecutor(SlurmClient(period=60))
    states = []
    threads = [
        threading.Thread(target=lambda handle=handle: states.append(executor.status(handle).state))
        for handle in handles * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states == [State.RUNNING] * 60
    assert len(calls.read_text().splitlines()) == 1


def test_a_number_that_now_is_another_jobs(
    tmp_path: Path, command: Callable[[str, str], Path]
) -> None:
    command("squeue", "echo '7|RUNNING|None|100|N/A|somebody.else'")
    executor = SlurmExecutor(SlurmClient(period=60))
    assert executor.status(submitted(tmp_path, "7")).state is State.LOST


def test_a_job_that_only_scontrol_knows(
    tmp_path: Path, command: Callable[[str, str], Path]
) -> None:
    handle = submitted(tmp_path, "7")
    name = slurm_name(Path(handle.folder))
    command("squeue", "true")
    calls = command(
        "scontrol",
        f"echo 'JobId=7 JobName={name} UserId=me(1) JobState=TIMEOUT Reason=TimeLimit "
        "ExitCode=0:15 StartTime=100 EndTime=160'",
    )
    executor = SlurmExecutor(SlurmClient(period=60))
    for _ in range(3):
        status = executor.status(handle)
    assert (status.state, status.exit_code, status.seconds) == (State.UNFINISHED, 143, 60)
    assert len(calls.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("said", "pattern"),
    [
        (
            "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
            "squeue: Unable to contact slurm controller",
        ),
        (
            "squeue: error: Munge encode failed: Failed to access the socket\n"
            "slurm_load_jobs error: Protocol authentication error",
            "squeue: Munge encode failed.*; Protocol authentication error",
        ),
    ],
)
def test_a_slurm_that_does_not_answer(
    said: str, pattern: str, tmp_path: Path, command: Callable[[str, str], Path]
) -> None:
    command("squeue", f"printf '%s\\n' {shlex.quote(said)} >&2; exit 1")
    executor = SlurmExecutor(SlurmClient(period=0, patience=0))
    handle = submitted(tmp_path, "7")
    with pytest.raises(UnreachableError, match=pattern):
        executor.status(handle)
    with pytest.raises(UnreachableError):
        executor.wait(handle)


def test_a_job_that_is_cancelled_while_it_waits(
    tmp_path: Path, command: Callable[[str, str], Path]
) -> None:
    handle = submitted(tmp_path, "7")
    paths = JobPaths(Path(handle.folder))
    paths.secrets.touch()
    calls = command("scancel", "true")
    SlurmExecutor(SlurmClient(period=0)).cancel(handle)
    assert calls.read_text() == "--state=PENDING 7\n--batch --signal=USR2 7\n"
    assert paths.cancel.exists() and not paths.secrets.exists()


def test_an_array_that_slurm_takes_before_one_that_it_does_not(
    tmp_path: Path, command: Callable[[str, str], Path]
) -> None:
    command("scontrol", "echo 'MaxArraySize = 2'")
    command(
        "sbatch", f"mkdir '{tmp_path}/first' 2>/dev/null && echo 7 || {{ echo no >&2; exit 1; }}"
    )
    client = SlurmClient(period=0)
    gatherer = Gatherer(client, window=1)
    came: list[str] = []

    def alone(folder: Path) -> str:
        assert place_of(folder) is None
        return "alone"

    def submit(name: str) -> None:
        folder = tmp_path / "jobs" / name
        folder.mkdir(parents=True)
        came.append(gatherer.submit(Element(folder, ()), lambda: alone(folder), lambda _: None))

    threads = [threading.Thread(target=submit, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(came) == ["7_0", "7_1", "alone", "alone"]


def test_accounting_that_fails_is_not_one_that_is_not_there(
    tmp_path: Path, command: Callable[[str, str], Path]
) -> None:
    command("squeue", "true")
    command("scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    command("sacct", "echo 'sacct: error: slurmdbd: Unspecified error' >&2; exit 1")
    with pytest.raises(ExecutionError, match="sacct: slurmdbd: Unspecified error"):
        SlurmExecutor(SlurmClient(period=0)).status(submitted(tmp_path, "7"))
    command("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert SlurmExecutor(SlurmClient(period=0)).status(submitted(tmp_path, "8")).state is State.LOST


def test_a_job_that_was_taken_is_no_failure_where_nothing_can_be_written(
    tmp_path: Path, command: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlurmExecutor, "stage", lambda *_: None)
    command("sbatch", "echo 7")
    JobPaths(tmp_path).handle.mkdir()  # whoever we are
    request = SlurmRequest(
        tmp_path, "n", "", "", JobScript("", "", {}), tmp_path, tmp_path, has_image=False
    )
    assert SlurmExecutor(SlurmClient()).submit(request, attached=False).id == "7"


def test_no_slurm_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExecutionError, match='squeue: no such command.* tunnel = "ssh"'):
        SlurmExecutor(SlurmClient()).status(submitted(tmp_path, "7"))


def test_the_record_is_believed_before_slurm(tmp_path: Path) -> None:
    handle = submitted(tmp_path, "7")
    paths = JobPaths(Path(handle.folder))
    paths.secrets.touch()
    paths.status.write_text(
        '{"attempt": 2, "ended_at": 12.5, "exit_code": 3, "job_id": "7", "started_at": 10.0, '
        '"state": "failed", "why": ""}'
    )
    status = SlurmExecutor(SlurmClient()).status(handle)
    assert (status.state, status.exit_code, status.seconds) == (State.FAILED, 3, 2.5)
    assert not paths.secrets.exists()


def test_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    handle = submitted(tmp_path, "7")
    path = JobPaths(Path(handle.folder)).status
    path.write_text("{}")
    with pytest.raises(ExecutionError, match=r"status\.json: not a job's record"):
        SlurmExecutor(SlurmClient()).status(handle)
