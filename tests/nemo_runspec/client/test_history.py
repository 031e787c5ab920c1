"""Runs as the client shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec import store
from nemo_runspec.client import ClientError, Run
from nemo_runspec.store import Store, VersionDraft, open_store
from tests.nemo_runspec.pipeline.workshop import Workshop, finish

PIPELINE = "20260131-235959-pipeline-0a1b2c3d"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    store.use(None)


@pytest.fixture
def place(tmp_path: Path) -> Store:
    place = open_store(str(tmp_path / "store"))
    for name in ("nano3-data", "nano3-model", "nano3-sweep/lr-1", "user/ada/nano3-eval", "other"):
        place.add_version(name, VersionDraft(path=f"/{name}", metadata={"loss": 0.5}))
    job(place, "j1", "nano3:prepare", "nano3:data", "nano3-data:v1", at=1, pipeline=PIPELINE)
    job(place, "j2", "nano3:sweep", "nano3:sweep", "nano3-sweep/lr-1:v1", at=2, pipeline=PIPELINE)
    steps = [
        step("nano3-data:v1", "nano3:prepare", "nano3:data"),
        step("nano3-model:v1", "nano3:train", "nano3:model", built=False),
        step("user/ada/nano3-eval:v1", "nano3:evaluate", "nano3:eval"),
    ]
    facts = {"kind": "pipeline", "user": "ada", "roots": ["src/recipes/nano3:eval"]}
    ends = {"started_at": at_second(0), "ended_at": at_second(9), "exit_code": 0}
    place.write_run(PIPELINE, {**facts, **ends, "steps": steps})
    job(place, "j3", "tools:other", None, "other:v1", at=30)
    place.write_run("resolved-0123", {"no": "run"})
    store.use(place.root)
    return place


def at_second(second: int) -> str:
    return f"2026-01-31T12:00:{second:02}+00:00"


def job(
    place: Store,
    run_id: str,
    recipe: str,
    address: str | None,
    version: str,
    *,
    at: int,
    **more: Any,
) -> None:
    target = None if address is None else f"src/recipes/{address}"
    facts = {"id": run_id, "recipe": f"src/recipes/{recipe}", "address": target, "user": "ada"}
    ends = {"started_at": at_second(at), "ended_at": at_second(at + 1), "versions": [version]}
    place.write_run(run_id, {**facts, **ends, **more})


def step(version: str, recipe: str, address: str, *, built: bool = True) -> dict[str, Any]:
    name = version.rpartition(":")[0]
    return {
        "address": f"src/recipes/{address}",
        "name": name,
        "recipe": f"src/recipes/{recipe}",
        "version": version,
        "built": built,
    }


def test_the_newest_comes_first_and_jobs_belong_to_their_pipeline(place: Store) -> None:
    assert [each.id for each in store.runs()] == ["j3", PIPELINE]
    assert store.latest_run().id == "j3"
    newest = store.latest_run("nano3")
    assert (newest.id, newest.is_pipeline, newest.succeeded) == (PIPELINE, True, True)
    assert store.run(PIPELINE) == newest
    assert [(each.name, each.was_built) for each in newest.steps] == [
        ("nano3-data", True),
        ("nano3-model", False),
        ("user/ada/nano3-eval", True),
        ("nano3-sweep/lr-1", True),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "nano3-model",
        "train",
        "model",
        "src/recipes/nano3:train",
        "src/recipes/nano3:model",
    ],
)
def test_a_step_by_its_artifact_target_or_recipe(name: str, place: Store) -> None:
    run = store.latest_run("nano3")
    assert name in run
    found = run[name]
    assert found.reference == "nano3-model:v1"
    assert found.data.loss == 0.5
    assert found.data.path == "/nano3-model"
    assert found.version == store.artifact("nano3-model").latest
    assert run["nano3-eval"].name == "user/ada/nano3-eval"
    assert run["data"].facts["id"] == "j1"


def test_steps_that_are_not_there_or_several(place: Store) -> None:
    run = store.latest_run("nano3")
    with pytest.raises(ClientError, match="has no step 'trian'; did you mean 'train'?"):
        run["trian"]
    assert "trian" not in run
    place.write_run(
        "two",
        {
            "kind": "pipeline",
            "started_at": at_second(40),
            "steps": [step("nano3-data:v1", "a:train", "a:x"), step("other:v1", "b:train", "b:y")],
        },
    )
    with pytest.raises(ClientError, match="several steps of run two: nano3-data, other; name one"):
        store.latest_run()["train"]


@pytest.mark.parametrize(
    ("match", "found"),
    [
        ("nano3", [PIPELINE]),
        ("nano3-*", [PIPELINE]),
        ("*:train", [PIPELINE]),
        ("src/recipes/nano3", [PIPELINE]),
        ("recipes", ["j3", PIPELINE]),
        ("other", ["j3"]),
        ("j3", ["j3"]),
        ("nano", []),
        ("ano3", []),
        (".*", []),
    ],
)
def test_which_runs_are_about_it(match: str, found: list[str], place: Store) -> None:
    assert [each.id for each in store.runs(match)] == found


def test_runs_that_are_not_there(place: Store) -> None:
    with pytest.raises(ClientError, match="no run of 'nano4' .*nano3-model"):
        store.latest_run("nano4")
    with pytest.raises(ClientError, match="there is no run 'j4' in .*; there are: .*j3"):
        store.run("j4")


def test_one_that_was_lost_and_one_that_failed(place: Store) -> None:
    facts = {"kind": "pipeline", "roots": ["src/recipes/nano3:eval"], "steps": []}
    place.write_run("lost", {**facts, "started_at": at_second(50), "ended_at": None})
    job(place, "j9", "nano3:train", "nano3:model", "nano3-model:v1", at=51, pipeline="lost")
    lost = store.latest_run()
    assert (lost.id, lost.succeeded, lost.ended_at) == ("lost", None, None)
    assert [each.name for each in lost.steps] == ["nano3-model"]
    ends = {"started_at": at_second(55), "ended_at": at_second(56), "exit_code": 1}
    place.write_run("failed", {**facts, **ends})
    assert store.latest_run("nano3").succeeded is False
    text = store.runs()._repr_html_()
    assert "failed" in text and "not ended" in text and "succeeded" in text


def test_records_of_others(place: Store) -> None:
    place.write_run("odd", {"versions": [1, "x", "a:b:c", "other:latest"], "pipeline": ["x"]})
    place.write_run("odder", {"steps": [{"version": None}], "started_at": 7, "versions": "x"})
    assert {"odd", "odder"} <= {each.id for each in store.runs()}
    assert store.run("odd").steps == ()


def test_a_pipeline_that_ran(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    noted = """
    sys.path[:0] = PATHS
    from nemo_runspec.artifacts import card, log_metric
    log_metric("loss", 0.25, 3)
    card("# Rows", title="Rows")
    """
    shop.plain("data", more=noted)
    shop.library(
        "model",
        """
        from nemo_runspec.artifacts import log_metric
        (out / "x").write_text("1")
        log_metric("before", 1)
        log_artifact(Artifact(path=out, metadata={"final": 2}), tracking, name="model")
        log_metric("after", 3)
        """,
        config="path: ${art:data,path}\n",
        inputs={"data": "data"},
    )
    assert shop.materialize()[::2] == (0, "")
    run = store.latest_run("demo", root=shop.store)
    assert isinstance(run, Run)
    assert re.fullmatch(r"\d{8}-\d{6}-pipeline-[0-9a-f]{8}", run.id)
    assert run.succeeded and run.is_pipeline
    assert run.facts["roots"] == ["src/demo:data.artifact", "src/demo:model.artifact"]
    assert [(each.name, each.was_built) for each in run.steps] == [("data", True), ("model", True)]
    assert run["model"].data.final == 2
    assert run["model"].facts["pipeline"] == run.id
    assert run["model"].version.metrics == {"final": 2.0, "before": 1.0, "after": 3.0}
    data = run["data"].version
    assert (data.metrics, [each.body for each in data.cards]) == ({"loss": 0.25}, ["# Rows"])
    files = sorted(path.name for path in Path(data.path).iterdir() if path.name[0] != ".")
    assert files == ["data.txt"]
    assert data.manifest.run["pipeline"] == run.id

    shop.plain("model", value="2", inputs=["data"])
    assert shop.materialize()[::2] == (0, "")
    second = store.latest_run("demo", root=shop.store)
    assert second.id != run.id
    assert [(each.reference, each.was_built) for each in second.steps] == [
        ("data:v1", False),
        ("model:v2", True),
    ]
    assert store.run(run.id, root=shop.store)["model"].reference == "model:v1"


def test_a_job_that_was_run_by_hand(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.library(
        "model",
        """
        from nemo_runspec.artifacts import log_metric
        log_metric("loss", 0.5)
        log_artifact(Artifact(path=out), tracking, name="model")
        """,
    )
    finish(shop.command("recipe", str(shop.bundles / "model")))
    (run,) = store.runs(root=shop.store)
    assert (run.is_pipeline, run.succeeded) == (False, True)
    assert [(each.reference, each.recipe) for each in run.steps] == [("model:v1", "src/demo:model")]
    assert run["model"].version.metrics == {"loss": 0.5}
    assert run.started_at and run.ended_at
