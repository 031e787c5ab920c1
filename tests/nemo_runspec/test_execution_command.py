from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nemo_runspec.execution import ExecutionError, execute_local, get_startup_commands
from nemo_runspec.execution.command import (
    build_command,
    fill_template,
    processes_per_node,
)
from nemo_runspec.execution.node_python import count_gpus
from nemo_runspec.execution.startup import prepend_startup_to_cmd, run_startup_commands_local
from runspec import RunspecResources, RunspecRun
from tests.nemo_runspec.executor_contract import NASTY, make_job

PRINT = f"{sys.executable} -c 'import sys, json; print(json.dumps(sys.argv[1:]))'"


@pytest.mark.parametrize("value", NASTY.values())
@pytest.mark.parametrize("template", ["{script}", '"{script}"', "'{script}'", '"${X}{script}"'])
def test_placeholders_are_quoted_for_where_they_stand(template: str, value: str) -> None:
    command = fill_template(f"{PRINT} {template}", {"script": value})
    assert json.loads(subprocess.check_output(["bash", "-c", command])) == [value]


@pytest.mark.parametrize(
    "template",
    ["echo ${HOME} ${script}", "echo {a,b} {1..3}", "awk '{print $1}' {}", 'x() { echo "}"; }; x'],
)
def test_other_braces_stay(template: str) -> None:
    assert fill_template(template, {"script": "S", "config": "C"}) == template


def test_arguments_are_added_quoted() -> None:
    command = fill_template(f"{PRINT} {{config}}\n", {"config": "a b"}, list(NASTY.values()))
    assert json.loads(subprocess.check_output(["bash", "-c", command])) == [
        "a b",
        *NASTY.values(),
    ]


def test_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    job = make_job(tmp_path, "", passthrough=("--x",))
    job = replace(job, spec=replace(job.spec, run=RunspecRun(launch="torchrun")))
    assert build_command(job) == (
        *("python", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
        *(str(job.script), "--config", str(job.config), "--x"),
    )
    assert RunspecResources().gpus_per_node == 8


def test_the_profile_may_say_the_command(tmp_path: Path) -> None:
    job = make_job(tmp_path, "", profile={"run_command": "uv run {script}"})
    job = replace(job, spec=replace(job.spec, run=RunspecRun(cmd="python {script}")))
    assert build_command(job)[2].startswith("uv run ")


@pytest.mark.parametrize(
    ("profile", "declared", "visible", "expected"),
    [
        ({}, 8, "", 1),
        ({}, 8, "0,1,2", 3),
        ({}, 2, "0,1,2", 2),
        ({}, 0, "0,1,2", 1),
        ({}, "gpu", "0,1", 2),
        ({}, "gpu", "-1", 1),
        ({"gpus_per_node": 4}, 8, "", 4),
        ({"gpus_per_node": "gpu"}, 8, "0,1", 2),
        ({"gpus_per_node": 0}, 8, "", 1),
        ({"nproc_per_node": 3, "gpus_per_node": 4}, 8, "", 3),
        ({"nproc_per_node": "auto"}, 8, "", "auto"),
        ({"nproc_per_node": "6"}, 8, "", 6),
    ],
)
def test_processes_per_node(
    profile: dict[str, object],
    declared: int | str,
    visible: str,
    expected: int | str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert processes_per_node(profile, declared) == expected


def test_processes_that_are_no_number() -> None:
    with pytest.raises(ExecutionError, match=r"run\.env\.nproc_per_node: 'many'"):
        processes_per_node({"nproc_per_node": "many"}, 8)


def test_gpus_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert count_gpus() >= 0


def test_startup_commands_of_a_profile() -> None:
    assert get_startup_commands(None) == []
    assert get_startup_commands({"startup_commands": None}) == []
    assert get_startup_commands({"startup_commands": ["a", "b\nc"]}) == ["a", "b\nc"]
    config = OmegaConf.create({"x": "b", "startup_commands": ["a", "${x}"]})
    assert get_startup_commands(config) == ["a", "b"]
    for wrong in ("a", [1], 5, {"a": "b"}):
        with pytest.raises(ExecutionError, match="no list of strings"):
            get_startup_commands({"startup_commands": wrong})


def test_startup_before_a_shell_command() -> None:
    script = prepend_startup_to_cmd(["X=1", "Y=2"], 'echo "$X$Y"; exit 5')
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (5, "12\n", "")
    assert prepend_startup_to_cmd([], "echo") == "echo"


def test_failing_local_startup(capfd: pytest.CaptureFixture[str]) -> None:
    run_startup_commands_local(["true"])
    with pytest.raises(SystemExit) as ended:
        run_startup_commands_local(["true", "exit 9\nmore"])
    assert ended.value.code == 9
    assert capfd.readouterr().err == "error: startup command 2/2 ended with exit code 9: exit 9\n"


def test_execute_local(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "a b.py"
    script.write_text(
        "import os, sys\nprint(sys.argv[1:], os.environ['A'])\nsys.exit(len(sys.argv) - 3)\n"
    )

    def execute(*arguments: str) -> None:
        execute_local(
            script,
            tmp_path / "c.yaml",
            list(arguments),
            torchrun=False,
            env_vars={"A": "x y"},
            startup_commands=["echo first"],
        )

    execute()
    assert capfd.readouterr().out == f"first\n['--config', '{tmp_path}/c.yaml'] x y\n"
    with pytest.raises(SystemExit) as ended:
        execute("1", "2")
    assert ended.value.code == 2


@pytest.mark.parametrize(("profile", "expected"), [(None, 2), ({"nproc_per_node": 3}, 3)])
def test_execute_local_by_torchrun(
    tmp_path: Path,
    profile: dict[str, object] | None,
    expected: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Stands for torch.distributed.run.
    launcher = tmp_path / "torch" / "distributed"
    launcher.mkdir(parents=True)
    (launcher / "run.py").write_text("import sys; print(sys.argv[1:])")
    env = {"PYTHONPATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": "0,1"}
    execute_local("script.py", "c.yaml", ["x"], env_vars=env, profile=profile)
    arguments = ["--standalone", f"--nproc_per_node={expected}", "script.py", "--config", "c.yaml"]
    assert capfd.readouterr().out == f"{[*arguments, 'x']}\n"


def test_the_gpus_that_the_job_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    job = make_job(tmp_path, "", env={"CUDA_VISIBLE_DEVICES": "2,3"})
    job = replace(job, spec=replace(job.spec, run=RunspecRun(launch="torchrun")))
    assert "--nproc_per_node=2" in build_command(job)
    assert processes_per_node({"nproc_per_node": "gpu"}, 8) == "gpu"
    assert processes_per_node({"gpus_per_node": "gpu"}, 8, job.env) == 2
    assert processes_per_node({}, 8) == 4


def test_a_failing_startup_command_keeps_its_secret(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_startup_commands_local(["export HF_TOKEN=hf_abc; exit 4"])
    err = capfd.readouterr().err
    assert "export HF_TOKEN=******; exit 4" in err
    assert "hf_abc" not in err
