from __future__ import annotations

import shlex
import stat
import subprocess
from pathlib import Path
from typing import Any

import nemo_run
import pytest
from omegaconf import OmegaConf

from nemo_runspec.evaluator import maybe_auto_squash_evaluator
from nemo_runspec.execution import ExecutionError, create_executor, create_slurm_executor
from nemo_runspec.packaging import CodePackager, SelfContainedPackager
from runspec import RunspecResources
from tests.nemo_runspec.cluster_side import Tunnel

SLURM = {"executor": "slurm", "account": "acct", "partition": "part"}
DOCKER = {"executor": "docker", "container_image": "img:1"}
DGX = {
    "executor": "dgxcloud",
    "container_image": "img:1",
    "base_url": "https://dgx.example",
    "kube_apiserver_url": "https://kube.example",
    "app_id": "me",
    "app_secret": "hunter2",
    "project_name": "proj",
    "pvc_nemo_run_dir": "/pvc/jobs",
    "pvcs": [{"path": "/pvc"}],
}
LEPTON = {
    "executor": "lepton",
    "container_image": "img:1",
    "nemo_run_dir": "/nfs/jobs",
    "node_group": "group",
    "mounts": [{"path": "/", "mount_path": "/nfs"}],
}
NASTY = {"A": "a b", "B": "it's $HOME `x`", "C": "two\nlines", "lower": "x y", "D": "grüße"}


@pytest.fixture
def packager() -> SelfContainedPackager:
    return SelfContainedPackager(script_path="train.py", train_path="config.yaml")


def sbatch_script(executor: Any, tmp_path: Path) -> str:
    """What NeMo-Run would hand to sbatch."""
    from nemo_run.core.execution.slurm import SlurmBatchRequest

    executor.assign("exp_1", str(tmp_path / "exp_1"), "train", "train")
    executor.tunnel._set_job_dir("exp_1")
    request = SlurmBatchRequest(
        launch_cmd=["sbatch"],
        jobs=["train"],
        command_groups=[["bash", "-c", "true"]],
        executor=executor,
        max_retries=0,
        extra_env={},
    )
    script: str = request.materialize()
    return script


def test_local(packager: Any) -> None:
    executor = create_executor(None, {"A": "1"}, packager)
    assert isinstance(executor, nemo_run.LocalExecutor)
    assert executor.env_vars == {"A": "1"}
    assert create_executor({"nproc_per_node": 4}, {}, packager).ntasks_per_node == 4


def test_slurm_keys(packager: Any, tmp_path: Path) -> None:
    profile = OmegaConf.create(
        {
            **SLURM,
            "batch_partition": "night",
            "run_partition": "day",
            "nodes": 2,
            "gpus_per_node": 8,
            "time": "01:00:00",
            "qos": "high",
            "gres": "gpu:8",
            "constraint": "a100",
            "exclude": "n1",
            "reservation": "res",
            "comment": "hello",
            "signal": "B:USR1@60",
            "mem": "0",
            "exclusive": True,
            "cpus_per_task": 4,
            "setup_lines": "module load x",
            "srun_args": ["--mpi=pmix"],
            "sbatch": {"switches": 1},
            "retries": 2,
        }
    )
    executor = create_executor(profile, {}, packager)
    assert isinstance(executor, nemo_run.SlurmExecutor)
    script = sbatch_script(executor, tmp_path)
    for flag in (
        "account=acct", "partition=night", "nodes=2", "gpus-per-node=8", "time=01:00:00",
        "qos=high", "gres=gpu:8", "constraint=a100", "exclude=n1", "reservation=res",
        "comment=hello", "signal=B:USR1@60", "mem=0", "cpus-per-task=4", "switches=1",
    ):  # fmt: skip
        assert f"#SBATCH --{flag}\n" in script, flag
    assert "#SBATCH --exclusive" in script
    assert "module load x" in script and "--mpi=pmix" in script
    assert "--container" not in script
    assert create_executor(profile, {}, packager, attached=True).partition == "day"
    assert executor.retries == 2


