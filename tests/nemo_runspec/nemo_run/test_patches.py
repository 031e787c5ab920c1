from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from nemo_run.core.tunnel import rsync as rsync_module
from nemo_run.run.ray import slurm as ray_slurm

from nemo_runspec.execution import create_slurm_executor
from nemo_runspec.run import (
    RAY_CPU_TEMPLATE,
    RunConfig,
    patch_nemo_run_ray_template_for_cpu,
    patch_nemo_run_rsync_accept_new_host_keys,
    start_ray_job,
)

PROFILE = {"executor": "slurm", "account": "acct", "partition": "part", "nodes": 3}


@pytest.fixture(autouse=True)
def mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both mendings, twice, taken back afterwards."""
    from nemo_run.run import experiment

    monkeypatch.setattr(
        ray_slurm.SlurmRayRequest, "materialize", ray_slurm.SlurmRayRequest.materialize
    )
    for module in (rsync_module, ray_slurm, experiment):
        monkeypatch.setattr(module, "rsync", module.rsync)
    marked = "_nemo_runspec_mended"
    monkeypatch.setattr(ray_slurm.SlurmRayRequest, marked, False, raising=False)


def ray_script(tmp_path: Path, image: str | None = None, **changes: Any) -> str:
    patch_nemo_run_ray_template_for_cpu()
    patch_nemo_run_ray_template_for_cpu()
    executor = create_slurm_executor(
        {**PROFILE, "remote_job_dir": str(tmp_path / "jobs")},
        {"A": "it's $HOME", "MY_TOKEN": "hunter2"},
        None,
        default_image=image,
        launcher=None,
    )
    request = {
        "name": "ray",
        "cluster_dir": str(tmp_path / "cluster"),
        "template_name": "ray.sub.j2",
        "executor": executor,
        "launch_cmd": ["sbatch"],
        "pre_ray_start_commands": ["echo before >> $BEFORE"],
        **changes,
    }
    text: str = ray_slurm.SlurmRayRequest(**request).materialize()
    return text


def test_our_template_is_used_unless_somebody_chose_one(tmp_path: Path) -> None:
    text = ray_script(tmp_path, command="true")
    assert "#SBATCH --nodes=3\n" in text and "jq" not in text and "0.0.0.0" not in text
    assert "hunter2" not in text
    theirs = ray_script(
        tmp_path,
        template_dir=str(Path(ray_slurm.__file__).parent / "templates"),
        command="true",
    )
    assert "jq" in theirs


def test_the_template_comes_with_the_library() -> None:
    assert RAY_CPU_TEMPLATE.is_file()


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """srun runs the rest of its line, `ray start` waits as the real one does with --block."""
    tools = tmp_path / "tools"
    tools.mkdir()
    scripts = {
        "scontrol": 'printf "node%s\\n" 0 1 2',
        "srun": 'echo "srun $*" >> "$CALLS"\n'
        'while case "$1" in -w|-o|--container-mounts) [ "$1" = -o ] && out="$2"; shift;;\n'
        "-*) ;; *) false;; esac; do shift; done\n"
        '[ -z "${out:-}" ] || exec >> "$out" 2>&1\nexec "$@"',
        "hostname": "echo 10.0.0.1 fe80::1",
        "ray": 'echo "ray $*" >> "$CALLS"\ncase "$1" in\nstart) echo $$ >> "$PIDS"; '
        'exec sleep 600;;\nstatus) [ -s "$PIDS" ];;\nesac',
        "python3": 'wc -l < "$PIDS"',
    }
    for name, text in scripts.items():
        (tools / name).write_text(f"#!/bin/bash\n{text}\n")
        (tools / name).chmod(0o755)
    values = {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "PIDS": str(tmp_path / "pids"),
        "BEFORE": str(tmp_path / "before"),
        "SLURM_JOB_ID": "17",
        "SLURM_JOB_NODELIST": "node[0-2]",
        "SLURM_CPUS_ON_NODE": "5",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.mark.parametrize("image", [None, "/x/img.sqsh"])
@pytest.mark.parametrize("code", [0, 7])
def test_a_cluster_comes_up_runs_its_command_and_goes(
    slurm: Path, image: str | None, code: int
) -> None:
    command = f'echo "$RAY_ADDRESS|$A|$MY_TOKEN" > {slurm}/said; exit {code}'
    script = ray_script(slurm, image, command=command)
    (secret,) = (slurm / "jobs" / ".secrets").iterdir()
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    assert (slurm / "said").read_text() == "10.0.0.1:6379|it's $HOME|hunter2\n"
    calls = (slurm / "calls").read_text()
    assert calls.count("\nray start") == 3 and calls.count("usage-stats --head") == 1
    assert calls.count("--num-cpus=5 --num-gpus=0") == 6  # srun's line and Ray's
    assert '--resources={"worker_units": 5, "slurm_managed_ray_cluster": 1}' in calls
    assert "hunter2" not in calls + done.stdout + done.stderr
    assert (slurm / "before").read_text() == "before\n" * 3
    assert ("--container-name=ray-head" in calls) is (image is not None)
    for pid in (slurm / "pids").read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
    assert not (slurm / "cluster" / "ray_cluster_info.json").exists()
    assert (slurm / "cluster" / "job_ids.json").read_text() == "[17]\n"
    assert not secret.exists()


def test_the_last_of_several_allocations_counts(slurm: Path) -> None:
    for number in ("17", "18"):
        os.environ["SLURM_JOB_ID"] = number  # the fixture puts it back
        script = ray_script(slurm, command="true")
        subprocess.run(["bash"], input=script, check=True, capture_output=True, text=True)
        (slurm / "pids").unlink()
    assert (slurm / "cluster" / "job_ids.json").read_text() == "[17,18]\n"


def test_rsync_asks_nobody_and_sends_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    def rsync(
        c: Any,
        source: str,
        target: str,
        exclude: Any = (),
        ssh_opts: str = "",
        rsync_opts: str = "",
    ) -> None:
        given.append({"exclude": exclude, "ssh_opts": ssh_opts, "source": source})

    for module in (rsync_module, ray_slurm):
        monkeypatch.setattr(module, "rsync", rsync)
    patch_nemo_run_rsync_accept_new_host_keys()
    patch_nemo_run_rsync_accept_new_host_keys()
    ray_slurm.rsync(None, "a", "b")
    assert given[-1]["ssh_opts"] == (
        "-o StrictHostKeyChecking=accept-new -o BatchMode=yes -o ConnectTimeout=30"
    )
    assert {".git", ".env", "*.pem"} <= set(given[-1]["exclude"])
    ray_slurm.rsync(None, "a", "b", ssh_opts="-o StrictHostKeyChecking=no", exclude=("x",))
    assert given[-1]["exclude"] == ("x",)
    assert given[-1]["ssh_opts"].startswith("-o StrictHostKeyChecking=no -o BatchMode")
    assert "accept-new" not in given[-1]["ssh_opts"]


def test_a_ray_job_has_a_name_of_its_own(slurm: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (slurm / "work").mkdir()
    # NeMo-Run asks for jobs of the name.
    (slurm / "tools" / "squeue").write_text("#!/bin/bash\n")
    (slurm / "tools" / "squeue").chmod(0o755)
    executor = create_slurm_executor(PROFILE, {"MY_TOKEN": "hunter2"}, None, launcher=None)
    config = RunConfig("rl", "echo 'it is' $HOME", str(slurm / "work") + "/", ["echo first"])
    jobs = [start_ray_job(config, executor, dryrun=True) for _ in range(2)]
    assert jobs[0].name != jobs[1].name and jobs[0].name.startswith("rl-")
    out = capfd.readouterr().out
    assert out.count("#SBATCH --account=acct") == 2
    assert "echo 'it is' $HOME" in out and "echo first" in out and "hunter2" not in out
