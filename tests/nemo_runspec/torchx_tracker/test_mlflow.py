"""The tracker for MLflow, against MLflow's own store in a folder."""

from __future__ import annotations

import enum
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.exceptions import ConfigError
from nemo_runspec.torchx_tracker.flatten import flatten
from nemo_runspec.torchx_tracker.mlflow import MlflowTracker, create_tracker
from nemo_runspec.torchx_tracker.records import Link

RUN = "runspec://20260131-train 'x'/abc"


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    # MLflow's folders are kept as they are; its databases need more than mlflow-skinny.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return f"file://{tmp_path}/ml runs"


class Color(enum.Enum):
    RED = "red"


@dataclass
class Inner:
    foo: str = "bar"


@dataclass
class Outer:
    i: int = 1
    f: float = 2.1
    s: str = "string"
    none: None = None
    color: Color = Color.RED
    plain: list[str] = field(default_factory=lambda: ["a", "b"])
    nested: list[Any] = field(default_factory=lambda: [Inner("hello"), {"x": [1, [2]]}, 3])
    inner: Inner = field(default_factory=Inner)
    empty: dict[str, int] = field(default_factory=dict)


def test_a_config_becomes_dotted_names() -> None:
    assert flatten(Outer()) == {
        "i": 1,
        "f": 2.1,
        "s": "string",
        "none": None,
        "color": "red",
        "plain": ["a", "b"],
        "nested._0.foo": "hello",
        "nested._1.x._0": 1,
        "nested._1.x._1": [2],
        "nested._2": 3,
        "inner.foo": "bar",
    }
    assert flatten([{"a": 1}, 2], "k") == {"k._0.a": 1, "k._1": 2}
    assert flatten([1, 2]) == {"_0": 1, "_1": 2}
    assert flatten((1, 2), "k") == {"k": [1, 2]}
    assert flatten(3, "k") == {"k": 3}
    with pytest.raises(ValueError, match="3 is no config"):
        flatten(3)


def test_all_that_torchx_may_say(uri: str) -> None:
    tracker = create_tracker(uri)
    tracker.add_metadata(RUN, lr=0.1, note="1", text="plain", many=[1, {"a": None}])
    tracker.add_metadata(RUN, lr=0.2)
    tracker.add_artifact(RUN, "model/ünï", "s3://b/x", {"epoch": 3})
    tracker.add_artifact(RUN, "model/ünï", "s3://b/y")
    again = create_tracker(uri)
    assert again.metadata(RUN) == {
        "lr": 0.2,
        "note": "1",
        "text": "plain",
        "many": [1, {"a": None}],
    }
    artifact = again.artifacts(RUN)["model/ünï"]
    assert (artifact.path, artifact.metadata) == ("s3://b/y", None)
    assert list(again.run_ids()) == [RUN]
    assert (again.metadata("other"), again.artifacts("other")) == ({}, {})
    assert list(again.run_ids()) == [RUN]  # asking for a run does not make it
    with pytest.raises(TypeError, match="experiment"):
        again.run_ids(experiment="x")


def test_lineage(uri: str) -> None:
    tracker = create_tracker(uri)
    tracker.add_source("b", "a", "data")
    tracker.add_source("b", "x")
    tracker.add_source("c", "b")
    tracker.add_source("d", "c", "model")
    assert list(tracker.run_ids(parent_run_id="b")) == ["c"]
    assert {s.source_run_id for s in tracker.sources("b")} == {"a", "x"}
    assert [s.source_run_id for s in tracker.sources("b", "data")] == ["a"]
    lineage = tracker.lineage("c")
    assert set(lineage.sources) == {
        Link("c", "b", None),
        Link("b", "a", "data"),
        Link("b", "x", None),
    }
    assert lineage.descendants == (Link("d", "c", "model"),)


def test_parameters_are_logged_flat_and_the_run_is_closed(uri: str) -> None:
    from mlflow.tracking import MlflowClient  # type: ignore[import-untyped]

    tracker = MlflowTracker(uri, experiment_name="own")
    tracker.log_params_flat(RUN, {"many": {f"p{n:03}": n for n in range(250)}, "x": Outer()})
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("own")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "RUNNING" and run.info.run_name == RUN
    assert run.data.params["many.p249"] == "249"
    assert run.data.params["x.nested._0.foo"] == "hello"
    assert tracker.metadata(RUN)["x.plain"] == "['a', 'b']"
    tracker.close()
    tracker.close()
    assert client.get_run(run.info.run_id).info.status == "FINISHED"


def test_a_run_ends_well_with_its_process(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys, "last_value", raising=False)
    tracker = create_tracker(uri)
    tracker.add_metadata("r", lr=1)
    tracker._close_at_exit()
    assert status_of(uri) == "FINISHED"


def test_a_run_fails_with_its_process_and_torch_stays_out(uri: str) -> None:
    code = f"""\
import sys
sys.modules["torch"] = None  # importing it would fail
from nemo_runspec.torchx_tracker.mlflow import create_tracker
create_tracker({uri!r}).add_metadata("r", lr=1)
raise ValueError("the job's own")
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.endswith("ValueError: the job's own\n")
    assert status_of(uri) == "FAILED"


def status_of(uri: str) -> str:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("torchx").experiment_id])
    return str(run.info.status)


def test_what_it_can_be_given(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config.json"
    config.write_text(f'{{"tracking_uri": "{uri}", "experiment_name": "named"}}')
    create_tracker(str(config)).add_metadata("r", lr=1)
    assert list(create_tracker(config.read_text()).run_ids()) == ["r"]
    assert list(create_tracker(uri).run_ids()) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "named")
    assert list(create_tracker(None).run_ids()) == ["r"]
    with pytest.raises(ConfigError, match="has no uri; it has .*tracking_uri"):
        create_tracker('{"uri": "x"}')
    with pytest.raises(ConfigError, match="no JSON"):
        create_tracker("{")
