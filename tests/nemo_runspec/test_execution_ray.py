"""What is sent to a Ray cluster, and how the client takes its answers; no Ray is needed."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.protocol import JobPackage, State
from nemo_runspec.execution.ray import executor as ray_executor
from nemo_runspec.execution.ray import package
from nemo_runspec.execution.ray.executor import RayExecutor
from nemo_runspec.execution.ray.package import make_package
from nemo_runspec.execution.ray.settings import RaySettings, entrypoint, ray_settings
from nemo_runspec.jobs import JobPaths
from tests.nemo_runspec.executor_contract import NASTY, make_job


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("head", "http://head:8265"),
        ("head:9", "http://head:9"),
        ("http://head", "http://head"),
        ("https://ray.example.org/team/", "https://ray.example.org/team"),
        ("http://[::1]:8265", "http://[::1]:8265"),
    ],
)
def test_address(written: str, address: str) -> None:
    assert ray_settings({"host": written}, {}).address == address


@pytest.mark.parametrize(
    "written", ["ray://head:10001", "http://me:it@head", "head:port", "http://head?x=1"]
)
def test_no_address(written: str) -> None:
    with pytest.raises(ExecutionError, match=r"run\.env\.host"):
        ray_settings({"host": written}, {})


def test_address_of_the_environment() -> None:
    environ = {"RAY_API_SERVER_ADDRESS": "http://other:1"}
    assert ray_settings({}, environ).address == "http://other:1"
    assert ray_settings({"host": "head"}, environ).address == "http://head:8265"
    with pytest.raises(ExecutionError, match=r"run\.env\.host.*RAY_API_SERVER_ADDRESS"):
        ray_settings({}, {})


def test_token(tmp_path: Path) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("kept\n")
    (tmp_path / "named").write_text("named\n")
    home = {"HOME": str(tmp_path)}
    settings = RaySettings("http://head:8265")
    assert settings.token({**home, "RAY_AUTH_TOKEN": "given"}) == "given"
    assert settings.token({**home, "RAY_AUTH_TOKEN_PATH": str(tmp_path / "named")}) == "named"
    assert settings.token(home) == "kept"
    assert settings.token({"HOME": str(tmp_path / "nowhere")}) is None
    mine = replace(settings, token_variable="MINE")
    assert mine.token({**home, "RAY_AUTH_TOKEN": "given", "MINE": "mine"}) == "mine"


def test_entrypoint() -> None:
    profile = {"entrypoint_num_gpus": 0.5, "entrypoint_resources": {"a": 1}, "cpus_per_task": 3}
    assert entrypoint(profile).fields == {
        "entrypoint_num_gpus": 0.5,
        "entrypoint_resources": {"a": 1},
    }
    with pytest.raises(ExecutionError, match=r"entrypoint_num_cpus: 'two'"):
        entrypoint({"entrypoint_num_cpus": "two"})
    with pytest.raises(ExecutionError, match=r"entrypoint_resources\.a: -1"):
        entrypoint({"entrypoint_resources": {"a": -1}})


def test_package_is_the_same_from_the_same_files(tmp_path: Path) -> None:
    contents = []
    for folder, mode in ((tmp_path / "a", 0o644), (tmp_path / "b", 0o600)):
        (folder / "sub" / "__pycache__").mkdir(parents=True)
        for name in ("z.py", "sub/a.py", "sub/__pycache__/a.pyc"):
            (folder / name).write_text(name if "pyc" not in name else str(folder))
            (folder / name).chmod(mode)
        (folder / "run").write_text("#!/bin/sh\n")
        (folder / "run").chmod(0o755)
        contents.append(make_package({"job/x": b"x"}, {"code": folder}))
    assert contents[0] == contents[1]
    assert contents[0].uri == f"gcs://{contents[0].name}"
    with zipfile.ZipFile(BytesIO(contents[0].content)) as archive:
        assert archive.namelist() == ["code/run", "code/sub/a.py", "code/z.py", "job/x"]
        assert archive.getinfo("code/run").external_attr >> 16 & 0o777 == 0o755
    assert make_package({"job/x": b"y"}, {}).name != contents[0].name


def test_a_request_shows_what_is_sent(tmp_path: Path) -> None:
    profile = {"host": "head", "remote_job_dir": str(tmp_path), "entrypoint_num_cpus": 2}
    job = make_job(tmp_path, "", profile=profile, key="0123", env=NASTY)
    text = RayExecutor().prepare(job).shell_text()
    assert text == RayExecutor().prepare(job).shell_text()
    sent = json.loads(text.partition("<<'END_OF_REQUEST'\n")[2].partition("\nEND_OF_REQUEST")[0])
    assert sent["entrypoint_num_cpus"] == 2
    assert sent["runtime_env"] == {}
    assert sent["metadata"]["runspec_key"] == "0123"
    assert sent["submission_id"] == RayExecutor().prepare(job).submission_id(1)
    assert "curl http://head:8265/api/jobs/" in text
    assert "Bearer $RAY_AUTH_TOKEN" in text
    subprocess.run(["bash", "-n", "-c", text], check=True)


def test_submission_ids(tmp_path: Path) -> None:
    def identity(**changes: Any) -> str:
        made = replace(job, **changes)
        return RayExecutor().prepare(made).submission_id(1)

    job = make_job(tmp_path, "", profile={"host": "head"})
    other = tmp_path / "elsewhere"
    assert identity() == identity()
    assert identity() != identity(folder=other, config=other / "train.yaml")
    # With a key it is the build that counts, wherever it was submitted from.
    assert identity(key="k") == identity(key="k", folder=other, config=other / "train.yaml")
    assert identity(key="k") != identity(key="other")
    assert identity(key="k") != identity(key="k", attempt=2)
    assert RayExecutor().prepare(job).submission_id(2) == f"{identity()}-2"
    assert "/" not in identity(name="team/recipe; rm") and identity(name="☃").startswith("job-")


def test_secrets_do_not_travel(tmp_path: Path) -> None:
    job = make_job(tmp_path, "", profile={"host": "head"}, env={"HF_TOKEN": "x" * 9})
    with pytest.raises(ExecutionError, match=r"HF_TOKEN.*remote_job_dir") as raised:
        RayExecutor().prepare(job)
    assert "xxx" not in str(raised.value)


@dataclass
class Head:
    """A server that speaks as much of the Jobs API as a test tells it to."""

    answers: dict[tuple[str, str], Callable[[], tuple[int, Any]]] = field(default_factory=dict)
    seen: list[tuple[str, str, Mapping[str, str], bytes]] = field(default_factory=list)
    address: str = ""

    def on(self, method: str, path: str, status: int, body: Any) -> None:
        self.answers[method, path] = lambda: (status, body)


@pytest.fixture
def head() -> Iterator[Head]:
    head = Head()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            head.seen.append((self.command, path, dict(self.headers), content))
            known = (found for key, found in head.answers.items() if self.matches(key, path))
            status, body = next(known, lambda: (404, "Not Found"))()
            text = body if isinstance(body, str) else json.dumps(body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def matches(self, key: tuple[str, str], path: str) -> bool:
            return key[0] == self.command and path.startswith(key[1])

        do_GET = do_PUT = do_POST = answer

        def log_message(self, *_: Any) -> None:
            """Not to the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    head.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield head
    server.shutdown()
    thread.join()
    server.server_close()


