"""`pants run` of a recipe: what the script is given, and what is left of it."""

from __future__ import annotations

import json

import pytest

from tests.integration.probes import NASTY, read_seen, write_probe
from tests.integration.repository import Repository

WORKERS = '''\
# /// script
# dependencies = ["pyyaml"]
# [tool.runspec]
# name = "workers"
# [tool.runspec.run]
# launch = "direct"
# ///
"""Pickles a class of its own and lets spawned processes work with it."""

import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

from probes.shared import OFFSET


@dataclass(frozen=True)
class Point:
    x: int


def shifted(point: Point) -> str:
    return yaml.safe_dump({"x": point.x + OFFSET})


if __name__ == "__main__":
    assert pickle.loads(pickle.dumps(Point(1))) == Point(1)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        results = list(pool.map(shifted, [Point(1), Point(2)]))
    Path(os.environ["RUNSPEC_OUTPUT_DIR"], "results.txt").write_text("".join(results))
'''


@pytest.fixture(scope="module")
def probes(repository: Repository) -> Repository:
    """A repository with probes in it."""
    write_probe(repository, "probes")
    repository.write("probes/shared.py", "OFFSET = 40\n")
    repository.write("probes/workers.py", WORKERS)
    build = repository.root / "probes/BUILD"
    recipe = 'runspec_recipe(name="workers", script="workers.py")\n'
    repository.write("probes/BUILD", build.read_text() + recipe)
    return repository


def test_the_example_trains(repository: Repository) -> None:
    shown = repository.pants(
        "run", "src/recipes/nano3:pretrain", "--", "-c", "tiny", "train.steps=5"
    )
    job = repository.jobs()[-1]
    assert "validation loss" in shown
    assert str(job) in shown
    assert {path.name for path in job.iterdir()} >= {"job.yaml", "train.yaml", "logs", "output"}
    assert "validation loss" in (job / "logs" / "job.log").read_text()
    assert json.loads((job / "output" / "summary.json").read_text())["step"] == 5


def test_values_arrive_intact(probes: Repository) -> None:
    override = f"train.text={json.dumps(NASTY)}"
    before, after = ["--flag", NASTY, "x"], ["--config", "theirs", "a=b", "-d", "", NASTY]
    repository = probes
    repository.pants(
        "run",
        "probes:probe",
        "--",
        *before,
        override,
        "+new.key=null",
        "--",
        *after,
        variables={"AMBIENT": NASTY},
    )
    job = repository.jobs()[-1]
    seen = read_seen(job)
    assert seen.arguments == ["--config", str(job / "train.yaml"), *before, *after]
    assert seen.configs == ["base.yaml", "default.yaml"]
    assert seen.directory == str(repository.root)
    assert seen.environment["AMBIENT"] == NASTY
    assert seen.environment["FROM_SCRIPT"] == NASTY
    assert seen.train["train"] == {"steps": 10, "seed": 7, "text": NASTY}
    assert seen.train["new"] == {"key": None}


def test_the_exit_code_is_the_scripts(probes: Repository) -> None:
    result = probes.try_pants("run", "probes:probe", variables={"PROBE_EXIT": "7"})
    assert result.returncode == 7
    assert "the probe speaks" in result.stdout
    assert "Traceback" not in result.stderr


def test_a_command_template_runs_in_a_shell(probes: Repository) -> None:
    probes.pants("run", "probes:template", "--", "--", NASTY)
    job = probes.jobs()[-1]
    assert read_seen(job).arguments == ["--tag", "b  c", "--config", str(job / "train.yaml"), NASTY]


def test_processes_can_be_spawned_and_classes_pickled(probes: Repository) -> None:
    probes.pants("run", "probes:workers")
    results = probes.jobs()[-1] / "output" / "results.txt"
    assert results.read_text() == "x: 41\nx: 42\n"


def test_a_dry_run_writes_nothing_and_needs_no_wheels(probes: Repository) -> None:
    wanted = '# dependencies = ["pyyaml", "no-such-project-anywhere>=9"]'
    probes.write("probes/workers.py", WORKERS.replace('# dependencies = ["pyyaml"]', wanted))
    before = probes.files()
    shown = probes.pants("run", "probes:workers", "--", "--dry-run", "train.steps=3", "-x")
    assert probes.files() == before
    assert "steps: 3" in shown
    assert "workers.py" in shown
    run = probes.try_pants("run", "probes:workers")
    assert run.returncode != 0
    assert "no-such-project-anywhere" in run.stderr
    assert probes.files() == before


def test_torchrun_starts_the_script_by_its_module(probes: Repository) -> None:
    shown = probes.pants(
        "run",
        "probes:torchrun",
        "--",
        "-d",
        "--",
        "--tag",
        "x y",
        variables={"CUDA_VISIBLE_DEVICES": "0,1,2"},
    )
    command = "python -m torch.distributed.run --standalone --nproc_per_node=3"
    (line,) = (line for line in shown.splitlines() if command in line)
    assert line.rstrip().endswith("train.yaml --tag 'x y'")
