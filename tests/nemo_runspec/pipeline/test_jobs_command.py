"""`nemo-runspec jobs …`, `doctor` and `--preflight`, on the fake cluster and here."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.nemo_runspec.executor_contract import wait_for
from tests.nemo_runspec.pipeline.cluster_workshop import GATE, Cluster, open_cluster, two_stages
from tests.nemo_runspec.pipeline.workshop import finish


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with open_cluster(tmp_path, monkeypatch) as shop:
        yield shop


def jobs(shop: Cluster, *arguments: str, **env: str) -> tuple[int, str, str]:
    return finish(shop.command("jobs", *arguments, env=env))


def listed(shop: Cluster) -> dict[str, dict[str, Any]]:
    code, out, err = jobs(shop, "ls", "--json")
    assert (code, err) == (0, "")
    return {each["name"]: each for each in json.loads(out)}


def test_jobs_are_seen_from_anywhere(shop: Cluster) -> None:
    assert jobs(shop, "ls")[1] == f"no jobs in {shop.repository}/.runspec/jobs, {shop.shared}\n"
    two_stages(shop)
    process = shop.far()
    shop.wait_until_runs()
    found = listed(shop)
    assert {name: each["state"] for name, each in found.items()} == {
        "data": "succeeded",
        "model": "running",
        "pipeline": "running",
    }
    model = found["model"]
    assert (model["executor"], model["id"], model["kind"]) == ("fake", "2", "job")
    assert Path(model["folder"]).parent == shop.shared
    table = jobs(shop, "ls", "mod*")[1].splitlines()
    assert table[0].split() == ["NAME", "EXECUTOR", "ID", "STATE", "AGE", "FOLDER"]
    assert table[1].split()[:4] == ["model", "fake", "2", "running"] and len(table) == 2
    assert "waits\n" in jobs(shop, "logs", "2")[1]
    follower = shop.command("jobs", "logs", "-f", model["folder"])
    waiter = shop.command("jobs", "wait", Path(found["pipeline"]["folder"]).name)
    shop.gate.touch()
    assert finish(follower)[:2] == (0, "waits\n")
    assert finish(waiter)[0] == 0
    assert finish(process)[0] == 0
    assert jobs(shop, "wait", "model")[0] == 0
    assert "model: built v1" in jobs(shop, "logs", "pipeline")[1]


def test_a_cancelled_job(shop: Cluster) -> None:
    two_stages(shop)
    process = shop.far()
    shop.wait_until_runs()
    code, out, err = jobs(shop, "cancel", "2", "data")
    assert (code, err) == (0, "")
    told, had_ended = out.splitlines()
    assert told.endswith("-model: told to end")
    assert had_ended.endswith("-data: had ended (succeeded)")
    code, _, err = finish(process)
    assert code == 1 and "error: model: cancelled; log: " in err
    code, _, err = jobs(shop, "wait", "model")
    assert code == 143 and err.endswith("-model: cancelled\n")
    assert jobs(shop, "wait", "pipeline")[0] == 1


def test_a_cancelled_pipeline(shop: Cluster) -> None:
    shop.plain("model", more=GATE)
    process = shop.far()
    shop.wait_until_runs()
    code, out, err = jobs(shop, "cancel", "-pipeline")
    assert (code, err) == (2, "error: " + err.partition("error: ")[2])
    code, out, err = jobs(shop, "cancel", "pipeline")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].endswith("-pipeline: told to end")
    assert out.splitlines()[1].endswith("-model: goes on as job 1 of fake")
    assert finish(process)[0] == 1
    code, out, _ = jobs(shop, "cancel", "pipeline", "--with-jobs")
    assert code == 0
    assert [line.rpartition(": ")[2] for line in out.splitlines()] == [
        "had ended (failed)",
        "told to end",
    ]
    wait_for(lambda: listed(shop)["model"]["state"] == "cancelled", "its end")


def test_what_is_no_job(shop: Cluster) -> None:
    code, _, err = jobs(shop, "logs", "nothing")
    assert code == 2
    assert err.startswith(f"error: no job 'nothing' in {shop.repository}/.runspec/jobs, ")
    code, _, err = jobs(shop, "wait", str(shop.folder))
    assert (code, err) == (2, f"error: {shop.folder}: no job was started in this folder\n")
    code, _, err = jobs(shop, "lost")
    assert code == 2 and "did you mean" in err or "ls" in err
    code, out, _ = jobs(shop, "cancel", "--help")
    assert code == 0 and "--with-jobs" in out and "--store" not in out


def test_a_broken_folder_hides_no_other(shop: Cluster) -> None:
    shop.plain("data")
    assert shop.run_far()[0] == 0
    (state,) = [path / "state.json" for path in shop.far_pipelines()]
    state.write_text('{"machine": "host", "process": []}')
    broken = shop.shared / "20260101-000000-broken"
    broken.mkdir()
    (broken / "handle.json").write_text("{")
    code, out, err = jobs(shop, "ls", "--json")
    assert code == 0
    found = {each["name"]: each for each in json.loads(out)}
    assert found["data"]["state"] == "succeeded" and len(found) == 2
    assert found["pipeline"]["why"].startswith(f"{state}: cannot be read: ")
    assert err.startswith(f"note: {broken}/handle.json: no handle of a job: ")
    assert jobs(shop, "wait", "data")[0] == 0
    code, _, err = jobs(shop, "cancel", "pipeline")
    assert code == 1 and err.splitlines()[-1].startswith("error: ")


def test_a_text_that_several_jobs_have(shop: Cluster) -> None:
    shop.plain("part1")
    shop.plain("part2")
    assert shop.run_far()[0] == 0
    code, _, err = jobs(shop, "logs", "part")
    assert code == 2
    assert err.startswith("error: 'part' may mean ") and err.endswith("; name one of the folders\n")


def test_nobody_answers(shop: Cluster) -> None:
    shop.plain("model", more=GATE)
    process = shop.far()
    shop.wait_until_runs()
    down = shop.control("down")
    assert listed(shop)["model"]["state"] == "unknown"
    code, _, err = jobs(shop, "wait", "model", RUNSPEC_PATIENCE="0.2")
    assert code == 2
    assert "note: fake: connection refused; waits up to 0.2 s" in err
    assert "error: fake: connection refused; the job was left alone" in err
    down.unlink()
    shop.gate.touch()
    assert finish(process)[0] == 0


def test_jobs_of_this_machine(shop: Cluster) -> None:
    shop.plain("data", more="sys.exit(7)")
    assert shop.materialize()[0] == 1
    assert listed(shop)["data"]["exit_code"] == 7
    code, _, err = jobs(shop, "wait", "data")
    assert code == 7 and err.endswith("-data: failed\n")


def test_follow_is_no_end_of_the_job(shop: Cluster) -> None:
    shop.plain("model", more=GATE)
    process = shop.far()
    shop.wait_until_runs()
    follower = shop.command("jobs", "logs", "-f", "model")
    assert follower.stdout is not None and follower.stdout.readline() == "waits\n"
    follower.send_signal(signal.SIGINT)
    assert finish(follower)[0] == 130
    shop.gate.touch()
    assert finish(process)[0] == 0


def test_a_preflight_that_fails_starts_nothing(shop: Cluster) -> None:
    shop.profile(gpus_per_node=1000)
    shop.plain("data")
    shop.artifact("other", shop.recipe("other", "import there_is_no_such_package"), output=".")
    code, out, err = shop.run_far("--preflight")
    assert (code, err.splitlines()[-1]) == (1, "error: nothing was started")
    assert "preflight of src/demo:data: not ready" in out
    assert [line.split() for line in out.splitlines() if line.startswith("gpus")][0] == [
        *("gpus", "FAILED", "0", "of", "1000")
    ]
    assert "cannot be imported: there_is_no_such_package" in out
    assert shop.ran() == []
    assert not shop.store.versions("data")


def test_a_preflight_that_succeeds(shop: Cluster) -> None:
    shop.profile(gpus_per_node=0)
    shop.plain("data")
    code, out, err = shop.run_far("--preflight")
    assert code == 0, out + err
    assert "preflight of src/demo:data: all is well" in out
    store = next(line.split() for line in out.splitlines() if line.startswith("store"))
    assert store == ["store", "ok", shop.store.root]
    assert shop.ran() == ["data"]
    # What was tried leaves nothing behind.
    assert [path.name.rpartition("-")[2] for path in shop.far_jobs()] == ["data"]
    assert list((Path(shop.store.root) / "_probe").iterdir()) == []


def test_an_interrupted_preflight_ends_its_jobs(shop: Cluster) -> None:
    shop.plain("data")
    shop.plain("other")
    hold = shop.control("hold")
    process = shop.far("--preflight")
    wait_for(lambda: len(list(shop.root.glob("jobs/*/job.json"))) == 2, "both are queued")
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130 and "Traceback" not in err
    assert len(list(shop.root.glob("jobs/*/cancel"))) == 2
    hold.unlink()
    assert shop.ran() == []


def test_a_preflight_by_hand(shop: Cluster) -> None:
    shop.profile(gpus_per_node=0)
    shop.plain("data")
    shop.write()
    recipe = ["recipe", str(shop.bundles / "data"), "--preflight"]
    code, out, err = finish(shop.command(*recipe, "--profile", "far"))
    assert code == 0, err
    assert "preflight of data: all is well" in out
    assert shop.submitted() == 2
    # And here, without a profile.
    code, out, err = finish(shop.command(*recipe))
    assert code == 0, err
    assert f"{sys.version.split()[0]}, " in out
    shop.profile(gpus_per_node=1000)
    code, out, err = finish(shop.command(*recipe, "--profile", "far"))
    assert (code, err.splitlines()[-1]) == (1, "error: data: nothing was started")
    assert sorted(shop.ran()) == ["data", "data"]


def test_a_node_without_the_store(shop: Cluster) -> None:
    shop.plain("data")
    shop.write()
    (shop.repository / "env.toml").open("a").write('[artifacts]\noutput_root = "/proc/none"\n')
    code, out, _ = finish(shop.command("doctor", "--profile", "far", "--no-job"))
    assert code == 1
    assert "/proc/none cannot be written: " in out
    assert shop.submitted() == 0


def test_the_doctor(shop: Cluster) -> None:
    shop.profile(gpus_per_node=0)
    shop.plain("data")
    shop.write()
    code, out, _ = finish(shop.command("doctor", "--profile", "far"))
    assert code == 0, out
    assert out.splitlines()[0] == "this machine: all is well"
    assert "profile far: all is well" in out
    assert "a node: all is well" in out
    code, out, _ = finish(shop.command("doctor", str(shop.bundles / "data"), "--profile", "far"))
    assert code == 0 and "preflight of data: all is well" in out
    code, _, err = finish(shop.command("doctor", str(shop.bundles / "data")))
    assert (code, err.partition(":")[0]) == (2, "error")
    assert "--profile PROFILE" in err


def test_the_doctor_on_what_cannot_work(shop: Cluster) -> None:
    (shop.repository / "env.toml").write_text('[far]\nexecutor = "slurm"\n')
    code, out, _ = finish(shop.command("doctor", "--profile", "far", env={"PATH": "/nowhere"}))
    assert code == 1
    assert "no sbatch in PATH; run this where it is, or set tunnel" in out
    assert out.splitlines()[-1] == "no job was started"
    shop.profile(supervisor="slurm")
    code, _, err = finish(shop.command("doctor", "--profile", "far", "--no-job"))
    assert code == 2 and "supervisor is 'slurm' and executor 'fake'" in err


def test_inputs_of_a_job_by_hand_on_a_cluster(shop: Cluster) -> None:
    two_stages(shop)
    shop.write()
    recipe = ["recipe", str(shop.bundles / "model"), "--profile", "far"]
    env = {
        "RUNSPEC_INPUTS_PLAN": str(shop.plan_folder),
        "RUNSPEC_INPUTS_BUNDLES": str(shop.bundles),
    }
    shop.gate.touch()
    code, _, err = finish(shop.command(*recipe, env=env))
    assert code == 2
    assert "model is to run on fake, and what it reads is not up to date: data is stale" in err
    assert shop.submitted() == 0
    code, _, err = finish(shop.command(*recipe, "--build-inputs", env=env))
    assert code == 0, err
    assert shop.ran() == ["data", "model"]
    assert shop.submitted() == 2