def test_versions_of_both_sides_are_named(head: Head, tmp_path: Path) -> None:
    head.on("GET", "/api/version", 200, {"ray_version": "2.60.0"})
    package_ = JobPackage(requirements={"ray": "2.59.1"})
    job = make_job(tmp_path, "", profile={"host": head.address}, package=package_)
    executor = RayExecutor(answer=1)
    request = executor.prepare(replace(job, python=JobPython()))
    with pytest.raises(ExecutionError, match=r"ray 2\.59\.1.*2\.60\.0"):
        executor.submit(request, attached=False)
    assert [seen[:2] for seen in head.seen] == [("GET", "/api/version")]
    assert executor.find(job.folder) is None


def test_an_upload_over_the_limit(head: Head, tmp_path: Path, monkeypatch: Any) -> None:
    job = make_job(tmp_path, "", profile={"host": head.address})
    executor = RayExecutor(answer=1)
    request = executor.prepare(job)
    head.on("PUT", "/api/packages/gcs/", 413, "Request Entity Too Large")
    with pytest.raises(ExecutionError, match=r"at most 105 MB.*remote_job_dir.*object store"):
        executor.submit(request, attached=False)
    # Its own limit counts before anything is sent.
    head.seen.clear()
    monkeypatch.setattr(package, "UPLOAD_LIMIT_BYTES", 100)
    with pytest.raises(ExecutionError, match="remote_job_dir"):
        executor.submit(request, attached=False)
    assert head.seen == []


