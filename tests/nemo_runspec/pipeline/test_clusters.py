"""Pipelines on a cluster: queues, deaths on either side, answers that do not come."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nemo_runspec.executor_contract import wait_for
from tests.nemo_runspec.pipeline.cluster_workshop import GATE, Cluster, open_cluster, two_stages
from tests.nemo_runspec.pipeline.workshop import finish

# Ends by its time limit until it was started a third time.
SEGMENTS = """
with open(out / "attempts", "a") as attempts:
    attempts.write(os.environ["RUNSPEC_ATTEMPT"] + " ")
if os.environ["RUNSPEC_ATTEMPT"] != "3":
    sys.exit(99)
"""

# Queued again by the cluster itself, once.
REQUEUED = """
with open(out / "attempts", "a") as attempts:
    attempts.write(os.environ["RUNSPEC_ATTEMPT"] + " ")
if os.environ["RUNSPEC_ATTEMPT"] == "1":
    sys.exit(98)
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with open_cluster(tmp_path, monkeypatch) as shop:
        yield shop


def test_jobs_of_a_cluster(shop: Cluster) -> None:
    two_stages(shop)
    shop.gate.touch()
    code, out, err = shop.run_far()
    assert (code, err) == (0, "")
    assert "data: queued as job 1 of fake" in out or "data: running as job 1 of fake (" in out
    assert "model: built v1 in " in out
    assert sorted(path.name.partition("-")[2][7:] for path in shop.far_jobs()) == ["data", "model"]
    assert not shop.jobs()
    assert json.loads((shop.far_jobs()[-1] / "handle.json").read_text())["executor"] == "fake"
    assert shop.run_far()[1].startswith("nothing to do")
    assert shop.submitted() == 2


def test_a_killed_supervisor_finds_its_job(shop: Cluster) -> None:
    two_stages(shop)
    process = shop.far()
    shop.wait_until_runs()
    shop.kill_supervisor(process)
    plan = finish(shop.command("plan", str(shop.plan_folder), "--profile", "far"))[1]
    assert "held by job 2 of fake" in plan
    process = shop.far()
    wait_for(lambda: len(shop.far_pipelines()) == 2 and shop.supervisor(), "the second supervisor")
    shop.gate.touch()
    code, out, err = finish(process)
    assert (code, err) == (0, "")
    assert shop.ran() == ["data", "model"]
    assert shop.store.versions("model") == [1]
    assert shop.submitted() == 2


def test_a_job_that_ended_while_nobody_looked_is_recorded(shop: Cluster) -> None:
    two_stages(shop)
    process = shop.far()
    shop.wait_until_runs()
    shop.kill_supervisor(process)
    shop.gate.touch()
    ended = shop.root / "jobs" / "2" / "state.json"
    wait_for(lambda: "ended" in ended.read_text(), "the job's end")
    code, out, err = shop.run_far()
    assert (code, err) == (0, "")
    assert "model: built v1 in " in out
    assert shop.submitted() == 2


def test_a_job_that_cannot_be_told_of_is_not_submitted_again(shop: Cluster) -> None:
    two_stages(shop)
    process = shop.far()
    shop.wait_until_runs()
    known = shop.root / "jobs" / "2"
    away = known.rename(shop.root / "2")
    # It answers, and with an error that says nothing of the job.
    code, out, _ = finish(process)
    assert code == 1 and "model: stopped (what became of job 2 of fake cannot be told (" in out
    code, out, _ = shop.run_far()
    assert code == 1 and "model: stopped (what became of its last job cannot be told (" in out
    assert shop.submitted() == 1
    away.rename(known)
    shop.gate.touch()
    code, _, err = shop.run_far()
    assert (code, err) == (0, "")
    assert shop.ran() == ["data", "model"]
    assert shop.submitted() == 2


def test_killed_between_submit_and_handle(shop: Cluster) -> None:
    shop.plain("data", more=GATE)
    shop.control("die")
    assert finish(shop.far())[0] == 1
    assert shop.submitted() == 1
    shop.gate.touch()
    code, _, err = shop.run_far()
    assert (code, err) == (0, "")
    assert shop.ran() == ["data"]
    assert shop.submitted() == 1


