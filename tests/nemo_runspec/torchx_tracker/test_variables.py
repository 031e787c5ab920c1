"""What a job is told: from the profile, from ``.torchxconfig``, from the launcher's variables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nemo_runspec.exceptions import ConfigError
from nemo_runspec.execution.torchx_trackers import (
    NamedTracker,
    TorchxJob,
    named_trackers,
    torchx_variables,
)
from nemo_runspec.torchx_names import pipeline_handle, recorded_id, run_handle

FSSPEC = "torchx.tracker.backend.fsspec:create"
CONFIG = f"""\
[torchx:tracker]
first = first
Second = {FSSPEC}
nemo_runspec = nemo_runspec

[tracker:Second]
config = /conf/second
other = ignored

[local_cwd]
log_dir = /elsewhere
"""


def test_a_file_where_torchx_looks_for_it(tmp_path: Path) -> None:
    work, home = tmp_path / "repo" / "below", tmp_path / "home"
    work.mkdir(parents=True)
    (tmp_path / "repo" / ".git").mkdir()
    environ = {"HOME": str(home)}
    assert named_trackers({}, environ, work) == {}
    (tmp_path / "repo" / ".torchxconfig").write_text(CONFIG)
    found = {
        "first": NamedTracker("first", "first"),
        "Second": NamedTracker("Second", FSSPEC, "/conf/second"),
        "nemo_runspec": NamedTracker("nemo_runspec", "nemo_runspec.torchx_tracker:create_tracker"),
    }
    assert named_trackers({}, environ, work) == found
    # Of two that say something of one key the home's counts, as for TorchX.
    (home / ".torchxconfig").write_text("[tracker:Second]\nconfig = /home/second\n")
    (work / ".torchxconfig").write_text("[torchx:tracker]\nthird = a.b:c\n")
    found["Second"] = NamedTracker("Second", FSSPEC, "/home/second")
    found["third"] = NamedTracker("third", "a.b:c")
    assert named_trackers({}, environ, work) == found
    # A named file counts alone, a variable more than any file.
    named = tmp_path / "named"
    named.write_text("[torchx:tracker]\nfourth = d.e:f\n")
    environ["TORCHXCONFIG"] = str(named)
    assert list(named_trackers({}, environ, work)) == ["fourth"]
    environ["TORCHX_TRACKERS"] = "fourth,g.h:i,nemo_runspec.torchx_tracker:create_tracker"
    environ["TORCHX_TRACKER_FOURTH_CONFIG"] = "c4"
    assert list(named_trackers({}, environ, work).values()) == [
        NamedTracker("fourth", "d.e:f", "c4"),
        NamedTracker("g_h_i", "g.h:i"),
        NamedTracker("nemo_runspec", "nemo_runspec.torchx_tracker:create_tracker"),
    ]


def test_torchx_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TorchX's own answer, in a process whose home and working directory are as ours."""
    home, work = tmp_path / "home", tmp_path / "work"
    work.mkdir()
    (work / ".torchxconfig").write_text(CONFIG)
    (home / ".torchxconfig").write_text("[tracker:Second]\nconfig = /home/second\n")
    code = "from torchx.runner.api import get_configured_trackers as f; print(f())"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=work, env=env, capture_output=True, text=True, check=True
    )
    ours = named_trackers({}, {"HOME": str(home)}, work)
    assert done.stdout.strip() == str({name: one.config for name, one in ours.items()})


def test_a_profile_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".torchxconfig").write_text(CONFIG)
    profile = {
        "torchx_trackers": {
            "first": "a.b:c",
            "mlflow": {"factory": "d.e:f", "config": "http://x"},
        }
    }
    found = named_trackers(profile, {}, tmp_path)
    assert found["first"] == NamedTracker("first", "a.b:c")
    assert found["mlflow"] == NamedTracker("mlflow", "d.e:f", "http://x")
    assert found["Second"].config == "/conf/second"


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ("mlflow", r"torchx_trackers: 'mlflow' is no table"),
        ({"x": 3}, r"torchx_trackers\.x: 3 is no tracker"),
        ({"x": {"config": "y"}}, r"torchx_trackers\.x: .* is no tracker"),
        ({"x": {"factory": "a:b", "conf": "y"}}, r"torchx_trackers\.x: .*factory = "),
        ({"x": {"factory": "a:b", "config": 3}}, r"torchx_trackers\.x"),
    ],
)
def test_a_wrong_table(table: object, what: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=what):
        named_trackers({"torchx_trackers": table}, {}, tmp_path)