def test_an_upload_is_sent_once(head: Head, tmp_path: Path) -> None:
    job = make_job(tmp_path, "", profile={"host": head.address})
    executor = RayExecutor(answer=1)
    head.on("PUT", "/api/packages/gcs/", 200, "")
    head.on("POST", "/api/jobs/", 200, {"submission_id": "x"})
    executor.submit(executor.prepare(job), attached=False)
    methods = [seen[0] for seen in head.seen]
    assert methods == ["GET", "PUT", "POST"]
    sent = head.seen[1][1].rpartition("/")[2]
    assert json.loads(head.seen[2][3])["runtime_env"] == {"working_dir": f"gcs://{sent}"}
    head.seen.clear()
    head.on("GET", "/api/packages/gcs/", 200, "")
    executor.submit(executor.prepare(job), attached=False)
    assert [seen[0] for seen in head.seen] == ["GET", "POST"]
    # The same files: the same name.
    assert head.seen[0][1].rpartition("/")[2] == sent


def shared_job(head: Head, folder: Path, **changes: Any) -> Any:
    profile = {"host": head.address, "remote_job_dir": str(folder)}
    return make_job(folder, "", profile=profile, **changes)


def info(status: str, **changes: Any) -> dict[str, Any]:
    return {"submission_id": "x", "status": status, "message": "", "start_time": 1000, **changes}


def test_a_lost_answer_starts_nothing_twice(head: Head, tmp_path: Path) -> None:
    executor = RayExecutor(answer=1)
    job = shared_job(head, tmp_path)
    head.on("POST", "/api/jobs/", 400, "ValueError: Job with submission_id x already exists.")
    metadata = {"runspec_folder": str(job.folder)}
    head.on("GET", "/api/jobs/", 200, info("RUNNING", metadata=metadata))
    handle = executor.submit(executor.prepare(job), attached=False)
    assert handle.id == executor.prepare(job).submission_id(1)
    assert executor.find(job.folder) == handle


def test_the_same_build_of_another_launcher(head: Head, tmp_path: Path) -> None:
    executor = RayExecutor(answer=1)
    job = shared_job(head, tmp_path, key="k", env={"MY_TOKEN": "hush"})
    head.on("POST", "/api/jobs/", 400, "ValueError: Job with submission_id x already exists.")
    head.on("GET", "/api/jobs/", 200, info("RUNNING", metadata={"runspec_folder": "/other"}))
    handle = executor.submit(executor.prepare(job), attached=False)
    assert handle.folder == "/other"
    assert not JobPaths(job.folder).secrets.exists()
    assert executor.find(job.folder) == handle
    # It had ended, and whoever wanted to submit ours next did not live to do it.
    head.on("GET", "/api/jobs/", 200, info("FAILED", metadata={"runspec_folder": "/other"}))
    assert executor.find(job.folder) is None


