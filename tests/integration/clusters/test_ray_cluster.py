"""What only a real Ray cluster shows: uploads, tasks on its workers, tokens, TLS, a lost head."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.artifacts.job_context import JobContext, JobRecord, append_record, read_records
from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.protocol import Job, JobPackage, State
from nemo_runspec.execution.ray.executor import RayExecutor
from nemo_runspec.jobs import JobPaths
from tests.integration.clusters.forwarder import Forwarder, self_signed
from tests.integration.clusters.ray_cluster import (
    WORKER_RESOURCE,
    RayCluster,
    missing_ray,
    new_token,
    ray_cluster,
)
from tests.nemo_runspec.example_pex import make_pex
from tests.nemo_runspec.executor_contract import NASTY, make_job, run_job, wait_for

pytestmark = pytest.mark.skipif(missing_ray() is not None, reason=str(missing_ray()))

PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def token() -> str:
    return new_token()


@pytest.fixture(scope="module")
def cluster(token: str) -> Iterator[RayCluster]:
    with ray_cluster(token=token, workers=1) as cluster:
        yield cluster


@pytest.fixture
def profile(cluster: RayCluster, token: str, monkeypatch: Any) -> Mapping[str, Any]:
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    return {"host": cluster.address}


def run(job: Job) -> tuple[RayExecutor, int | None, str]:
    executor = RayExecutor(answer=30)
    _, code, log = run_job(executor, job, patience=PATIENCE_SECONDS)
    return executor, code, log


def test_it_listens_on_loopback_alone(cluster: RayCluster) -> None:
    addresses = cluster.listening()
    assert any(address.endswith(f":{cluster.port}") for address in addresses)
    assert {address.rpartition(":")[0] for address in addresses} <= {
        "127.0.0.1",
        "[::ffff:127.0.0.1]",
    }


TASKS = """
    import os
    import ray
    import helper
    import thing

    ray.init(log_to_driver=False)

    @ray.remote(resources={"worker": 0.1})
    def remote():
        import helper, thing
        return helper.NAME, thing.__file__ != "", os.environ["QUOTES"], os.environ["DOLLARS"]

    nodes = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    print(ascii([ray.get(remote.remote()), len(nodes), ray.__version__ != ""]))
