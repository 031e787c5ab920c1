from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from nemo_runspec.exceptions import ProfileError
from nemo_runspec.execution.protocol import Handle
from nemo_runspec.jobs import PipelinePaths
from nemo_runspec.pipeline.supervisor_job import (
    ENVIRONMENT_VARIABLE,
    start_supervisor_job,
    supervisor_executor,
    supervisor_job,
    supervisor_log,
    take_environment,
)
from nemo_runspec.pipeline.supervisor_process import Order
from tests.nemo_runspec.pipeline.fake_cluster import NAME, VARIABLE, install


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    cluster = tmp_path / "cluster"
    cluster.mkdir()
    (cluster / "hold").touch()
    monkeypatch.setenv(VARIABLE, str(cluster))
    return cluster


def order(tmp_path: Path) -> Order:
    return Order(
        plan="",
        bundles={},
        pythons={},
        roots=[],
        settings={},
        profile="far",
        parallel=1,
        forced=[],
        keep_going=False,
        max_gpu_hours=None,
        jobs=str(tmp_path / "jobs"),
        cwd=str(tmp_path),
        commit=None,
        dirty=None,
        states=[],
    )


def submitted(tmp_path: Path) -> Path:
    """The folder of the job, with what it would run."""
    paths = PipelinePaths(tmp_path / "pipeline")
    paths.folder.mkdir()
    profile = {"executor": NAME, "partition": "p", "nodes": 64, "run_command": "false"}
    started = start_supervisor_job(order(tmp_path), paths, profile)
    assert started.label == f"job 1 of {NAME}"
    assert started.stop_command == "nemo-runspec jobs cancel pipeline"
    return paths.folder / "supervisor"


def end(cluster: Path) -> None:
    (cluster / "jobs" / "1" / "cancel").touch()


def test_the_launcher_s_environment_travels_as_a_secret(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMEBODY_S_PASSWORD", "hush-5c1d")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    job = submitted(tmp_path)
    assert Handle.from_json((job / "handle.json").read_text()) == Handle(NAME, str(job), "1")
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and has(path, "hush-5c1d")]
    assert [path.name for path in holding] == ["secrets.sh"]
    assert holding[0].stat().st_mode & 0o777 == 0o600
    assert "SLURM_JOB_ID" not in holding[0].read_text()
    assert "run_command" not in (job / "job.sh").read_text()
    end(cluster)


def test_what_a_supervisor_says_that_never_came_to_run(tmp_path: Path) -> None:
    paths = PipelinePaths(tmp_path)
    assert supervisor_log(paths) == paths.log
    said = supervisor_job(paths).log
    said.parent.mkdir(parents=True)
    said.write_text("no Python here")
    assert supervisor_log(paths) == said
    paths.log.touch()
    assert supervisor_log(paths) == paths.log


def has(path: Path, text: str) -> bool:
    return text.encode() in path.read_bytes()


def test_a_pex_is_kept_once(cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pex = tmp_path / "launcher.pex"
    pex.write_text("content")
    monkeypatch.setenv("PEX", str(pex))
    job = submitted(tmp_path)
    (kept,) = (tmp_path / "jobs" / "_launchers").glob("*/*")
    assert kept.read_text() == "content" and kept.name == "launcher.pex"
    text = (job / "job.sh").read_text()
    assert f"exec python {kept} supervise {tmp_path / 'pipeline'}" in text
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert f"versions='{minor}'" in text
    end(cluster)


def test_the_environment_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"A": "it's $HOME\n", "RUNSPEC_PATIENCE": "3"}
    before = dict(os.environ)
    monkeypatch.setattr(os, "environ", dict(before))  # put back at the end
    os.environ.update(
        {
            ENVIRONMENT_VARIABLE: json.dumps(given),
            "SLURM_JOB_ID": "7",
            "SLURM_CONF": "/conf",
            "RUNSPEC_OUTPUT_DIR": "/its/own",
        }
    )
    take_environment()
    assert {"A", "RUNSPEC_PATIENCE", "SLURM_CONF"} <= set(os.environ)
    assert os.environ["A"] == given["A"]
    for gone in (ENVIRONMENT_VARIABLE, "SLURM_JOB_ID", "RUNSPEC_OUTPUT_DIR"):
        assert gone not in os.environ
    without = dict(os.environ)
    take_environment()
    assert dict(os.environ) == without


def test_which_profiles_have_one(cluster: Path) -> None:
    assert supervisor_executor({}, None) is None
    assert supervisor_executor({"executor": NAME, "supervisor": "local"}, "far") is None
    assert supervisor_executor({"executor": NAME, "supervisor": NAME}, "far") == NAME
    for profile in ({"supervisor": "slurm"}, {"executor": "slurm", "supervisor": NAME}):
        with pytest.raises(ProfileError, match="profile 'far': supervisor is "):
            supervisor_executor(profile, "far")