def test_no_secret_is_left_where_nothing_runs(head: Head, tmp_path: Path) -> None:
    executor = RayExecutor(answer=1)
    job = shared_job(head, tmp_path, env={"MY_TOKEN": "hush"})
    head.on("POST", "/api/jobs/", 500, "no")
    with pytest.raises(ExecutionError, match="POST /api/jobs/ got 500 no"):
        executor.submit(executor.prepare(job), attached=False)
    assert not JobPaths(job.folder).secrets.exists()
    head.on("POST", "/api/jobs/", 200, {"submission_id": "x"})
    head.on("GET", "/api/jobs/", 200, info("PENDING"))
    handle = executor.submit(executor.prepare(job), attached=False)
    assert JobPaths(job.folder).secrets.exists()
    executor.cancel(handle)
    assert not JobPaths(job.folder).secrets.exists()


def test_a_dead_one_of_the_same_build(head: Head, tmp_path: Path) -> None:
    executor = RayExecutor(answer=1)
    job = shared_job(head, tmp_path, key="k")
    taken = (400, "ValueError: Job with submission_id x already exists.")
    answers = iter([taken, taken, (200, {"submission_id": "x"})])
    head.answers["POST", "/api/jobs/"] = lambda: next(answers)
    head.on("GET", "/api/jobs/", 200, info("FAILED", metadata={"runspec_folder": "/other"}))
    handle = executor.submit(executor.prepare(job), attached=False)
    assert handle.id.endswith("-a1-3") and handle.folder == str(job.folder)


@pytest.mark.parametrize(
    ("answer", "state", "code"),
    [
        (info("PENDING"), State.PENDING, None),
        (info("RUNNING"), State.RUNNING, None),
        (info("SUCCEEDED", driver_exit_code=0), State.SUCCEEDED, 0),
        (info("FAILED", driver_exit_code=3), State.FAILED, 3),
        (info("FAILED", driver_exit_code=-9), State.FAILED, 137),
        (info("FAILED", error_type="RUNTIME_ENV_SETUP_FAILURE"), State.FAILED, None),
        (info("FAILED", error_type="JOB_SUPERVISOR_ACTOR_DIED"), State.UNFINISHED, None),
        (info("STOPPED"), State.CANCELLED, None),
    ],
)
def test_states(
    head: Head, tmp_path: Path, answer: dict[str, Any], state: State, code: int | None
) -> None:
    executor = RayExecutor(answer=1)
    job = shared_job(head, tmp_path)
    head.on("POST", "/api/jobs/", 200, {"submission_id": "x"})
    head.on("GET", "/api/jobs/", 200, answer)
    handle = executor.submit(executor.prepare(job), attached=False)
    status = executor.status(handle)
    assert (status.state, status.exit_code) == (state, code)
    if state.is_final:
        # Nobody needs the cluster to know that, from now on.
        head.on("GET", "/api/jobs/", 404, "Job x does not exist")
        assert RayExecutor(answer=1).status(handle) == status


def test_a_job_that_the_cluster_forgot(head: Head, tmp_path: Path) -> None:
    job = shared_job(head, tmp_path)
    head.on("POST", "/api/jobs/", 200, {"submission_id": "x"})
    head.on("GET", "/api/jobs/", 404, "Job x does not exist")
    waiting = RayExecutor(answer=1, forgotten=3600)
    handle = waiting.submit(waiting.prepare(job), attached=False)
    status = waiting.status(handle)
    # Its nodes may not know yet: another start could meet it.
    assert status.state is State.RUNNING and "forgot" in str(status.why)
    at_once = RayExecutor(answer=1, forgotten=0)
    status = at_once.status(handle)
    assert status.state is State.UNFINISHED and "forgot" in str(status.why)
    assert waiting.status(handle) == status


