"""What is made of a pipeline's events that a run from end to end seldom has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.artifacts.job_context import JobContext, JobInput
from nemo_runspec.artifacts.view import StoreView
from nemo_runspec.jobs import JobPaths
from nemo_runspec.openlineage.pipeline import told_to_openlineage
from nemo_runspec.pipeline.events import make_event
from nemo_runspec.pipeline.run import Events
from nemo_runspec.store import VersionDraft, open_store
from tests.nemo_runspec.openlineage.receiver import check

ROOTS = ["src/demo:model.artifact"]


class Pipeline:
    """Events of a pipeline that nobody runs, and what OpenLineage was told of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.view = StoreView(open_store(str(folder / "store")))
        self.events = Events()

    def job(self, number: int, run_id: str | None = None) -> str:
        """A job's folder, with what the job was told."""
        paths = JobPaths(self.folder / f"job {number}")
        paths.folder.mkdir()
        context = JobContext(
            root=self.view.root,
            artifact="model",
            key=f"key{number}",
            input_list=(JobInput("data", 3, "/d", "DataArtifact"), JobInput("data", 4, "/e")),
            run={
                "id": run_id or f"{number:032x}",
                "user": "ada",
                "recipe": "src/demo:train",
                "address": ROOTS[0],
                "started_at": f"2026-01-31T23:59:5{number}+00:00",
            },
        )
        paths.context.write_text(context.to_json())
        return str(paths.folder)

    def told(self, *, but_pipeline: bool = True) -> list[dict[str, Any]]:
        lines = (self.folder / "events.jsonl").read_text().splitlines()
        events = check([json.loads(line) for line in lines])
        return [each for each in events if not but_pipeline or each["job"]["name"] == ROOTS[0]]


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "file")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", str(tmp_path / "events.jsonl"))
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__APPEND", "true")
    return Pipeline(tmp_path)


def hear(pipeline: Pipeline, *events: dict[str, Any]) -> None:
    with told_to_openlineage(pipeline.events, pipeline.view, pipeline.folder, ROOTS):
        listener = pipeline.events.listener
        assert listener is not None
        for event in events:
            listener(make_event(**event))
    assert pipeline.events.listener is None


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [each["eventType"] for each in events]


def test_a_job_that_never_ran(pipeline: Pipeline) -> None:
    hear(
        pipeline,
        {"kind": "queued", "name": "model", "job": pipeline.job(1), "executor": "slurm"},
        {"kind": "failed", "name": "model", "why": "exit code 1"},
        {"kind": "end", "exit_code": 1, "failed": 1, "skipped": 0},
    )
    start, fail = pipeline.told()
    assert kinds([start, fail]) == ["START", "FAIL"]
    assert start["run"]["runId"] == "00000000-0000-0000-0000-000000000001"
    assert [each["facets"]["version"]["datasetVersion"] for each in start["inputs"]] == ["v3", "v4"]
    assert kinds(pipeline.told(but_pipeline=False))[-1] == "FAIL"


def test_a_job_that_is_queued_again_is_one_run(pipeline: Pipeline) -> None:
    job = pipeline.job(1)
    news = {"name": "model", "job": job, "executor": "slurm"}
    pipeline.view.store.add_version("model", VersionDraft("/m", "ModelArtifact"))
    hear(
        pipeline,
        {"kind": "queued", **news},
        {"kind": "running", **news},
        {"kind": "queued", **news},
        {"kind": "running", **news},
        {"kind": "built", "name": "model", "version": 1},
        {"kind": "end", "exit_code": 0},
    )
    assert kinds(pipeline.told()) == ["START", "COMPLETE"]
    assert kinds(pipeline.told(but_pipeline=False)) == ["START", "START", "COMPLETE", "COMPLETE"]


def test_a_job_of_this_machine_is_ended_with_its_pipeline(pipeline: Pipeline) -> None:
    hear(
        pipeline,
        {"kind": "running", "name": "model", "job": pipeline.job(1)},
        {"kind": "stopped", "name": "model", "why": "it was told to stop"},
        {"kind": "end", "exit_code": 1, "failed": 0, "stopped": 1},
    )
    events = pipeline.told(but_pipeline=False)
    assert kinds(events) == ["START", "START", "ABORT", "ABORT"]
    assert events[2]["run"]["facets"]["errorMessage"]["message"] == "it was told to stop"
    assert events[3]["job"]["name"] == f"materialize {ROOTS[0]}"


def test_a_job_of_a_cluster_goes_on_without_its_pipeline(pipeline: Pipeline) -> None:
    job = {"name": "model", "job": pipeline.job(1), "executor": "slurm"}
    stopped = {"kind": "stopped", "name": "model", "why": "goes on as job 12"}
    hear(
        pipeline,
        {"kind": "running", **job},
        stopped,
        {"kind": "end", "exit_code": 1, "stopped": 1},
    )
    assert kinds(pipeline.told()) == ["START"]
    # The next supervisor finds it; the pipeline's run is the same one.
    pipeline.view.store.add_version("model", VersionDraft("/m"))
    hear(
        pipeline,
        {"kind": "running", **job},
        {"kind": "built", "name": "model", "version": 1},
        {"kind": "end", "exit_code": 0},
    )
    told = pipeline.told()
    assert kinds(told) == ["START", "START", "COMPLETE"]
    assert len({each["run"]["runId"] for each in told}) == 1
    everything = pipeline.told(but_pipeline=False)
    whole = {each["run"]["runId"] for each in everything if each not in told}
    assert len(whole) == 1


def test_a_version_whose_job_nobody_saw(pipeline: Pipeline) -> None:
    run = {"id": "f" * 32, "address": ROOTS[0], "started_at": "2026-01-31T23:59:59+00:00"}
    draft = VersionDraft("/m", used_artifacts=("data:v3",), run=run)
    pipeline.view.store.add_version("model", draft)
    hear(
        pipeline, {"kind": "built", "name": "model", "version": 1}, {"kind": "end", "exit_code": 0}
    )
    start, complete = pipeline.told()
    assert kinds([start, complete]) == ["START", "COMPLETE"]
    assert complete["run"]["runId"] == "ffffffff-ffff-ffff-ffff-ffffffffffff"
    assert complete["run"]["facets"]["parent"]["job"]["name"] == f"materialize {ROOTS[0]}"


def test_a_pipeline_that_cannot_go_on(pipeline: Pipeline) -> None:
    told = told_to_openlineage(pipeline.events, pipeline.view, pipeline.folder, ROOTS)
    with pytest.raises(OSError, match="no space"), told:
        raise OSError("no space")
    start, fail = pipeline.told(but_pipeline=False)
    assert kinds([start, fail]) == ["START", "FAIL"]
    assert fail["run"]["facets"]["errorMessage"]["message"] == "OSError: no space"


def test_nothing_is_heard_where_nobody_asked(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    with told_to_openlineage(pipeline.events, pipeline.view, pipeline.folder, ROOTS):
        assert pipeline.events.listener is None
    assert not (pipeline.folder / "events.jsonl").exists()
