"""Pipelines of steps through NeMo-Run: its local executor, and a Slurm that is none."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from nemo_runspec.pipeline import PipelineConfig, run_pipeline
from nemo_runspec.step import Step


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Three steps: each notes its arguments, and ends with the code that CODES names."""
    repo = tmp_path / "repo"
    repo.mkdir()
    monkeypatch.chdir(repo)
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    found = []
    for name in ("one", "two", "three"):
        (repo / f"{name}.py").write_text(
            "import json, os, sys\n"
            "if __name__ == '__main__':\n"
            "    with open(os.environ['NOTES'], 'a') as file:\n"
            f"        file.write(json.dumps([{name!r}, sys.argv[1:], os.environ.get('WORD')]))\n"
            "        file.write('\\n')\n"
            f"    sys.exit(int(json.loads(os.environ.get('CODES', '{{}}')).get({name!r}, 0)))\n"
        )
        found.append(Step(name=name, module=_module(repo / f"{name}.py")))
    return found


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def notes(tmp_path: Path) -> list[object]:
    file = tmp_path / "notes"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


LOCAL = PipelineConfig(launcher="nemo-run", executor="local", nproc_per_node=1)


def test_local_runs_in_order(steps: list[Step], tmp_path: Path) -> None:
    config = PipelineConfig(**{**vars(LOCAL), "env_vars": ["WORD=w"]})
    assert run_pipeline(config, steps, ["a b", "it's"]) == 0
    assert notes(tmp_path) == [[s.name, ["a b", "it's"], "w"] for s in steps]


def test_local_stops_at_the_step_that_failed(
    steps: list[Step],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CODES", '{"two": 3}')
    assert run_pipeline(LOCAL, steps) == 1
    assert [note[0] for note in notes(tmp_path)] == ["one", "two"]  # type: ignore[index]
    assert "error: step two failed" in capfd.readouterr().err


def test_slurm_steps_wait_for_each_other(
    steps: list[Step], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sbatch").write_text(
        '#!/bin/bash\nexec 9> "$COUNT.lock"; flock 9\necho "$@" >> "$COUNT"\n'
        'number="$(wc -l < "$COUNT")"; cp "${@: -1}" "$COUNT.$number"; echo "$number"\n'
    )
    (tools / "sacct").write_text("#!/bin/bash\necho 'JobID|State'; echo \"${@: -1}|COMPLETED\"\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COUNT", str(tmp_path / "count"))
    config = PipelineConfig(
        launcher="nemo-run",
        executor="slurm",
        account="acct",
        partition="part",
        nproc_per_node=1,
        detach=True,
        env_vars=["WORD=a b", "MY_TOKEN=hunter2"],
        remote_job_dir=str(tmp_path / "jobs"),
    )
    assert run_pipeline(config, steps, ["a b", "$HOME"]) == 0
    calls = (tmp_path / "count").read_text().splitlines()
    dependencies = [[w for w in call.split() if "--dependency" in w] for call in calls]
    assert dependencies == [[], ["--dependency=afterok:1"], ["--dependency=afterok:2"]]
    script = (tmp_path / "count.1").read_text()
    assert "main.py 'a b' '$HOME'" in script
    assert "export WORD='a b'" in script and "hunter2" not in script


def test_dry_run_needs_no_nemo_run(
    steps: list[Step], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "nemo_run", None)
    config = PipelineConfig(**{**vars(LOCAL), "dry_run": True, "env_vars": ["MY_TOKEN=hunter2"]})
    assert run_pipeline(config, steps) == 0
    out = capfd.readouterr().out
    assert "hunter2" not in out
    shown = json.loads(out)
    assert [(s["name"], s["after"]) for s in shown["steps"]] == [
        ("one", []),
        ("two", ["one"]),
        ("three", ["two"]),
    ]
    assert run_pipeline(LOCAL, steps) == 2
    err = capfd.readouterr().err.strip().splitlines()[-1]
    assert "needs NeMo-Run" in err and "pip install nemo_run==0.11.1 leptonai==0.27.3" in err
