"""Crashes, several at once, and being told to stop: with real processes, by event."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.execution.supervisor import find_process
from nemo_runspec.jobs import JobPaths
from nemo_runspec.store import HeldLease, Lease
from tests.nemo_runspec.executor_contract import wait_for
from tests.nemo_runspec.pipeline.workshop import Workshop, finish

# Goes on once there is a file.
GATE = """
import time
(out / "seen").touch()
print("waits", flush=True)
while not os.path.exists(os.environ["GATE"]):
    time.sleep(0.01)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "gate"
    monkeypatch.setenv("GATE", str(path))
    yield path
    path.touch()


def supervisor(shop: Workshop) -> int:
    return int(json.loads((shop.pipelines()[-1] / "state.json").read_text())["process"]["pid"])


def wait_until_runs(shop: Workshop, name: str, times: int = 1) -> JobPaths:
    def found() -> list[Path]:
        jobs = [JobPaths(each) for each in shop.jobs() if each.name.rstrip("-2345").endswith(name)]
        return [job.folder for job in jobs if job.log.exists() and "waits" in job.log.read_text()]

    wait_for(lambda: len(found()) >= times, f"{name} runs")
    return JobPaths(found()[-1])


def pids(job: JobPaths) -> list[int]:
    record = json.loads(job.status.read_text())
    return [record["job"]["pid"], record["supervisor"]["pid"]]


def two_stages(shop: Workshop) -> None:
    shop.plain("data")
    shop.plain("model", more=GATE, config="x: ${art:data}\n", inputs={"data": "data"})


def lease_is_free(shop: Workshop) -> bool:
    """Whether nobody holds any lease."""
    root = Path(shop.store.root) / "_leases"
    ids = {str(path.parent.relative_to(root)) for path in root.rglob("_[0-9]*")}
    return not any(shop.store.lease_holder(each) for each in ids)


