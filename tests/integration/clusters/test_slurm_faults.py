"""What can befall a job on a real Slurm, and what its executor makes of it."""

from __future__ import annotations

import os
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.protocol import Handle, Job, State, Status
from nemo_runspec.execution.slurm.batch_script import Grace
from nemo_runspec.execution.slurm.client import SlurmClient
from nemo_runspec.execution.slurm.executor import SlurmExecutor, slurm_name
from nemo_runspec.jobs import JobPaths
from runspec import RunspecRun
from tests.integration.clusters.ray_cluster import missing_ray, ray_python
from tests.integration.clusters.slurm_cluster import (
    SlurmCluster,
    missing_packages,
    slurm_cluster,
)
from tests.nemo_runspec.executor_contract import (
    ENDLESS,
    GOES_ON,
    PATIENCE_SECONDS,
    command_lines_with,
    files_with,
    make_job,
    run_job,
    wait_for,
)
from tests.nemo_runspec.torch_jobs import results, torch_job, torch_python

pytest.importorskip("nemo_run", reason="needs NeMo-Run: pip install nemo_run leptonai==0.27.3")

# Waits for whoever sends SIGUSR1; with the second attempt, it is done at once.
SAVES = """
    import os, signal, sys, time
    from pathlib import Path

    saved = Path(os.environ["RUNSPEC_OUTPUT_DIR"], "saved")
    if saved.exists():
        print("goes on from", saved.read_text())
        sys.exit()

    def save(signum, frame):
        time.sleep(0.5)
        saved.write_text(signal.Signals(signum).name)
        print("saved")
        sys.exit(9)

    signal.signal(signal.SIGUSR1, save)
    print("here")
    time.sleep(600)
"""


# As torchrun does it: the process that saves is in a session of its own.
STARTS_ANOTHER = f"""
    import os, signal, subprocess, sys, textwrap

    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    code = textwrap.dedent({SAVES!r})
    sys.exit(subprocess.call([sys.executable, "-c", code], start_new_session=True))
"""


@pytest.fixture
def executor() -> SlurmExecutor:
    return SlurmExecutor(SlurmClient(period=0.3, patience=30), Grace(2, 1))


