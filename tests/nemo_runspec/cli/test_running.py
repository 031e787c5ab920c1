"""`recipe --json`, `pipe`, `squash`, `evaluate`."""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from tests.nemo_runspec.cli.command import Shell
from tests.nemo_runspec.example_bundle import make_bundle

LOGS = f"""
import os, sys
from pathlib import Path
sys.path[:0] = {sys.path!r}
from nemo_runspec.artifacts import ModelArtifact, log_metric, setup_artifact_tracking
print("trained")
setup_artifact_tracking({{}})
log_metric("loss", 0.25, 1)
out = Path(os.environ["RUNSPEC_OUTPUT_DIR"])
out.mkdir(parents=True, exist_ok=True)
(out / "w").write_text("w")
ModelArtifact(path=out, step=3, name="demo-model").save()
"""


def test_the_end_tells_of_the_version(shell: Shell, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", script=LOGS)
    lines = shell.ok("recipe", bundle).splitlines()
    assert lines[:2] == ["trained", "Step Complete (demo/train)"]
    root = shell.folder / ".runspec" / "artifacts"
    told = {label: text.strip() for label, _, text in (line.partition(":") for line in lines[2:])}
    assert told["  Manifest"] == f"{root}/demo-model/v1"
    assert told["  Metrics"] == "step 3, loss 0.25"
    assert set(told) == {"  Manifest", "  Metrics", "  Time", "  Job", "  Log"}


def test_as_json_the_document_stands_alone(shell: Shell, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", script=LOGS)
    code, out, err = shell.run("recipe", bundle, "--json")
    assert (code, err) == (0, "trained\n")
    told = json.loads(out)
    assert (told["name"], told["state"], told["exit_code"]) == ("demo/train", "succeeded", 0)
    assert [each["reference"] for each in told["versions"]] == ["demo-model:v1"]
    assert told["versions"][0]["manifest"].endswith("/demo-model/v1")
    assert told["versions"][0]["metrics"] == {"step": 3.0, "loss": 0.25}
    assert Path(told["log"]).read_text() == "trained\n"
    failing = make_bundle(tmp_path / "f", script="import sys\nsys.exit(3)\n")
    code, out, err = shell.run("recipe", failing, "--json")
    told = json.loads(out)
    assert (code, told["state"], told["exit_code"], told["versions"]) == (3, "failed", 3, [])
    assert err.startswith("error: demo/train: exit code 3; log: ")


def test_what_comes_before_a_job_is_not_in_its_document(shell: Shell, tmp_path: Path) -> None:
    (shell.folder / "env.toml").write_text("[here]\nexecutor = 'local'\n")
    bundle = make_bundle(tmp_path / "b", script="print('x')\n")
    told = json.loads(shell.ok("recipe", bundle, "--stage", "--run", "here", "--json"))
    assert (told["state"], Path(told["job"]).is_dir()) == ("staged", True)
    code, out, err = shell.run("recipe", bundle, "--preflight", "--json")
    assert (code, json.loads(out)["state"]) == (0, "succeeded"), err
    assert "preflight of demo/train: all is well" in err


def test_a_detached_job_as_json(shell: Shell, tmp_path: Path) -> None:
    (shell.folder / "env.toml").write_text("[here]\nexecutor = 'local'\n")
    bundle = make_bundle(tmp_path / "b", script="print('x')\n")
    told = json.loads(shell.ok("recipe", bundle, "--batch", "here", "--json"))
    assert (told["state"], told["executor"]) == ("submitted", "local")
    assert shell.ok("jobs", "wait", told["job"]) is not None


def test_a_detached_job_shows_what_was_submitted(shell: Shell, tmp_path: Path) -> None:
    (shell.folder / "env.toml").write_text(
        "[here]\nexecutor = 'local'\nenv_vars = {A_TOKEN = 'hf_abc', LEVEL = '3'}\n"
    )
    bundle = make_bundle(tmp_path / "b", script="print('x')\n")
    out = shell.ok("recipe", bundle, "--batch", "here")
    assert out.startswith("Job Submission\n├── configs\n")
    assert "A_TOKEN: (set)" in out and "LEVEL: 3" in out and "hf_abc" not in out
    assert f"manifest: {shell.folder}/.runspec/artifacts" in out
    assert "└── mode: detached" in out
    job = out.splitlines()[-1].rpartition("-f ")[2].strip("'")
    shell.ok("jobs", "wait", job)


def test_pipe_runs_in_order_and_stops_at_a_failure(shell: Shell, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    script = "import os, sys\nopen({!r}, 'a').write('{}')\nsys.exit({})\n"
    folders = [
        make_bundle(tmp_path / name, script=script.format(str(trace), name, code))
        for name, code in (("a", 0), ("b", 0), ("c", 4), ("d", 0))
    ]
    code, _, err = shell.run("pipe", *folders[:2])
    assert (code, trace.read_text()) == (0, "ab")
    assert err.splitlines() == ["pipe: 1/2 demo/train", "pipe: 2/2 demo/train"]
    code, _, err = shell.run("pipe", *folders, "train.lr=1")
    assert (code, trace.read_text()) == (4, "ababc")
    assert err.splitlines()[-1] == "error: pipe: not run: demo/train"


def test_pipe_finds_what_is_wrong_before_it_runs(shell: Shell, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    assert "nowhere" in shell.refused("pipe", bundle, "nowhere")
    assert "needs job bundles" in shell.refused("pipe", "--dry-run")
    assert "materialize --detach" in shell.refused("pipe", bundle, "--batch", "x")
    assert "--dry-run" in shell.refused("pipe", bundle, "--dryrun")
    assert not (shell.folder / ".runspec").exists()
    assert shell.ok("pipe", bundle, bundle, "--dry-run").count("Command (local):") == 2


def test_pipe_sends_each_recipe_where_its_profile_is(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nemo_runspec.relay import relayed

    sent: list[list[str]] = []

    def relay(arguments: list[str]) -> int:
        sent.append(arguments)
        return 0

    monkeypatch.setattr(relayed, "relay", relay)
    folders = [make_bundle(tmp_path / name) for name in "ab"]
    assert shell.run("pipe", *folders, "--run", "far", "train.lr=1")[0] == 0
    assert sent == [["recipe", str(each), "--run", "far", "train.lr=1"] for each in folders]


@pytest.fixture
def cluster(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profile, and commands of a cluster that do the work here."""
    folder = tmp_path / "bin"
    folder.mkdir()
    scripts = {
        "salloc": 'while [ "${1#-}" != "$1" ]; do shift; done\nexec "$@"',
        "srun": 'while [ "${1#-}" != "$1" ]; do shift; done\nexec "$@"',
        "enroot": '[ "$1" = import ] || exit 1\necho "imports $4" >&2\nprintf squash > "$3"',
    }
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), os.environ["PATH"]]))
    jobs = tmp_path / "lustre"
    jobs.mkdir()
    (shell.folder / "env.toml").write_text(
        f"[prod]\nexecutor = 'slurm'\nremote_job_dir = '{jobs}'\n"
        "container_image = 'nvcr.io/nvidia/nemo:25.11'\n[bare]\nexecutor = 'slurm'\n"
    )
    return jobs


def test_squash_makes_the_file_once(shell: Shell, cluster: Path) -> None:
    file = cluster / "nvcr_io_nvidia_nemo_25_11.sqsh"
    out = shell.ok("squash", "--profile", "prod", "--dry-run")
    assert out == f"{file} would be made of docker://nvcr.io/nvidia/nemo:25.11\n"
    assert not file.exists()
    code, out, err = shell.run("squash", "--profile", "prod")
    assert (code, out) == (0, f"{file}\n"), err
    assert "imports docker://nvcr.io/nvidia/nemo:25.11" in err
    assert file.read_text() == "squash"
    code, out, err = shell.run("squash", "nvcr.io/nvidia/nemo:25.11", "--profile", "prod")
    assert (code, out) == (0, f"{file}\n") and "imports" not in err
    code, _, err = shell.run("squash", "--profile", "prod", "--force")
    assert code == 0 and "imports" in err


def test_squash_says_what_is_missing(shell: Shell, cluster: Path) -> None:
    assert "needs a profile" in shell.refused("squash", "x")
    assert "no container_image" in shell.refused("squash", "--profile", "bare")
    assert "no remote_job_dir" in shell.refused("squash", "img", "--profile", "bare")


EVALUATION = """
run: {model: 'demo-model:latest'}
deployment: {image: 'vllm/vllm:1'}
execution: {type: local, auto_export: {destinations: [wandb]}}
evaluation: {model_path: '${art:model,path}', nodes: '${run.env.nodes}', tasks: [a, b]}
"""


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """NeMo Evaluator's launcher, which notes what it is called with."""
    called: list[Any] = []

    def run_eval(config: Any, dry_run: bool = False, tasks: list[str] | None = None) -> str:
        from omegaconf import OmegaConf

        called.append((OmegaConf.to_container(config), dry_run, tasks))
        return "inv-1"

    functional = types.ModuleType("nemo_evaluator_launcher.api.functional")
    functional.run_eval = run_eval  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nemo_evaluator_launcher", types.ModuleType("x"))
    monkeypatch.setitem(sys.modules, "nemo_evaluator_launcher.api", types.ModuleType("x"))
    monkeypatch.setitem(sys.modules, functional.__name__, functional)
    return called


def test_evaluate_gives_the_launcher_its_config(
    shell: Shell, launcher: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "not-shown-0123456789")
    (shell.folder / "eval.yaml").write_text(EVALUATION)
    (shell.folder / "env.toml").write_text("[lab]\nexecutor = 'local'\nnodes = 2\n")
    (shell.folder / "weights").mkdir()
    shell.ok("import", "model", "demo-model", shell.folder / "weights", "--step", "1")
    line = ["evaluate", "-c", "eval.yaml", "--run", "lab", "-t", "a", "--task=b"]
    dry = shell.ok(*line, "--dry-run")
    assert "model_path: ${art:model,path}" in dry and launcher == []
    out = shell.ok(*line, "evaluation.limit=5")
    assert "nemo-evaluator-launcher status inv-1" in out
    ((config, dry_run, tasks),) = launcher
    assert (dry_run, tasks) == (False, ["a", "b"])
    assert config["evaluation"]["model_path"] == str(shell.folder / "weights")
    assert (config["evaluation"]["nodes"], config["evaluation"]["limit"]) == (2, 5)
    assert config["evaluation"]["env_vars"]["WANDB_API_KEY"] == "WANDB_API_KEY"
    assert "run" not in config
    assert "not-shown" not in out


def test_evaluate_says_what_is_wrong(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    (shell.folder / "eval.yaml").write_text("evaluation: {tasks: []}\n")
    assert "needs a config" in shell.refused("evaluate", "-t", "a")
    assert "what is '--limit' for?" in shell.refused("evaluate", "-c", "eval.yaml", "--limit")
    assert "no --stage" in shell.refused("evaluate", "-c", "eval.yaml", "--stage", "--run", "x")
    assert "eval2" in shell.refused("evaluate", "-c", "eval2.yaml")
    monkeypatch.setitem(sys.modules, "nemo_evaluator_launcher.api.functional", None)
    assert "nemo-evaluator-launcher" in shell.refused("evaluate", "-c", "eval.yaml")