def test_a_wrong_file(tmp_path: Path) -> None:
    file = tmp_path / ".torchxconfig"
    file.write_text("[torchx:tracker\nx")
    with pytest.raises(ConfigError, match=f"{file}: is no configuration of TorchX: .*"):
        named_trackers({}, {}, tmp_path)
    file.write_text("[torchx:tracker]\nx = %(y)s")
    with pytest.raises(ConfigError, match=f"{file}"):
        named_trackers({}, {}, tmp_path)
    with pytest.raises(ConfigError, match="TORCHXCONFIG=/nowhere: there is no such file"):
        named_trackers({}, {"TORCHXCONFIG": "/nowhere"}, tmp_path)


def test_a_job_with_our_tracker() -> None:
    job = TorchxJob("20260131-train", "abc", "p1", "s3://b/store", holds_tracker=True)
    trackers = {
        "my-own": NamedTracker("my-own", "a.b:c", "x y"),
        "plain": NamedTracker("plain", "plain"),
    }
    assert torchx_variables(job, trackers, {}) == {
        "TORCHX_JOB_ID": "runspec://20260131-train/abc",
        "TORCHX_PARENT_RUN_ID": "runspec://pipeline/p1",
        "TORCHX_TRACKERS": "nemo_runspec.torchx_tracker.in_job:nemo_runspec,"
        "nemo_runspec.torchx_tracker.in_job:my-own,nemo_runspec.torchx_tracker.in_job:plain",
        "TORCHX_TRACKER_NEMO_RUNSPEC_CONFIG": "s3://b/store",
        "TORCHX_TRACKER_MY_OWN_CONFIG": "x y",
        "RUNSPEC_TORCHX_NEMO_RUNSPEC": "nemo_runspec.torchx_tracker:create_tracker",
        "RUNSPEC_TORCHX_MY_OWN": "a.b:c",
        "RUNSPEC_TORCHX_PLAIN": "plain",
    }


def test_a_job_without_it_has_what_torchx_finds_itself() -> None:
    trackers = {
        "x": NamedTracker("x", "my_tracker", "conf"),
        "y": NamedTracker("y", "a.b:c", "no shell can name its variable"),
        "nemo_runspec": NamedTracker("nemo_runspec", "nemo_runspec.torchx_tracker:create_tracker"),
    }
    assert torchx_variables(TorchxJob("f", store="/s"), trackers, {}) == {
        "TORCHX_JOB_ID": "runspec://f/unrecorded",
        "TORCHX_TRACKERS": "my_tracker,a.b:c",
        "TORCHX_TRACKER_MY_TRACKER_CONFIG": "conf",
    }
    assert torchx_variables(TorchxJob("f", store="/s"), {}, {}) == {
        "TORCHX_JOB_ID": "runspec://f/unrecorded"
    }


def test_the_parent_that_somebody_names() -> None:
    job = TorchxJob("f", "id", "p1")
    told = torchx_variables(job, {}, {"TORCHX_PARENT_RUN_ID": "experiment 7"})
    assert told["TORCHX_PARENT_RUN_ID"] == "experiment 7"


def test_a_handle_says_which_run() -> None:
    assert recorded_id(run_handle("20260131-a b", "0f")) == "0f"
    assert recorded_id(pipeline_handle("p1")) == "p1"
    for other in ("slurm://torchx/1", "runspec://x", "runspec://x/..", "runspec://x/y/z", ""):
        assert recorded_id(other) is None