def test_slurm_takes_the_recipes_resources(packager: Any) -> None:
    resources = RunspecResources(nodes=3, gpus_per_node=2)
    executor = create_slurm_executor(SLURM, {}, packager, script_resources=resources, launcher=None)
    assert (executor.nodes, executor.gpus_per_node, executor.launcher) == (3, 2, None)
    all_gpus = RunspecResources(nodes=1, gpus_per_node="gpu")
    assert create_executor(SLURM, {}, packager, script_resources=all_gpus).gpus_per_node is None


def test_slurm_image_mounts_what_the_job_needs(packager: Any, tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    profile = {**SLURM, "remote_job_dir": str(jobs), "mounts": ["/data:/data"]}
    executor = create_executor(profile, {"A": "1"}, packager, default_image="img:1")
    assert executor.container_image == "img:1"
    assert executor.container_mounts == [
        "/data:/data",
        f"{jobs}:{jobs}",
        f"{jobs}/ray_temp:/ray-cluster",
    ]
    assert (jobs / "ray_temp").is_dir()
    assert executor.container_env == ["A", "NEMO_RUN_DIR"]
    lustre = {**profile, "lustre_mount": "/lustre:/lustre"}
    mounted = create_executor(lustre, {}, packager, default_image="img:1").container_mounts
    assert mounted[-1] == "/lustre:/lustre"


def test_slurm_environment_arrives_intact(packager: Any, tmp_path: Path) -> None:
    script = sbatch_script(create_executor(SLURM, NASTY, packager), tmp_path)
    start, end = script.index("export A="), script.index("# Command 1")
    setting = script[start:end]
    shown = "\n".join(f'printf "%s\\0" "${name}"' for name in NASTY)
    done = subprocess.run(["bash", "-c", f"{setting}\n{shown}"], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == list(NASTY.values())
    # NeMo-Run writes the job's folder in its place.
    assert "export NEMO_RUN_DIR=" + str(Path(create_home()) / "experiments") in script


def create_home() -> str:
    import nemo_run.config

    home: str = nemo_run.config.get_nemorun_home()
    return home


def test_slurm_secrets_lie_in_one_file_of_0600(
    packager: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "from-the-launcher")
    profile = {**SLURM, "remote_job_dir": str(tmp_path / "jobs")}
    executor = create_executor(profile, {"MY_TOKEN": "hunter2 it's", "A": "1"}, packager)
    script = sbatch_script(executor, tmp_path)
    written = script + str(vars(executor)) + str(executor.to_config())
    assert "hunter2" not in written and "from-the-launcher" not in written
    (file,) = (tmp_path / "jobs" / ".secrets").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    job = script[script.index("export A=") : script.index("# Command 1")]
    traced = "set -vx\n" + job + '\nprintf "%s|%s" "$MY_TOKEN" "$WANDB_API_KEY"'
    # The job's trace must not show them, but for the command that asks for it.
    done = subprocess.run(
        ["bash", "-c", traced.replace("printf", "{ set +vx; } 2>/dev/null; printf")],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "hunter2 it's|from-the-launcher"
    assert "hunter2" not in done.stderr and "from-the-launcher" not in done.stderr
    assert not file.exists()


@pytest.mark.parametrize(
    ("ending", "restarts", "stays"),
    [("exit 0", 0, False), ("exit 3", 0, True), ("exit 3", 1, False), ("kill -TERM $$", 1, True)],
)
def test_slurm_secrets_stay_while_the_job_may_start_again(
    packager: Any, tmp_path: Path, ending: str, restarts: int, stays: bool
) -> None:
    profile = {**SLURM, "remote_job_dir": str(tmp_path / "jobs"), "retries": 1}
    executor = create_executor(profile, {"MY_TOKEN": "hunter2"}, packager)
    (file,) = (tmp_path / "jobs" / ".secrets").iterdir()
    script = f"export TORCHX_MAX_RETRIES=1\n{executor.setup_lines}\n{ending}"
    environment = {"SLURM_RESTART_COUNT": str(restarts), "PATH": "/usr/bin:/bin"}
    subprocess.run(["bash", "-c", script], env=environment)
    assert file.exists() is stays


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"executor": "slrum"}, "unknown executor 'slrum'; did you mean 'slurm'"),
        ({"executor": "slurm"}, "needs `account`"),
        ({**SLURM, "tunnel": "ssh"}, "needs host, user, remote_job_dir"),
        ({**SLURM, "tunnel": "shs"}, "unknown 'shs'; did you mean 'ssh'"),
        ({**SLURM, "remote_job_dir": "/x/nemo_run/jobs"}, "NeMo-Run rewrites"),
        ({"executor": "docker"}, "give container_image"),
        ({**DOCKER, "nodes": 2}, "nodes = 2"),
        ({**DOCKER, "mounts": ["${oc.env:NONE_SUCH}:/x"]}, "run.env: .*NONE_SUCH"),
        ({**DOCKER, "mounts": ["$NONE_SUCH:/x"]}, "not set: \\$NONE_SUCH"),
        ({**DOCKER, "mounts": ["/x"]}, "'/x' has no :TARGET"),
        ({**DOCKER, "shmsize": "1g"}, "unknown key 'shmsize'.*did you mean 'shm_size'"),
        ({**DGX, "base_url": ""}, "the profile needs base_url"),
        ({**DGX, "pvc": []}, "unknown key 'pvc'.*did you mean 'pvcs'"),
        ({"executor": "lepton"}, "the profile needs nemo_run_dir, node_group"),
        ({**LEPTON, "mounts": ["/a:/b"]}, "needs the keys path and mount_path"),
        ({**LEPTON, "resource_shap": "x"}, "did you mean 'resource_shape'"),
    ],
)
def test_what_cannot_be_made(packager: Any, profile: dict[str, Any], message: str) -> None:
    with pytest.raises(ExecutionError, match=message) as caught:
        create_executor(profile, {}, packager)
    assert "\n" not in str(caught.value) and "hunter2" not in str(caught.value)