def test_a_forgotten_job_that_is_known_to_have_ended(head: Head, tmp_path: Path) -> None:
    job = shared_job(head, tmp_path)
    head.on("POST", "/api/jobs/", 200, {"submission_id": "x"})
    head.on("GET", "/api/jobs/", 404, "Job x does not exist")
    executor = RayExecutor(answer=1, forgotten=0)
    handle = executor.submit(executor.prepare(job), attached=False)
    record = {"state": "ended", "exit_code": 0, "cancelled": False}
    times = {"started_at": 1.0, "ended_at": 3.0}
    JobPaths(job.folder).status.write_text(json.dumps({**record, **times}))
    assert executor.status(handle).state is State.SUCCEEDED


def test_a_job_whose_node_was_lost(head: Head, tmp_path: Path, monkeypatch: Any) -> None:
    job = shared_job(head, tmp_path)
    head.on("POST", "/api/jobs/", 200, {"submission_id": "x"})
    head.on("GET", "/api/jobs/", 200, info("FAILED", error_type="JOB_SUPERVISOR_ACTOR_DIED"))
    executor = RayExecutor(answer=1)
    handle = executor.submit(executor.prepare(job), attached=False)
    record = {"state": "running", "started_at": 1.0}
    JobPaths(job.folder).status.write_text(json.dumps(record))
    # Its supervisor may be about to write how it ended.
    assert executor.status(handle).state is State.RUNNING
    monkeypatch.setattr(ray_executor, "_RECORD_SECONDS", 0.05)
    status = executor.wait(handle, 30)
    assert status.state is State.UNFINISHED and "node" in str(status.why)


def test_refusals(head: Head, tmp_path: Path, monkeypatch: Any) -> None:
    executor = RayExecutor(answer=1)
    job = shared_job(head, tmp_path)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "sesame-" + "1234")
    for status, text in (
        (401, "RAY_AUTH_TOKEN"),
        (403, "does not take the token of RAY_AUTH_TOKEN"),
        (302, "another address"),
        (500, "it broke"),
    ):
        head.on("POST", "/api/jobs/", status, "Traceback\n  it broke\n")
        with pytest.raises(ExecutionError, match=text) as raised:
            executor.submit(executor.prepare(job), attached=False)
        assert "sesame" not in str(raised.value) and "\n" not in str(raised.value)
    assert head.seen[0][2]["Authorization"] == "Bearer sesame-1234"


def test_a_log_that_cannot_be_had_now(head: Head, tmp_path: Path) -> None:
    job = make_job(tmp_path, "", profile={"host": head.address})
    executor = RayExecutor(answer=1)
    head.on("PUT", "/api/packages/gcs/", 200, "")
    head.on("POST", "/api/jobs/", 200, {"submission_id": "x"})
    handle = executor.submit(executor.prepare(job), attached=False)
    head.on("GET", "/api/jobs/", 200, info("RUNNING", driver_node_id="n"))

    def goes_by() -> tuple[int, Any]:
        head.on("GET", "/api/jobs/", 200, info("SUCCEEDED", driver_exit_code=0))
        return 503, "Service Unavailable"

    head.answers["GET", "/api/v0/logs/stream"] = goes_by
    assert list(executor.logs(handle, follow=True)) == []
    assert executor.status(handle).state is State.SUCCEEDED


def test_nobody_answers(head: Head, tmp_path: Path) -> None:
    executor = RayExecutor(answer=0.3)
    job = shared_job(head, tmp_path)
    for status in (502, 503, 429):
        head.on("POST", "/api/jobs/", status, "not now")
        with pytest.raises(UnreachableError, match=str(status)):
            executor.submit(executor.prepare(job), attached=False)
    nobody = replace(job, profile={"host": "127.0.0.1:1", "remote_job_dir": str(tmp_path)})
    with pytest.raises(UnreachableError, match="refused"):
        executor.submit(executor.prepare(nobody), attached=False)