def test_a_killed_supervisor_resumes(shop: Workshop, gate: Path) -> None:
    two_stages(shop)
    process = shop.start()
    job = wait_until_runs(shop, "model")
    killed = [*pids(job), supervisor(shop)]
    os.kill(killed[-1], signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 1
    assert "the pipeline's supervisor was ended; its log: " in err
    assert err.splitlines()[-1].startswith("go on with: ")
    wait_for(lambda: not any(map(find_process, killed)), "the end of all processes")
    assert shop.ran() == ["data", "model"]
    gate.touch()
    code, out, err = shop.materialize()
    assert (code, err) == (0, "")
    assert shop.ran() == ["model"]
    assert "model: running, attempt 2 (" in out
    model = shop.manifest("model")
    assert Path(model.path).name == "1" and model.version == 1
    assert (Path(model.path) / "seen").exists()
    assert lease_is_free(shop)
    assert shop.materialize()[1].startswith("nothing to do")


def test_a_killed_job_fails_and_the_next_call_goes_on_in_its_folder(
    shop: Workshop, gate: Path
) -> None:
    two_stages(shop)
    process = shop.start()
    job = wait_until_runs(shop, "model")
    os.kill(pids(job)[0], signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 1
    assert err.splitlines()[0] == f"error: model: exit code 137; log: {job.log}"
    gate.touch()
    assert shop.materialize()[0] == 0
    assert Path(shop.manifest("model").path).name == "1"
    assert shop.ran() == ["data", "model", "model"]


def test_the_second_shows_who_builds_it_and_waits(shop: Workshop, gate: Path) -> None:
    two_stages(shop)
    first = shop.start()
    wait_until_runs(shop, "model")
    second = shop.start()
    line = read_until(second, "waiting")
    assert line.startswith("model: waiting, ") and f"process {supervisor_of(shop, 0)}" in line
    gate.touch()
    assert finish(first)[0] == 0
    code, out, err = finish(second)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("2 fresh, ")
    assert shop.ran() == ["data", "model"]
    assert shop.store.versions("model") == [1]


def test_a_dead_holder_is_taken_over_once(shop: Workshop, gate: Path) -> None:
    two_stages(shop)
    first = shop.start()
    wait_until_runs(shop, "model")
    others = [shop.start(), shop.start()]
    for each in others:
        read_until(each, "waiting")
    os.kill(supervisor_of(shop, 0), signal.SIGKILL)
    assert finish(first)[0] == 1
    wait_until_runs(shop, "model", times=2)
    gate.touch()
    for each in others:
        assert finish(each)[0] == 0
    assert shop.ran() == ["data", "model", "model"]
    assert shop.store.versions("model") == [1]


def test_what_ended_well_unrecorded_is_recorded_by_the_next(shop: Workshop, gate: Path) -> None:
    """Killed between the job's end and its record, by a store that is away just then."""
    two_stages(shop)
    process = shop.start()
    wait_until_runs(shop, "model")
    (lease,) = [p for p in (Path(shop.store.root) / "_leases").rglob("_1") if "model" in str(p)]
    # The lease is somebody else's now: what the job makes must not be recorded.
    lease.with_name("_2").write_text(lease.read_text())
    gate.touch()
    code, _, err = finish(process)
    assert code == 1
    assert "was taken over by somebody else while it ran" in err
    assert shop.store.versions("model") == []
    code, out, err = shop.materialize()
    assert (code, err) == (0, "")
    assert "model: built v1 in " in out
    assert shop.ran() == ["data", "model"]


def test_a_version_without_a_key_keeps_its_data(shop: Workshop, gate: Path) -> None:
    shop.library(
        "data",
        """
        import time
        (out / "x").write_text(os.environ["RUNSPEC_ATTEMPT"])
        log_artifact(Artifact(path=out), tracking, name="data")
        print("waits", flush=True)
        while not os.path.exists(os.environ["GATE"]):
            time.sleep(0.01)
        """,
    )
    process = shop.start()
    job = wait_until_runs(shop, "data")
    os.kill(pids(job)[0], signal.SIGKILL)
    assert finish(process)[0] == 1
    first = shop.manifest("data", 1)
    assert shop.store.keys("data") == {}
    gate.touch()
    assert shop.materialize()[0] == 0
    second = shop.manifest("data", 2)
    assert Path(first.path).name == "1" and Path(second.path).name == "2"
    assert (Path(first.path) / "x").read_text() == "1"
    assert list(shop.store.keys("data")) == [second.key]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_jobs_of_this_machine(
    signum: signal.Signals, shop: Workshop, gate: Path
) -> None:
    two_stages(shop)
    process = shop.start(env={"RUNSPEC_COMMAND": "pants materialize x::"})
    job = wait_until_runs(shop, "model")
    process.send_signal(signum)
    code, out, err = finish(process)
    assert code == 128 + signum
    assert "model: stopped (ended)" in out
    assert err == "go on with: pants materialize x::\n"
    assert not any(map(find_process, pids(job)))
    assert lease_is_free(shop)
    gate.touch()
    assert shop.materialize()[0] == 0
    assert shop.ran() == ["data", "model", "model"]


def test_detached_it_goes_on_by_itself(shop: Workshop, gate: Path) -> None:
    two_stages(shop)
    code, out, err = shop.materialize("--detach")
    assert (code, err) == (0, "")
    (folder,) = shop.pipelines()
    assert f"nemo-runspec jobs logs -f {folder}" in out
    for path in (shop.plan_folder / "plan.json", shop.bundles / "data" / "bundle.json"):
        path.unlink()
    job = wait_until_runs(shop, "model")
    gate.touch()
    wait_for(lambda: ended(folder), "the supervisor's end")
    assert json.loads((folder / "state.json").read_text())["exit_code"] == 0
    log = (folder / "log").read_text().splitlines()
    assert log[-1].startswith("built 2, ")
    assert shop.manifest("model").run["job"] == str(job.folder)


def test_a_detached_one_is_ended_by_its_process(shop: Workshop, gate: Path) -> None:
    two_stages(shop)
    assert shop.materialize("--detach")[0] == 0
    job = wait_until_runs(shop, "model")
    (folder,) = shop.pipelines()
    os.kill(supervisor(shop), signal.SIGTERM)
    wait_for(lambda: ended(folder), "the supervisor's end")
    assert not any(map(find_process, pids(job)))
    assert json.loads((folder / "state.json").read_text())["exit_code"] == 1
    assert shop.events()[-1]["stopped"] == 1


def test_a_reader_that_leaves_ends_it(shop: Workshop, gate: Path) -> None:
    # The next line finds nobody; the second stage would wait for ever.
    two_stages(shop)
    process = shop.start()
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 128 + signal.SIGPIPE
    assert process.stderr is not None
    assert process.stderr.read().startswith("go on with: ")
    process.stderr.close()


def test_jobs_run_side_by_side_as_far_as_the_profile_says(shop: Workshop, tmp_path: Path) -> None:
    """Each of two waits for the other: they end only if both run."""
    meet = """
    import time
    (here := Path(os.environ["MEET"])).mkdir(exist_ok=True)
    (here / NAME).touch()
    while len(list(here.iterdir())) < 2:
        time.sleep(0.01)
    """
    shop.plain("one", more=meet)
    shop.plain("two", more=meet)
    (shop.repository / "env.toml").write_text("[wide]\nparallel = 2\n[odd]\nparallel = 0\n")
    env = {"MEET": str(tmp_path / "meet")}
    assert shop.materialize("--profile", "wide", env=env)[0] == 0
    assert sorted(shop.ran()) == ["one", "two"]
    shop.plain("three")
    assert "parallel must be a number" in shop.materialize("--profile", "odd")[2]


def test_a_hundred_fresh_artifacts_below_one_that_runs(shop: Workshop) -> None:
    shop.plain("top")
    recipe = shop.recipe("fan", "raise SystemExit(1)\n")
    shop.artifact("fan0", recipe, output=".", inputs=["top"])
    for number in range(1, 100):
        shop.artifact(f"fan{number}", recipe, output=".", inputs=[f"fan{number - 1}"])
    code, out, _ = shop.materialize("--keep-going")
    assert code == 1
    assert out.splitlines()[-1].startswith("built 1, 1 failed, 99 not run, ")


def ended(folder: Path) -> bool:
    return json.loads((folder / "state.json").read_text())["exit_code"] is not None


def supervisor_of(shop: Workshop, index: int) -> int:
    state: dict[str, Any] = json.loads((shop.pipelines()[index] / "state.json").read_text())
    return int(state["process"]["pid"])


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"{text!r} never came")


def test_leases_are_the_stores(shop: Workshop) -> None:
    held = shop.store.acquire("a/b", {"user": "me"})
    assert isinstance(held, Lease)
    assert isinstance(shop.store.acquire("a/b", {}), HeldLease)
    assert not lease_is_free(shop)
    held.release()
    assert lease_is_free(shop)


def test_a_store_that_gives_no_lease_is_waited_for_so_long(shop: Workshop) -> None:
    shop.plain("data")
    shop.plain("model", config="x: ${art:data}\n", inputs={"data": "data"})
    leases = Path(shop.store.root) / "_leases"
    leases.mkdir(parents=True)
    # It can be read; nothing can be made where a file is in the way, whoever we are.
    (leases / "data").write_text("")
    code, out, err = finish(shop.start(env={"RUNSPEC_PATIENCE": "1.5"}))
    assert code == 1
    assert out.count("; waits up to 1.5 s") == 1
    assert "error: data: cannot write " in err
    assert "model: not run, data failed" in out
    (leases / "data").unlink()
    assert finish(shop.start())[0] == 0
