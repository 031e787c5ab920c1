from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nemo_runspec.pipeline import PipelineConfig, generate_sbatch_script, run_pipeline
from nemo_runspec.step import Step
from tests.nemo_runspec.steps import fail, listen, speak

NASTY = ["a b", "it's", '"$HOME"', "; echo pwned", "line\nline", "grüße"]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("HEARD", str(tmp_path / "heard"))


def steps(*modules: object) -> list[Step]:
    return [
        Step(name=f"{number}-{module.__name__.rpartition('.')[2]}", module=module)  # type: ignore[attr-defined, arg-type]
        for number, module in enumerate(modules)
    ]


def heard(tmp_path: Path) -> str:
    file = tmp_path / "heard"
    return file.read_text() if file.exists() else ""


def test_each_step_reads_what_the_one_before_wrote(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = PipelineConfig(env_vars=["WORD=x=y z"])
    assert run_pipeline(config, steps(speak, listen, listen), NASTY) == 0
    said = json.loads(capfd.readouterr().out)
    assert said == {"args": NASTY, "word": "x=y z"}
    assert heard(tmp_path) == 2 * (json.dumps(said) + "\n")


@pytest.mark.parametrize(("how", "code"), [("7", 7), ("signal9", 137)])
def test_a_failed_step_stops_the_rest(
    how: str,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOW", how)
    assert run_pipeline(PipelineConfig(), steps(speak, fail, listen)) == code
    assert heard(tmp_path) == ""
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last == f"error: step 1-fail: exit code {code}; not run: 2-listen"


def test_dry_run_shows_commands_and_runs_none(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = PipelineConfig(dry_run=True, nproc_per_node=3, verbose=False)
    train = Step(name="train", module=listen, torchrun=True)
    assert run_pipeline(config, [*steps(speak), train], ["--token=hunter2", "a b"]) == 0
    out = capfd.readouterr().out.splitlines()
    assert len(out) == 2
    assert out[0].endswith("-m tests.nemo_runspec.steps.speak '--token=******' 'a b'")
    assert "torch.distributed.run --standalone --nproc_per_node=3 -m tests." in out[1]
    assert heard(tmp_path) == ""


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (PipelineConfig(launcher="slurm"), "launcher: unknown 'slurm'; "),  # type: ignore[arg-type]
        (PipelineConfig(launcher="nemorun"), "did you mean 'nemo-run'?"),  # type: ignore[arg-type]
        (PipelineConfig(launcher="sbatch"), "needs account, partition"),
        (
            PipelineConfig(
                launcher="nemo-run", executor="slurm", account="a", partition="p", tunnel="ssh"
            ),
            "needs host, user, remote_job_dir",
        ),
        (PipelineConfig(env_vars=["hunter2"]), "an entry without '=' is not of the form"),
        (PipelineConfig(env_vars=["É=hunter2"]), "'É' is not of the form NAME=value"),
        (PipelineConfig(nproc_per_node=0), "nproc_per_node: 0"),
    ],
)
def test_what_cannot_be_run(
    config: PipelineConfig, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pipeline(config, steps(speak)) == 2
    err = capfd.readouterr().err
    assert message in err and err.startswith("error: ") and len(err.splitlines()) == 1
    assert "hunter2" not in err


def test_no_steps(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_pipeline(PipelineConfig(), []) == 2
    assert "at least one step" in capfd.readouterr().err


def test_a_step_ends_with_the_launcher(tmp_path: Path) -> None:
    code = (
        "import types\n"
        "from nemo_runspec.pipeline import PipelineConfig, run_pipeline\n"
        "from nemo_runspec.step import Step\n"
        "module = types.ModuleType('sleeper')\n"
        "run_pipeline(PipelineConfig(), [Step(name='sleep', module=module)])\n"
    )
    pid = tmp_path / "pid"
    (tmp_path / "sleeper.py").write_text(
        f"import os, time\nopen({str(pid)!r} + '.new', 'w').write(str(os.getpid()))\n"
        f"os.rename({str(pid)!r} + '.new', {str(pid)!r})\ntime.sleep(600)\n"
    )
    launcher = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not pid.exists():
        assert time.monotonic() < deadline and launcher.poll() is None
        time.sleep(0.05)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(60) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a batch script calls, on this machine: srun runs the rest of its line."""
    tools = tmp_path / "tools"
    tools.mkdir()
    scripts = {
        "scontrol": "echo node0",
        "srun": 'echo "$*" >> "$SRUN_CALLS"\n'
        'while case "$1" in -w) shift;; -*) ;; *) false;; esac; do shift; done\n'
        'if [ "$1" = hostname ]; then echo 10.0.0.1 fe80::1; exit; fi\nexec "$@"',
        "sbatch": 'cat > "$SUBMITTED"\necho Submitted batch job 17',
        "python3": f'exec {sys.executable} "$@"',
    }
    for name, text in scripts.items():
        (tools / name).write_text(f"#!/bin/bash\n{text}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SUBMITTED", str(tmp_path / "submitted.sh"))
    monkeypatch.setenv("SRUN_CALLS", str(tmp_path / "srun"))
    monkeypatch.setenv("SLURM_JOB_NODELIST", "node0")
    return tmp_path


BATCH = PipelineConfig(
    launcher="sbatch", account="acct", partition="part", nodes=2, nproc_per_node=4
)


def test_batch_script_runs_the_steps_in_order(slurm: Path) -> None:
    config = PipelineConfig(**{**vars(BATCH), "env_vars": ["WORD=it's $HOME"]})
    script = generate_sbatch_script(config, steps(speak, listen, listen), NASTY)
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=True)
    said = {"args": NASTY, "word": "it's $HOME"}
    assert json.loads(done.stdout) == said
    assert heard(slurm) == 2 * (json.dumps(said) + "\n")


def test_batch_script_ends_at_the_step_that_failed(
    slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOW", "5")
    script = generate_sbatch_script(BATCH, steps(speak, fail, listen))
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True)
    assert done.returncode == 5
    assert "error: step 1-fail: exit code 5" in done.stderr
    assert heard(slurm) == ""


def test_batch_script_gives_torchrun_its_nodes_and_image() -> None:
    config = PipelineConfig(
        **{**vars(BATCH), "container_image": "/a/x.sqsh", "mounts": ["/a:/a", "/b:/c"]}
    )
    train = Step(name="train", module=listen, torchrun=True)
    script = generate_sbatch_script(config, [train])
    for line in ("account=acct", "partition=part", "nodes=2", "gpus-per-node=4"):
        assert f"#SBATCH --{line}\n" in script
    assert "--container-image=/a/x.sqsh --container-mounts=/a:/a,/b:/c" in script
    assert '--nnodes="$SLURM_JOB_NUM_NODES" --node_rank="$SLURM_NODEID"' in script
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


def test_secrets_are_in_no_script(slurm: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = PipelineConfig(
        **{
            **vars(BATCH),
            "env_vars": ["WORD=shown", "MY_API_KEY=hunter2 it's"],
            "remote_job_dir": str(slurm / "jobs"),
        }
    )
    assert run_pipeline(PipelineConfig(**{**vars(config), "dry_run": True}), steps(speak)) == 0
    assert "hunter2" not in capfd.readouterr().out
    assert not (slurm / "jobs").exists()

    assert run_pipeline(config, steps(speak)) == 0
    assert capfd.readouterr().out == "Submitted batch job 17\n"
    submitted = (slurm / "submitted.sh").read_text()
    assert "hunter2" not in submitted
    (secret,) = (slurm / "jobs" / ".secrets").iterdir()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    # The job sees them, and takes them away.
    shown = submitted.replace("run_step 0-speak", 'echo "$MY_API_KEY" >&2\nrun_step 0-speak')
    done = subprocess.run(["bash"], input=shown, capture_output=True, text=True, check=True)
    assert "hunter2 it's" in done.stderr
    assert not secret.exists()


@pytest.mark.parametrize("sbatch", ["#!/bin/sh\necho no >&2; exit 3\n", None])
def test_secrets_go_where_nothing_was_submitted(
    slurm: Path, monkeypatch: pytest.MonkeyPatch, sbatch: str | None
) -> None:
    tool = slurm / "tools" / "sbatch"
    monkeypatch.setenv("PATH", str(tool.parent))
    if sbatch is None:
        tool.write_bytes(b"\0\1")  # no program of this machine
    else:
        tool.write_text(sbatch)
    config = PipelineConfig(
        **{**vars(BATCH), "env_vars": ["A_TOKEN=x"], "remote_job_dir": str(slurm / "jobs")}
    )
    assert run_pipeline(config, steps(speak)) == (3 if sbatch else 2)
    assert list((slurm / "jobs" / ".secrets").iterdir()) == []


def test_without_slurm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    config = PipelineConfig(**{**vars(BATCH), "env_vars": ["A_TOKEN=hunter2"]})
    assert run_pipeline(config, steps(speak)) == 2
    assert "no sbatch on this machine's PATH" in capfd.readouterr().err
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