def test_a_lost_answer_to_a_submit_is_no_second_submit(shop: Cluster) -> None:
    shop.plain("data")
    shop.control("swallow")
    code, out, err = shop.run_far()
    assert (code, err) == (0, "")
    assert "data: fake: fake: timed out; waits up to 10 min 00 s" in out
    assert "data: fake: goes on after " in out
    assert shop.submitted() == 1


def test_forced_again_while_it_runs_is_the_same_job(shop: Cluster) -> None:
    shop.plain("data", more=GATE)
    process = shop.far("--force")
    shop.wait_until_runs()
    shop.kill_supervisor(process)
    process = shop.far("--force")
    wait_for(lambda: len(shop.far_pipelines()) == 2 and shop.supervisor(), "the second supervisor")
    wait_for(lambda: shop.saw("running"), "it finds the job")
    shop.gate.touch()
    assert finish(process)[0] == 0
    assert shop.submitted() == 1
    assert shop.run_far("--force")[0] == 0
    assert shop.submitted() == 2


def test_a_cluster_that_does_not_answer_for_a_while(shop: Cluster) -> None:
    shop.plain("data", more=GATE)
    process = shop.far()
    shop.wait_until_runs()
    down = shop.control("down")
    assert process.stdout is not None
    told = next(line for line in process.stdout if "waits up to" in line)
    assert told == "data: fake: fake: connection refused; waits up to 10 min 00 s\n"
    down.unlink()
    shop.gate.touch()
    code, out, err = finish(process)
    assert (code, err) == (0, "")
    assert "data: built v1" in out
    assert shop.submitted() == 1


def test_a_cluster_that_does_not_answer_for_too_long(shop: Cluster) -> None:
    shop.plain("data", more=GATE)
    shop.plain("other", more=GATE)
    process = shop.far(RUNSPEC_PATIENCE="0.3")
    shop.wait_until_runs(times=2)
    down = shop.control("down")
    code, out, _ = finish(process)
    assert code == 1
    assert "data: stopped (fake does not answer (fake: connection refused): job " in out
    assert "was left alone and may still run; the next call looks for it first and submits" in out
    assert "fake does not answer; nothing more is started" in out
    assert "failed" not in out
    # It is neither submitted again nor taken for ended while nobody answers.
    code, out, _ = shop.run_far(RUNSPEC_PATIENCE="0.3")
    assert code == 1 and shop.submitted() == 2
    plan = finish(shop.command("plan", str(shop.plan_folder), "--profile", "far"))[1]
    assert "held by job" in plan
    down.unlink()
    shop.gate.touch()
    assert shop.run_far()[0] == 0
    assert shop.submitted() == 2
    assert sorted(shop.ran()) == ["data", "other"]


def test_a_bad_patience_is_refused(shop: Cluster) -> None:
    shop.plain("data")
    code, _, err = shop.run_far(RUNSPEC_PATIENCE="soon")
    assert code == 2
    assert "RUNSPEC_PATIENCE='soon' is no number of seconds, 0 or more" in err


def test_an_unfinished_job_goes_on_where_it_was(shop: Cluster) -> None:
    shop.profile(segments=3)
    shop.plain("model", more=SEGMENTS)
    code, out, err = shop.run_far()
    assert (code, err) == (0, "")
    assert "model: unfinished (time limit), goes on" in out
    model = Path(shop.manifest("model").path)
    assert (model / "attempts").read_text() == "1 2 3 "
    assert shop.store.versions("model") == [1]


def test_without_segments_an_unfinished_job_says_how_to_go_on(shop: Cluster) -> None:
    shop.plain("model", more=SEGMENTS)
    for attempt in (1, 2):
        code, _, err = shop.run_far()
        assert code == 1
        assert (
            "error: model: unfinished (time limit) after it was started once; the same command "
            "goes on where it is, more segments in the profile do so by themselves; log: "
        ) in err
        assert shop.submitted() == attempt
    assert shop.run_far()[0] == 0
    assert (Path(shop.manifest("model").path) / "attempts").read_text() == "1 2 3 "