def test_docker(packager: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA", "/data")
    profile = {
        **DOCKER,
        "gpus_per_node": 2,
        "shm_size": "30g",
        "mounts": ["$DATA:/d", "./here:/h:ro", "volume:/v", "${auto_mount:git+https://h/o/r@m,/r}"],
    }
    executor = create_executor(profile, {"A": "1"}, packager)
    assert isinstance(executor, nemo_run.DockerExecutor)
    assert executor.volumes == ["/data:/d", f"{tmp_path}/here:/h:ro", "volume:/v"]
    assert (executor.num_gpus, executor.runtime, executor.shm_size) == (2, "nvidia", "30g")
    assert executor.env_vars == {"A": "1", "NEMO_RUN_DIR": "/nemo_run"}
    without = create_executor(DOCKER, {}, packager)
    assert (without.num_gpus, without.runtime) == (None, None)


def test_docker_secrets_come_by_a_file(packager: Any, nemo_run_home: Path) -> None:
    executor = create_executor(DOCKER, {"MY_TOKEN": "hunter2"}, packager)
    assert "hunter2" not in str(vars(executor))
    (file,) = (nemo_run_home / ".secrets").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert executor.volumes == [f"{file}:{executor.env_vars['BASH_ENV']}:ro"]
    script = f"BASH_ENV={shlex.quote(str(file))} bash -c 'echo $MY_TOKEN'"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "hunter2\n"


def test_dgxcloud(packager: Any, nemo_run_home: Path) -> None:
    profile = {**DGX, "nodes": 2, "gpus_per_node": 8, "dgxcloud_max_args_chars": 9000}
    executor = create_executor(profile, {"A": "1"}, packager)
    assert isinstance(executor, nemo_run.DGXCloudExecutor)
    assert (executor.client_id, executor.client_secret) == ("me", "hunter2")
    assert stat.S_IMODE(nemo_run_home.stat().st_mode) == 0o700
    assert (executor.nodes, executor.gpus_per_node, executor.MAX_ARGS_CHARS) == (2, 8, 9000)
    with pytest.raises(ExecutionError, match="MY_TOKEN would be written in clear"):
        create_executor(profile, {"MY_TOKEN": "hunter2"}, packager)


def test_lepton(packager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = {**LEPTON, "resource_shape": "gpu.8xh100", "secret_vars": {"HF_TOKEN": "mine"}}
    monkeypatch.setenv("WANDB_API_KEY", "nobody asked for it")
    executor = create_executor(profile, {"A": "1", "HF_TOKEN": "x"}, packager)
    assert isinstance(executor, nemo_run.LeptonExecutor)
    assert executor.secret_vars == {"HF_TOKEN": "mine"}
    assert executor.env_vars == {"A": "1", "NEMO_RUN_DIR": "/nemo_run"}
    assert executor.mounts == [{"path": "/", "mount_path": "/nfs"}]
    with pytest.raises(ExecutionError, match=r"MY_TOKEN would be .* secret_vars"):
        create_executor(profile, {"MY_TOKEN": "hunter2"}, packager)


def test_packagers_are_what_nemo_run_wants(
    tmp_path: Path, nemo_run_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole experiment: serialised, packed, unpacked where the job finds it."""
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "train.py").write_text("print('trained')\n")
    (repo / "config.yaml").write_text("lr: 1\n")
    monkeypatch.chdir(repo)
    for made in (CodePackager, SelfContainedPackager):
        packager = made(script_path="train.py", train_path="config.yaml")
        executor = create_executor(SLURM, {}, packager)
        with nemo_run.Experiment("exp") as experiment:
            task = nemo_run.Script(path="main.py", args=["--config", "config.yaml"])
            experiment.add(task, executor=executor, name="train")
            experiment.dryrun()
        executor.assign("exp_1", str(nemo_run_home / made.__name__), "train", "train")
        executor.experiment_id = "exp_1"
        Path(executor.job_dir).mkdir(parents=True)
        executor.package(executor.packager, "train")
        code = Path(executor.job_dir) / "code"
        assert {path.name for path in code.iterdir()} >= {"main.py", "config.yaml"}


def test_slurm_over_ssh_prepares_the_clusters_side(
    packager: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tunnel = Tunnel()
    asked: list[dict[str, Any]] = []

    def connect(**arguments: Any) -> Tunnel:
        asked.append(arguments)
        return tunnel

    monkeypatch.setattr(nemo_run, "SSHTunnel", connect)
    # NeMo-Run looks at its tunnel's type.
    monkeypatch.setattr(nemo_run, "SlurmExecutor", lambda **arguments: arguments)
    monkeypatch.setattr("nemo_runspec.execution.create.ensure_squashed_image", squashed)
    jobs = tmp_path / "jo bs"
    profile = {
        **SLURM,
        "tunnel": "ssh",
        "host": "login",
        "user": "me",
        "identity": "~/.ssh/id",
        "remote_job_dir": str(jobs),
        "mounts": ["/data:/data"],
    }
    made = create_executor(
        profile, {"MY_TOKEN": "hunter2 it's"}, packager, default_image="img:1", force_squash=True
    )
    identity = str(Path("~/.ssh/id").expanduser())
    assert asked == [{"host": "login", "user": "me", "job_dir": str(jobs), "identity": identity}]
    assert made["container_image"] == f"{jobs}/img.sqsh forced=True"
    (file,) = (jobs / ".secrets").iterdir()
    assert file.read_text() == "export MY_TOKEN=" + shlex.quote("hunter2 it's") + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert not any("hunter2" in line for line in tunnel.lines)
    assert "hunter2" not in str({**made, "tunnel": None})
    assert tunnel.lines[0] == "<connect>" and (jobs / "ray_temp").is_dir()


def squashed(tunnel: Any, image: str, folder: str, profile: Any, *, force: bool) -> str:
    return f"{folder}/{image.partition(':')[0]}.sqsh forced={force}"


def test_evaluator_images_are_squashed_over_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    tunnel = Tunnel()
    monkeypatch.setattr(nemo_run, "SSHTunnel", lambda **_: tunnel)
    monkeypatch.setattr("nemo_runspec.squash.ensure_squashed_image", squashed)
    profile = {"tunnel": "ssh", "host": "h", "user": "u", "remote_job_dir": "/jobs"}
    config = OmegaConf.create(
        {
            "run": {"env": {**SLURM, **profile}},
            "deployment": {"image": "vllm:1"},
            "execution": {"proxy": {"image": "/x/proxy.sqsh"}},
        }
    )
    maybe_auto_squash_evaluator(config, mode="batch", dry_run=False, force_squash=False)
    assert config.deployment.image == "/jobs/vllm.sqsh forced=False"
    assert config.execution.proxy.image == "/x/proxy.sqsh"
    assert tunnel.lines == ["<connect>", "<cleanup>"]