"""


@pytest.mark.parametrize("is_shared", [True, False])
def test_tasks_import_what_the_recipe_does(
    profile: Mapping[str, Any], tmp_path: Path, is_shared: bool
) -> None:
    if is_shared:
        profile = {**profile, "remote_job_dir": str(tmp_path)}
    pex = make_pex(tmp_path / "bundle it's" / "job.pex")
    env = {**NASTY, "RUNSPEC_PEX_ROOT": str(tmp_path / "unpacked")}
    job = make_job(tmp_path, TASKS, profile=profile, env=env, package=JobPackage(pex=pex))
    # The Python is the cluster's: it is the one that has its ray.
    job = replace(job, python=JobPython())
    (job.code / "helper.py").write_text("NAME = 'of the bundle'\n")
    _, code, log = run(job)
    assert code == 0, log
    told = ("of the bundle", True, NASTY["QUOTES"], NASTY["DOLLARS"])
    assert log.strip().splitlines()[-1] == ascii([told, 2, True])


def test_an_upload_brings_its_results_back(profile: Mapping[str, Any], tmp_path: Path) -> None:
    script = r"""
        import json, os, sys, yaml_free
        context = json.load(open(os.environ["RUNSPEC_JOB_CONTEXT"]))
        print(open(sys.argv[2]).read().strip(), sys.argv[3:] == NASTY)
        assert context["output_dir"] == os.environ["RUNSPEC_OUTPUT_DIR"]
        with open(context["records"], "a") as file:
            print(RECORD, file=file)
        os.write(1, b"\xff\x00\r\n")
    """
    record = JobRecord("model", 3, "s3://bucket/model", None, False, "id")
    append_record(tmp_path / "record", record)
    text = repr((tmp_path / "record").read_text().strip())
    script = script.replace("NASTY", repr(list(NASTY.values()))).replace("RECORD", text)
    job = make_job(tmp_path, script, profile=profile, passthrough=tuple(NASTY.values()))
    (job.code / "yaml_free.py").write_text("")
    paths = JobPaths(job.folder)
    context = JobContext(output_dir=str(paths.output), records=str(paths.records))
    paths.context.write_text(context.to_json())
    paths.train_config.write_text(f"output_dir: {paths.output}\n")
    executor = RayExecutor(answer=30)
    handle = executor.submit(executor.prepare(replace(job, context=paths.context)), attached=False)
    followed = b"".join(executor.logs(handle, follow=True))
    status = executor.wait(handle, PATIENCE_SECONDS)
    assert status.state is State.SUCCEEDED, followed
    digest = Path(followed.decode("latin1").split()[1]).parent.parent.name
    assert followed.endswith(b"/job/output True\n\xff\x00\r\n")
    assert paths.log.read_bytes() == followed
    assert read_records(paths.records) == [record]
    assert b"".join(RayExecutor(answer=1).logs(handle)) == followed
    # Nothing is left on the node but what Ray keeps itself.
    assert not Path("/tmp", digest).is_symlink()


def test_logs_of_an_upload_follow_while_it_runs(profile: Mapping[str, Any], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"""
        import os, time
        print("first")
        while not os.path.exists({str(gate)!r}): time.sleep(0.01)
        print("second")
    """
    executor = RayExecutor(answer=30)
    handle = executor.submit(
        executor.prepare(make_job(tmp_path, script, profile=profile)), attached=False
    )
    stream = executor.logs(handle, follow=True)
    assert next(stream) == b"first\n"
    assert b"".join(executor.logs(handle)) == b"first\n"
    gate.touch()
    assert b"".join(stream) == b"second\n"
    assert executor.wait(handle, PATIENCE_SECONDS).exit_code == 0


def test_cancel_of_an_upload(profile: Mapping[str, Any], tmp_path: Path) -> None:
    script = """
        import time
        try:
            print("running")
            time.sleep(600)
        except KeyboardInterrupt:
            print("saved")
    """
    executor = RayExecutor(answer=30)
    handle = executor.submit(
        executor.prepare(make_job(tmp_path, script, profile=profile)), attached=False
    )
    stream = executor.logs(handle, follow=True)
    assert next(stream) == b"running\n"
    executor.cancel(handle)
    assert b"".join(stream) == b"saved\n"
    assert executor.wait(handle, PATIENCE_SECONDS).state is State.CANCELLED


def test_a_repeated_submit_finds_the_running_one(
    profile: Mapping[str, Any], cluster: RayCluster, tmp_path: Path
) -> None:
    profile = {**profile, "remote_job_dir": str(tmp_path)}
    gate = tmp_path / "gate"
    script = f"""
        import os, time
        print("ran")
        while not os.path.exists({str(gate)!r}): time.sleep(0.01)
    """
    job = make_job(tmp_path, script, profile=profile, key="the key")
    executor = RayExecutor(answer=30)
    handle = executor.submit(executor.prepare(job), attached=False)
    elsewhere = tmp_path / "another launcher's"
    elsewhere.mkdir()
    other = make_job(elsewhere, script, profile=profile, key="the key")
    assert RayExecutor(answer=30).submit(executor.prepare(other), attached=False) == handle
    gate.touch()
    assert executor.wait(handle, PATIENCE_SECONDS).state is State.SUCCEEDED
    # That one is done; the same build once more is another job.
    again = executor.submit(executor.prepare(other), attached=False)
    assert again.id == f"{handle.id}-2"
    assert executor.wait(again, PATIENCE_SECONDS).state is State.SUCCEEDED


def test_a_python_that_the_recipe_is_not_for(profile: Mapping[str, Any], tmp_path: Path) -> None:
    profile = {**profile, "remote_job_dir": str(tmp_path)}
    package = JobPackage(interpreter_constraints=("CPython>=3.14,<3.15",))
    job = make_job(tmp_path, "print('ran')", profile=profile, package=package)
    _, code, log = run(replace(job, python=JobPython()))
    assert code == 2
    assert "made for Python 3.14" in log and "runs on 3." in log and "ran\n" not in log


def test_a_wrong_token(profile: Mapping[str, Any], tmp_path: Path, monkeypatch: Any) -> None:
    profile = {**profile, "remote_job_dir": str(tmp_path), "token_variable": "MINE"}
    monkeypatch.setenv("HOME", str(tmp_path))
    job = make_job(tmp_path, "", profile=profile)
    executor = RayExecutor(answer=30)
    with pytest.raises(ExecutionError, match="wants a token.*MINE"):
        executor.submit(executor.prepare(job), attached=False)
    monkeypatch.setenv("MINE", "not-" + "it")
    with pytest.raises(ExecutionError, match="token of MINE"):
        executor.submit(executor.prepare(job), attached=False)


def test_tls(
    profile: Mapping[str, Any],
    cluster: RayCluster,
    token: str,
    tmp_path: Path,
) -> None:
    certificate = self_signed(tmp_path)
    door = Forwarder(cluster.port, certificate)
    profile = {"host": door.address, "remote_job_dir": str(tmp_path)}
    job = make_job(tmp_path, "print('ran')", profile=profile)
    executor = RayExecutor(answer=30)
    with pytest.raises(ExecutionError, match=r"not trusted.*tls_ca_file"):
        executor.submit(executor.prepare(job), attached=False)
    trusting = {**profile, "tls_ca_file": str(certificate.certificate)}
    assert run(replace(job, profile=trusting))[1:] == (0, "ran\n")
    door.close()
    # The token is nowhere but in the environments of those who use it.
    holding = [
        path for path in tmp_path.rglob("*") if path.is_file() and token in path.read_text("latin1")
    ]
    assert holding == []


# The last: it takes the cluster away.
def test_the_head_is_lost_for_good(
    profile: Mapping[str, Any], cluster: RayCluster, tmp_path: Path
) -> None:
    profile = {**profile, "remote_job_dir": str(tmp_path)}
    script = f"""
        import os, sys, time
        print(os.getpid())
        with open({str(tmp_path / "times")!r}, "a", buffering=1) as file:
            while True:
                print(time.time(), file=file)
                time.sleep(0.05)
    """
    profile = {**profile, "entrypoint_resources": {WORKER_RESOURCE: 1}}
    job = make_job(tmp_path, script, profile=profile)
    executor = RayExecutor(answer=1, forgotten=1)
    handle = executor.submit(executor.prepare(job), attached=False)
    wait_for((tmp_path / "times").exists, "the job", patience=PATIENCE_SECONDS)
    cluster.kill()
    time.sleep(0.2)
    before = (tmp_path / "times").read_text()
    with pytest.raises(ExecutionError, match="does not answer"):
        executor.status(handle)
    cluster.start_head()
    states = []

    def verdict() -> State | None:
        status = executor.status(handle)
        states.append(status.state)
        return status.state if status.state.is_final else None

    assert wait_for(verdict, "the verdict", patience=PATIENCE_SECONDS) is State.UNFINISHED
    assert set(states) == {State.RUNNING, State.UNFINISHED}
    assert "forgot" in str(executor.status(handle).why)
    assert (tmp_path / "times").read_text() == before
    assert json.loads(JobPaths(job.folder).status.read_text())["verdict"] == "unfinished"