def test_a_job_that_the_cluster_starts_again(shop: Cluster) -> None:
    shop.plain("model", more=REQUEUED)
    code, out, err = shop.run_far()
    assert (code, err) == (0, "")
    assert (Path(shop.manifest("model").path) / "attempts").read_text() == "1 2 "
    assert shop.submitted() == 1
    marker = Path(shop.manifest("model").path).with_name("1.json")
    assert json.loads(marker.read_text())["attempts"][0]["starts"] == 2


def test_retries_and_their_end(shop: Cluster) -> None:
    shop.profile(retries=1, retry_delay=0)
    shop.plain("model", more="sys.exit(3)")
    code, _, err = shop.run_far()
    assert code == 1 and "error: model: exit code 3; log: " in err
    assert shop.submitted() == 2


def test_a_timeout_counts_no_time_in_the_queue(shop: Cluster) -> None:
    shop.profile(timeout=1)
    hold = shop.control("hold")
    shop.plain("model", more=GATE)
    process = shop.far()
    wait_for(lambda: shop.submitted() == 1, "the submit")
    wait_for(lambda: shop.saw("queued"), "the queue")
    queued = shop.far_events()[-1]
    assert queued["id"] == "1" and queued["why"] == "Resources"
    hold.unlink()
    code, _, err = finish(process)
    assert code == 1
    assert "error: model: ended after its timeout of 1 s; log: " in err
    assert [e["event"] for e in shop.far_events()][1:3] == ["queued", "running"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_the_jobs_of_a_cluster(signum: signal.Signals, shop: Cluster) -> None:
    two_stages(shop)
    process = shop.far()
    shop.wait_until_runs()
    process.send_signal(signum)
    code, out, _ = finish(process)
    assert code == 128 + signum
    assert "model: stopped (goes on as job 2 of fake; follow it with: nemo-runspec jobs logs" in out
    shop.gate.touch()
    assert shop.run_far()[0] == 0
    assert shop.ran() == ["data", "model"]
    assert shop.submitted() == 2


def test_many_wait_in_the_queue_at_once(shop: Cluster) -> None:
    shop.control("hold")
    for number in range(20):
        shop.plain(f"part{number}")
    process = shop.far()
    wait_for(lambda: shop.submitted() == 16, "as many as wait by default")
    (shop.root / "hold").unlink()
    assert finish(process)[0] == 0
    assert shop.submitted() == 20
    shop.profile(parallel=2)
    hold = shop.control("hold")
    process = shop.far("--force")
    wait_for(lambda: shop.submitted() == 22, "as many as the profile says")
    hold.unlink()
    assert finish(process)[0] == 0


def test_a_store_that_is_read_only_for_a_while(shop: Cluster) -> None:
    shop.plain("model", more=GATE)
    process = shop.far()
    shop.wait_until_runs()
    versions = Path(shop.store.root) / "model"
    versions.mkdir(parents=True, exist_ok=True)
    away = versions.with_name("away")
    versions.rename(away)
    # Nothing can be made where a file is in the way, whoever we are.
    versions.write_text("")
    shop.gate.touch()
    assert process.stdout is not None
    next(
        line for line in process.stdout if "model: cannot write " in line and "waits up to" in line
    )
    versions.unlink()
    away.rename(versions)
    code, out, err = finish(process)
    assert (code, err) == (0, "")
    assert "model: goes on after " in out
    assert shop.store.versions("model") == [1]
    assert shop.submitted() == 1


def test_a_store_that_stays_read_only_loses_nothing(shop: Cluster) -> None:
    shop.plain("model", more=GATE)
    process = shop.far(RUNSPEC_PATIENCE="0.3")
    shop.wait_until_runs()
    versions = Path(shop.store.root) / "model"
    versions.write_text("")
    shop.gate.touch()
    code, out, _ = finish(process)
    assert code == 1
    assert "could not be recorded: cannot write " in out
    assert "nothing is lost, the next call records it" in out
    versions.unlink()
    assert shop.run_far()[0] == 0
    assert shop.submitted() == 1 and shop.ran() == ["model"]


def test_the_supervisor_is_a_job_of_the_cluster(shop: Cluster) -> None:
    shop.profile(supervisor="fake")
    two_stages(shop)
    code, out, err = shop.run_far("--detach", TOLD="it's $HOME")
    assert (code, err) == (0, "")
    pipeline = shop.far_pipelines()[-1]
    assert out.splitlines()[0] == f"runs as job 1 of fake in {pipeline}"
    assert f"stop it with: nemo-runspec jobs cancel {pipeline.name}; go on with: " in out
    shop.wait_until_runs()
    # It is ended on its node; the cluster's own jobs live on, and it goes on with them.
    os.kill(shop.supervisor(), signal.SIGKILL)
    state = shop.root / "jobs" / "1" / "state.json"
    wait_for(lambda: "ended" in state.read_text(), "the supervisor's end")
    process = shop.command("supervise", str(pipeline))
    wait_for(
        lambda: len([e for e in shop.far_events() if e["event"] == "begin"]) == 2, "it goes on"
    )
    shop.gate.touch()
    assert finish(process)[0] == 0
    assert shop.ran() == ["data", "model"]
    assert shop.submitted() == 3
    assert shop.far_events()[-1]["exit_code"] == 0


def test_attached_to_a_supervisor_on_the_cluster(shop: Cluster) -> None:
    shop.profile(supervisor="fake")
    two_stages(shop)
    hold = shop.control("hold")
    process = shop.far()
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "the pipeline's supervisor is job 1 of fake, pending: Resources\n"
    hold.unlink()
    shop.wait_until_runs()
    # An answer that says nothing of it is no end of it.
    away = (shop.root / "jobs" / "1").rename(shop.root / "1")
    told = "job 1 of fake: how it stands cannot be told: no job 1\n"
    assert next(line for line in process.stdout if line == told)
    away.rename(shop.root / "jobs" / "1")
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130
    assert err.splitlines()[-1].startswith("go on with: ")
    wait_for(lambda: shop.saw("end"), "the supervisor's end")
    shop.gate.touch()
    code, out, err = shop.run_far()
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("built 1, 1 fresh, ")
    assert shop.submitted() == 4 and shop.ran() == ["data", "model"]


def test_a_supervisor_of_another_cluster_is_refused(shop: Cluster) -> None:
    shop.profile(supervisor="slurms")
    shop.plain("data")
    code, _, err = shop.run_far()
    assert code == 2
    assert "profile 'far': supervisor is 'slurms' and executor 'fake'; a supervisor is a job" in err


def test_foreach_on_a_cluster(shop: Cluster) -> None:
    shop.library(
        "data",
        """
        (out / "x").write_text("1")
        log_artifact(Artifact(path=out, metadata={"parts": [3, 1, 3]}), tracking, name="data")
        """,
    )
    config = "value: ${run.element.value}\n"
    shop.plain("each", config=config, inputs={"data": "data"}, foreach="data:parts")
    code, _, err = shop.run_far()
    assert (code, err) == (0, "")
    assert sorted(shop.ran()) == ["data", "each", "each"]
    assert len(shop.manifest("each").metadata["elements"]) == 3
    assert shop.run_far()[1].startswith("nothing to do")


def test_elements_are_gathered_once_by_a_store_that_is_away_in_between(shop: Cluster) -> None:
    shop.library(
        "data",
        """
        (out / "x").write_text("1")
        log_artifact(Artifact(path=out, metadata={"parts": [3, 1]}), tracking, name="data")
        """,
    )
    config = "value: ${run.element.value}\n"
    shop.plain("each", config=config, inputs={"data": "data"}, foreach="data:parts")
    versions = Path(shop.store.root) / "each"
    versions.mkdir(parents=True)
    # Its manifest can be written, and not what lets its key stand for it.
    (versions / "keys").write_text("")
    process = shop.far()
    assert process.stdout is not None
    next(line for line in process.stdout if "each: cannot write " in line)
    assert shop.store.versions("each") == [1]
    (versions / "keys").unlink()
    code, _, err = finish(process)
    assert (code, err) == (0, "")
    assert shop.store.versions("each") == [1]