@pytest.fixture
def cluster(slurm: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    yield from used(slurm, monkeypatch)


@pytest.fixture
def accounting(
    slurm_with_accounting: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SlurmCluster]:
    yield from used(slurm_with_accounting, monkeypatch)


def used(cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    yield cluster
    cluster.clear()


def a_job(folder: Path, script: str, profile: Mapping[str, Any] | None = None, **more: Any) -> Job:
    return make_job(folder, script, profile={"gpus_per_node": 0, **(profile or {})}, **more)


def start(executor: SlurmExecutor, job: Job) -> Handle:
    return executor.submit(executor.prepare(job), attached=False)


def log_of(executor: SlurmExecutor, handle: Handle) -> str:
    return b"".join(executor.logs(handle)).decode()


def says(executor: SlurmExecutor, handle: Handle, text: str) -> Callable[[], bool]:
    return lambda: text in log_of(executor, handle)


def nodes_of(cluster: SlurmCluster, handle: Handle) -> list[str]:
    text = cluster.run("squeue", "--noheader", "--jobs", handle.id, "--format=%N").strip()
    return cluster.run("scontrol", "show", "hostnames", text).split()


def test_a_lost_node_takes_all_of_the_job_along(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    job = a_job(tmp_path, GOES_ON, {"nodes": 2})
    handle = start(executor, job)
    attempts = JobPaths(job.folder).output / "attempts"
    wait_for(lambda: attempts.exists() and attempts.read_text() == "1\n1\n", "both processes")
    cluster.kill_node(nodes_of(cluster, handle)[1])
    status = wait_for_state(executor, handle, State.PENDING)
    assert status.attempt == 1 and status.why is not None
    status = executor.wait(handle, PATIENCE_SECONDS)
    assert (status.state, status.attempt) == (State.SUCCEEDED, 2)
    assert attempts.read_text() == "1\n1\n2\n2\n"


def test_a_lost_node_is_the_end_of_a_job_that_may_not_start_again(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    handle = start(executor, a_job(tmp_path, ENDLESS, {"requeue_on": []}))
    wait_for(says(executor, handle, "here"), "the job")
    cluster.kill_node(nodes_of(cluster, handle)[0])
    status = executor.wait(handle, PATIENCE_SECONDS)
    assert (status.state, status.why) == (State.UNFINISHED, "node failure")


def test_the_time_limit(cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path) -> None:
    handle = start(executor, a_job(tmp_path, ENDLESS))
    wait_for(says(executor, handle, "here"), "the job")
    cluster.end_time(handle.id)
    status = executor.wait(handle, PATIENCE_SECONDS)
    assert (status.state, status.why) == (State.UNFINISHED, "time limit")


def test_a_job_goes_on_after_the_time_limit(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    profile = {"signal": "USR1@58", "time": 1, "segments": 2}
    job = a_job(tmp_path, SAVES, profile, env={"MY_TOKEN": "hush"})
    handle = start(executor, job)
    wait_for(says(executor, handle, "saved"), "the signal")
    status = wait_for_state(executor, handle, State.PENDING)
    assert (status.attempt, (status.why or "").partition(";")[0]) == (1, "time limit")
    assert JobPaths(job.folder).secrets.exists()
    status = executor.wait(handle, PATIENCE_SECONDS)
    assert (status.state, status.attempt) == (State.SUCCEEDED, 2)
    assert log_of(executor, handle) == "here\nsaved\ngoes on from SIGUSR1\n"
    assert not JobPaths(job.folder).secrets.exists()


def test_signals_go_on_where_slurm_does_not_send_them(
    executor: SlurmExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = missing_packages()
    if reason is not None:
        pytest.skip(reason)
    # Like the cgroups of real clusters, which need more than a container has: a signal reaches the
    # processes that Slurm itself started, and none of theirs.
    with slurm_cluster(proctrack="pgid") as cluster:
        for name, value in cluster.env.items():
            monkeypatch.setenv(name, value)
        profile = {"signal": "USR1@58", "time": 1, "segments": 2}
        folder = tmp_path / "saves"
        folder.mkdir()
        handle = start(executor, a_job(folder, STARTS_ANOTHER, profile))
        status = executor.wait(handle, PATIENCE_SECONDS)
        assert (status.state, status.attempt) == (State.SUCCEEDED, 2), status
        assert log_of(executor, handle) == "here\nsaved\ngoes on from SIGUSR1\n"

        folder = tmp_path / "cancelled"
        folder.mkdir()
        script = """
            import time
            print("here")
            try:
                time.sleep(600)
            except KeyboardInterrupt:
                print("told to end")
        """
        handle = start(executor, a_job(folder, script))
        wait_for(says(executor, handle, "here"), "the job")
        executor.cancel(handle)
        assert executor.wait(handle, PATIENCE_SECONDS).state is State.CANCELLED
        assert log_of(executor, handle) == "here\ntold to end\n"


def test_segments_come_to_an_end(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    job = a_job(tmp_path, ENDLESS, {"signal": "INT@58", "time": 1, "segments": 2}, attempt=2)
    status = executor.wait(start(executor, job), PATIENCE_SECONDS)
    assert (status.state, status.why, status.attempt) == (State.UNFINISHED, "time limit", 2)


def test_preemption(cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path) -> None:
    job = a_job(tmp_path, GOES_ON, {"partition": "spot", "nodes": 4, "exclusive": True})
    handle = start(executor, job)
    attempts = JobPaths(job.folder).output / "attempts"
    wait_for(lambda: attempts.exists() and attempts.read_text() == "1\n" * 4, "the processes")
    other = tmp_path / "urgent"
    other.mkdir()
    urgent = start(executor, a_job(other, "", {"nodes": 4, "exclusive": True}))
    assert executor.wait(urgent, PATIENCE_SECONDS).state is State.SUCCEEDED
    status = executor.wait(handle, PATIENCE_SECONDS)
    assert (status.state, status.attempt) == (State.SUCCEEDED, 2)


def test_a_submit_waits_for_the_controller(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    request = executor.prepare(a_job(tmp_path, "print('ran')"))
    cluster.stop_controller()
    timer = threading.Timer(2, cluster.start_controller)
    timer.start()
    handle = executor.submit(request, attached=False)
    timer.join()
    assert executor.wait(handle, PATIENCE_SECONDS).state is State.SUCCEEDED
    assert log_of(executor, handle) == "ran\n"


def test_a_submit_whose_answer_is_lost(
    cluster: SlurmCluster,
    executor: SlurmExecutor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = shutil.which("sbatch")
    assert real is not None
    calls = tmp_path / "calls"
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "sbatch").write_text(
        f'#!/bin/sh\necho >>{shlex.quote(str(calls))}\n{real} "$@" >/dev/null\n'
        "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv "
        "operation' >&2\nexit 1\n"
    )
    (commands / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    job = a_job(tmp_path, "print('ran')")
    handle = start(executor, job)
    assert executor.wait(handle, PATIENCE_SECONDS).state is State.SUCCEEDED
    assert log_of(executor, handle) == "ran\n"
    assert calls.read_text() == "\n"
    name = slurm_name(job.folder)
    known = cluster.run("squeue", "--states=all", "--noheader", "--format=%i", "--name", name)
    assert known.split() == [handle.id]


def test_a_job_that_slurm_took_twice(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    # A controller that is too busy to answer in time may act all the same, any while later.
    job = a_job(tmp_path, "import time; print('runs', flush=True); time.sleep(3)")
    request = executor.prepare(job)
    executor.stage(request)
    first = cluster.run("sbatch", "--parsable", str(JobPaths(job.folder).command)).strip()
    wait_for(lambda: "runs" in JobPaths(job.folder).log.read_text(), "the job")
    handle = executor.submit(request, attached=False)
    assert handle.id != first
    assert executor.wait(handle, PATIENCE_SECONDS).state is State.SUCCEEDED
    cluster.wait_until_idle()
    assert executor.status(handle).state is State.SUCCEEDED
    assert log_of(executor, handle) == "runs\n"


def test_a_controller_that_stays_away(cluster: SlurmCluster, tmp_path: Path) -> None:
    executor = SlurmExecutor(SlurmClient(period=0.3, patience=1))
    request = executor.prepare(a_job(tmp_path, ""))
    cluster.stop_controller()
    with pytest.raises(UnreachableError, match="Slurm has not answered for 1 s: sbatch: "):
        executor.submit(request, attached=False)


def test_what_slurm_does_not_take(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    job = a_job(tmp_path, "", {"partition": "nowhere"}, env={"MY_TOKEN": "hush"})
    with pytest.raises(ExecutionError, match=r"^sbatch: .*[Ii]nvalid partition[^\n]*$"):
        start(executor, job)
    assert not JobPaths(job.folder).secrets.exists()
    assert executor.find(job.folder) is None


def test_another_hand_cancels_it(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    handle = start(executor, a_job(tmp_path, ENDLESS))
    wait_for(says(executor, handle, "here"), "the job")
    cluster.run("scancel", handle.id)
    assert executor.wait(handle, PATIENCE_SECONDS).state is State.CANCELLED


def test_one_process_of_several_fails(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    script = """
        import os, sys, time
        if os.environ["SLURM_PROCID"] == "2":
            sys.exit(7)
        time.sleep(600)
    """
    handle, code, _ = run_job(executor, a_job(tmp_path, script, {"nodes": 3}))
    status = executor.status(handle)
    assert (status.state, code) == (State.FAILED, 7)
    assert status.why == "process 2 on node3 ended with exit code 7"
    cluster.wait_until_idle()


def test_processes_of_a_node(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    profile = {
        "nodes": 2,
        "ntasks_per_node": 3,
        "cpus_per_task": 2,
        "mem": "1G",
        "gpus_per_node": 4,
        "srun_args": ["--label"],
        # Names that the batch script has too.
        "setup_lines": 'FROM_SETUP="it\'s set"; export FROM_SETUP; log=x script=y; end() { :; }',
        "sbatch": {"nice": 7, "mail_type": "FAIL", "mail-user": "a b"},
    }
    script = """
        import os
        e = os.environ
        print(e["SLURM_NODEID"], e["FROM_SETUP"], e["SLURM_CPUS_PER_TASK"], e["SLURM_GPUS_ON_NODE"])
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR")
        print(*(e[name] for name in names), int(e["MASTER_PORT"]) > 1023)
    """
    handle, code, log = run_job(executor, a_job(tmp_path, script, profile))
    assert code == 0, log
    lines = {(rank, text) for rank, _, text in (s.partition(": ") for s in log.splitlines())}
    assert lines == {
        (str(rank), text)
        for rank in range(6)
        for text in (
            f"{rank // 3} it's set 2 4",
            f"{rank} 6 {rank % 3} 3 127.0.0.1 True",  # what torch.distributed wants
        )
    }
    known = cluster.run("scontrol", "show", "job", handle.id)
    assert "Nice=7 " in known and "MailUser=a b" in known


def test_setup_lines_with_a_secret(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    secret = "-".join(["hush", "4d1c"])
    setup = f'export MY_TOKEN={secret}\necho "set up"'
    script = "import os; print(os.environ['MY_TOKEN'].encode().hex(), len(os.environ['MY_TOKEN']))"
    job = a_job(tmp_path, script, {"setup_lines": setup})
    assert secret not in executor.prepare(job).shell_text()
    handle, code, log = run_job(executor, job)
    assert (code, log) == (0, f"set up\n{secret.encode().hex()} {len(secret)}\n")
    assert files_with(secret, [tmp_path, cluster.folder]) == []


def test_setup_lines_that_end_it(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    profile = {"setup_lines": ["echo 'no module' >&2", "exit 4"]}
    handle, code, log = run_job(executor, a_job(tmp_path, "print('ran')", profile))
    assert (code, log) == (4, "no module\n")
    assert executor.status(handle).why == "the setup lines of its profile ended it"


def test_no_path_and_no_text_is_mangled(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    folder = tmp_path / "nemo_run" / "it's 100%j of $x"
    folder.mkdir(parents=True)
    comment = 'a "comment" of /nemo_run, it\'s $HOME; `id`'
    job = a_job(folder, "print('ran')", {"comment": comment})
    handle, code, log = run_job(executor, job)
    assert (code, log) == (0, "ran\n")
    assert f"Comment={comment} \n" in cluster.run("scontrol", "show", "job", handle.id)


def test_nothing_of_the_launcher_is_inherited(
    cluster: SlurmCluster,
    executor: SlurmExecutor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OF_THE_LAUNCHER", "1")
    monkeypatch.setenv("SBATCH_PARTITION", "nowhere")
    monkeypatch.setenv("SQUEUE_FORMAT", "%i")
    script = "import os; print('OF_THE_LAUNCHER' in os.environ, os.environ['HOME'])"
    assert run_job(executor, a_job(tmp_path, script))[2] == f"False {os.environ['HOME']}\n"


def test_torchrun_over_nodes(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    python = torch_python()
    if python is None:
        pytest.skip("needs torch: apt-get install python3-torch")
    job = torch_job(tmp_path, python, 1)
    job = replace(job, profile={**job.profile, "nodes": 3, "gpus_per_node": 0})
    _, code, log = run_job(executor, job, patience=3 * PATIENCE_SECONDS)
    assert code == 0, log
    assert results(log) == [f"{rank} of 3: 111" for rank in range(3)]


def test_a_ray_of_its_own(cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path) -> None:
    """One node: on more, Ray would listen on this machine's other addresses as well."""
    reason = missing_ray()
    python = ray_python()
    if reason is not None or python is None:
        pytest.skip(reason or "no Ray")
    script = """
        import os, sys
        import ray

        ray.init(log_to_driver=False)
        nodes = ray.nodes()
        seen = ray.get(ray.remote(lambda: os.environ["SLURM_JOB_ID"]).remote())
        print(len(nodes), "nodes for", seen == os.environ["SLURM_JOB_ID"])
        sys.exit(3)
    """
    job = a_job(tmp_path, script, {"cpus_per_task": 2})
    spec = replace(job.spec, run=RunspecRun(launch="ray"))
    job = replace(job, spec=spec, python=replace(job.python, interpreter=Path(python)))
    handle, code, log = run_job(executor, job, patience=4 * PATIENCE_SECONDS)
    assert (code, log.splitlines()[-1:]) == (3, ["1 nodes for True"]), log
    cluster.wait_until_idle()
    assert command_lines_with(f"ray-{os.getuid()}-") == []


def test_elements_of_a_fan_out_are_an_array(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    script = """
        import os, sys, time
        from pathlib import Path
        number = int(os.environ["NUMBER"])
        print("number", number, os.environ["SLURM_ARRAY_JOB_ID"] != "")
        if number == 1:
            Path(os.environ["NEMO_RUN_DIR"], "here").touch()
            time.sleep(600)
        sys.exit(number)
    """
    jobs = []
    for number in range(4):
        made = a_job(tmp_path / f"of {number}", script, env={"NUMBER": str(number)})
        folder = tmp_path / "jobs" / f"job {number}%a"
        folder.parent.mkdir(exist_ok=True)
        made.folder.rename(folder)
        jobs.append(replace(made, folder=folder, is_element=True))
    handles: dict[int, Handle] = {}

    def submit(number: int) -> None:
        handles[number] = start(executor, jobs[number])

    threads = [threading.Thread(target=submit, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({handle.id.partition("_")[0] for handle in handles.values()}) == 1
    assert sorted(handle.id.partition("_")[2] for handle in handles.values()) == list("0123")
    for number, handle in handles.items():
        JobPaths(jobs[number].folder).handle.unlink()
        assert executor.find(jobs[number].folder) == handle
    wait_for((jobs[1].folder / "here").exists, "the element that waits")
    executor.cancel(handles[1])
    statuses = {n: executor.wait(handle, PATIENCE_SECONDS) for n, handle in handles.items()}
    assert {n: status.state for n, status in statuses.items()} == {
        0: State.SUCCEEDED,
        1: State.CANCELLED,
        2: State.FAILED,
        3: State.FAILED,
    }
    assert [statuses[n].exit_code for n in (0, 2, 3)] == [0, 2, 3]
    for number, handle in handles.items():
        said = log_of(executor, handle).splitlines()
        assert said[0] == f"number {number} True"
    wait_for(lambda: not cluster.run("squeue", "--noheader"), "the queue")


def test_an_element_goes_on_where_it_was(
    cluster: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    jobs = []
    for number in range(2):
        made = a_job(tmp_path / str(number), GOES_ON, {"nodes": 1, "exclusive": True})
        folder = tmp_path / f"job {number}"
        made.folder.rename(folder)
        jobs.append(replace(made, folder=folder, is_element=True))
    with ThreadPoolExecutor() as pool:
        handles = list(pool.map(lambda job: start(executor, job), jobs))
    assert handles[0].id.partition("_")[0] == handles[1].id.partition("_")[0]
    told = [JobPaths(job.folder).output / "attempts" for job in jobs]
    wait_for(lambda: all(path.exists() for path in told), "both")
    cluster.kill_node(nodes_of(cluster, handles[1])[0])
    assert executor.wait(handles[1], PATIENCE_SECONDS).attempt == 2
    assert executor.status(handles[0]).state is State.RUNNING
    assert [path.read_text() for path in told] == ["1\n", "1\n2\n"]


def test_with_accounting(accounting: SlurmCluster, executor: SlurmExecutor, tmp_path: Path) -> None:
    handle, code, log = run_job(executor, a_job(tmp_path, "raise SystemExit(3)"))
    assert code == 3, log
    ask = ("sacct", "-nXP", "--jobs", handle.id, "--format=State,ExitCode")
    wait_for(lambda: accounting.run(*ask).strip() == "FAILED|3:0", "sacct")


def test_accounting_remembers(
    accounting: SlurmCluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    """The controller forgets jobs after MinJobAge, here two seconds."""
    handle = start(executor, a_job(tmp_path, ENDLESS, {"requeue_on": []}))
    wait_for(says(executor, handle, "here"), "the job")
    accounting.kill_node(nodes_of(accounting, handle)[0])
    wait_for(
        lambda: not accounting.run("scontrol", "show", "job", handle.id, check=False),
        "the controller's forgetting",
        patience=3 * PATIENCE_SECONDS,
    )
    status = executor.wait(handle, PATIENCE_SECONDS)
    assert (status.state, status.why) == (State.UNFINISHED, "node failure")


def wait_for_state(executor: SlurmExecutor, handle: Handle, state: State) -> Status:
    """Its status once it has that state."""

    def status() -> Status | None:
        found = executor.status(handle)
        time.sleep(0.1)
        return found if found.state is state else None

    found: Status = wait_for(status, f"{handle.id} to be {state.value}")
    return found
