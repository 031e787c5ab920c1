"""NeMo-Run's executors from an env.toml profile: for commands that show their own execution."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nemo_runspec._names import hint
from nemo_runspec.config.mounts import AUTO_MOUNT_PREFIX
from nemo_runspec.execution.environment import is_shell_name
from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.git_mounts import clone_git_repos_via_tunnel
from nemo_runspec.execution.nemo_run_library import RUN_DIR, nemo_run
from nemo_runspec.execution.nemo_run_profile import (
    EXECUTOR_NAMES,
    executor_arguments,
    image_of,
    nodes_and_gpus,
    plain_profile,
)
from nemo_runspec.execution.secret_file import (
    forwarded_secrets,
    new_secret_file,
    secrets_text,
    shell_lines,
    split_secrets,
    write_secrets,
)
from nemo_runspec.squash import ensure_squashed_image, is_squashed

__all__ = ["create_executor", "create_slurm_executor", "get_executor_type"]

_DEFAULT_TIME = "04:00:00"
_RAY_TEMP = "/ray-cluster"
# Keys of a profile that NeMo-Run's Slurm executor knows by the same name.
_SLURM_KEYS = (
    "comment",
    "constraint",
    "cpus_per_gpu",
    "cpus_per_task",
    "exclude",
    "exclusive",
    "gpus_per_task",
    "gres",
    "mem",
    "mem_per_cpu",
    "mem_per_gpu",
    "qos",
    "signal",
)


def get_executor_type(env: Any, default: str = "slurm") -> str:
    """The name of the executor that a profile asks for.

    Args:
        env: the profile, plain or an OmegaConf node; None asks for none.
        default: what counts where it does not say.
    """
    return str((env or {}).get("executor") or default)


def create_executor(
    env: Any,
    env_vars: Mapping[str, str],
    packager: Any,
    *,
    attached: bool = False,
    force_squash: bool = False,
    default_image: str | None = None,
    script_resources: Any | None = None,
) -> Any:
    """The NeMo-Run executor that a profile describes.

    Args:
        env: the profile (`job_config.run.env`), plain or an OmegaConf node; None is a local one.
        env_vars: variables of the job (`build_env_vars`). Secrets among them, and HF_TOKEN and
            WANDB_API_KEY of this process, reach a Slurm job by a file of mode 0600.
        packager: a NeMo-Run packager.
        attached: chooses `run_partition` instead of `batch_partition`.
        force_squash: make the image's squash file anew.
        default_image: the image where the profile has none.
        script_resources: `resources` of the recipe: nodes and GPUs where the profile has none.

    Returns:
        A `nemo_run.LocalExecutor`, `DockerExecutor`, `SlurmExecutor`, `DGXCloudExecutor` or
        `LeptonExecutor`.

    Raises:
        ExecutionError: the profile cannot be made one; MissingNemoRunError: no NeMo-Run here.
    """
    profile = plain_profile(env)
    name = get_executor_type(profile, "local")
    if name not in EXECUTOR_NAMES:
        raise ExecutionError(f"unknown executor {name!r}; {hint(name, EXECUTOR_NAMES)}")
    if name == "slurm":
        return create_slurm_executor(
            profile,
            env_vars,
            packager,
            attached=attached,
            force_squash=force_squash,
            default_image=default_image,
            script_resources=script_resources,
        )
    library = nemo_run(f"executor {name!r}")
    if name == "local":
        return library.LocalExecutor(
            ntasks_per_node=int(profile.get("nproc_per_node") or 1),
            launcher="torchrun",
            env_vars=dict(env_vars),
        )
    arguments = executor_arguments(name, profile, default_image, script_resources)
    public, secrets = split_secrets({**forwarded_secrets(), **env_vars})
    arguments["env_vars"] = {**public, "NEMO_RUN_DIR": RUN_DIR}
    if name == "docker":
        _give_to_container(secrets, arguments, library)
        return library.DockerExecutor(packager=packager, **arguments)
    _refuse_secrets(name, secrets, arguments)
    # NeMo-Run writes what lets it in there.
    _home(library).mkdir(parents=True, exist_ok=True)
    _home(library).chmod(0o700)
    launcher = profile.get("launcher", "torchrun")
    made = {"dgxcloud": "DGXCloudExecutor", "lepton": "LeptonExecutor"}[name]
    return getattr(library, made)(packager=packager, launcher=launcher, **arguments)


def create_slurm_executor(
    env: Any,
    env_vars: Mapping[str, str],
    packager: Any,
    *,
    default_image: str | None = None,
    script_resources: Any | None = None,
    attached: bool = False,
    force_squash: bool = False,
    launcher: str | None = "torchrun",
) -> Any:
    """As `create_executor`, for Slurm; with `tunnel = "ssh"` it prepares the cluster's side.

    That is: the image's squash file, the repositories of `${auto_mount:…}`, the secrets' file.

    Args:
        launcher: NeMo-Run's launcher; None for a command that starts its processes itself.
    """
    profile = plain_profile(env)
    library = nemo_run("executor 'slurm'")
    if not profile.get("account"):
        raise ExecutionError("profile: NeMo-Run's Slurm executor needs `account`")
    tunnel = _tunnel(profile, library)
    remote = profile.get("remote_job_dir")
    image = image_of(profile, default_image)
    if image is None and remote and RUN_DIR in str(remote):
        raise ExecutionError(
            f"remote_job_dir: {remote!r} holds {RUN_DIR!r}, which NeMo-Run rewrites in scripts "
            "without an image; use another folder"
        )
    written = profile.get("mounts") or []
    mounts = [mount for mount in written if not mount.startswith(AUTO_MOUNT_PREFIX)]
    over_ssh = profile.get("tunnel") == "ssh"
    if remote and (over_ssh or force_squash):
        tunnel.connect()
        if image and not is_squashed(image):
            image = ensure_squashed_image(tunnel, image, str(remote), profile, force=force_squash)
    repositories = {
        mount.removeprefix(AUTO_MOUNT_PREFIX) for mount in written if mount not in mounts
    }
    if repositories:
        if not remote:
            raise ExecutionError("profile: ${auto_mount:…} in mounts needs remote_job_dir")
        mounts += clone_git_repos_via_tunnel(tunnel, str(remote), names=repositories)
    if image and remote:
        mounts += [f"{remote}:{remote}", f"{remote}/ray_temp:{_RAY_TEMP}"]
        if over_ssh:
            tunnel.run(f"mkdir -p {shlex.quote(f'{remote}/ray_temp')}", hide=True)
        else:
            Path(str(remote), "ray_temp").mkdir(parents=True, exist_ok=True)
    lustre = profile.get("lustre_mount", "/lustre:/lustre" if _on_lustre(remote) else None)
    if image and lustre:
        mounts.append(str(lustre))

    public, secrets = split_secrets({**forwarded_secrets(), **env_vars})
    if public.get("NEMO_RUN_DIR") in (None, str(remote)):
        public["NEMO_RUN_DIR"] = RUN_DIR
    setup = _secret_setup(secrets, tunnel, remote, library, over_ssh=over_ssh)
    # NeMo-Run writes names in capitals and values as they are.
    setup += [f"export {k}={shlex.quote(v)}" for k, v in public.items() if k != k.upper()]
    setup += [str(profile["setup_lines"])] if profile.get("setup_lines") else []
    nodes, gpus = nodes_and_gpus(profile, script_resources)
    partition = profile.get("run_partition" if attached else "batch_partition")
    extra = {**({"reservation": profile["reservation"]} if profile.get("reservation") else {})}
    extra.update(profile.get("sbatch") or {})
    return library.SlurmExecutor(
        account=profile["account"],
        partition=partition or profile.get("partition"),
        nodes=nodes,
        gpus_per_node=gpus,
        ntasks_per_node=int(
            profile.get("ntasks_per_node") or profile.get("nproc_per_node") or gpus or 1
        ),
        time=str(profile.get("time") or _DEFAULT_TIME),
        container_image=image,
        container_mounts=mounts if image else [],
        container_env=sorted({*public, *secrets}) if image else None,
        srun_args=list(profile.get("srun_args") or []) or None,
        additional_parameters=extra or None,
        retries=int(profile.get("retries") or 0),
        env_vars={k: shlex.quote(v) for k, v in public.items() if k == k.upper()},
        setup_lines="\n".join(setup) or None,
        tunnel=tunnel,
        packager=packager,
        launcher=launcher,
        **{key: profile[key] for key in _SLURM_KEYS if profile.get(key) is not None},
    )


def connect_tunnel(env: Any) -> Any:
    """NeMo-Run's tunnel to the cluster of a Slurm profile, connected."""
    tunnel = _tunnel(plain_profile(env), nemo_run("executor 'slurm'"))
    tunnel.connect()
    return tunnel


def _tunnel(profile: Mapping[str, Any], library: Any) -> Any:
    kind = profile.get("tunnel") or "local"
    if kind == "local":
        # Any other job_dir makes NeMo-Run hand sbatch a script that is not there.
        return library.LocalTunnel(job_dir="")
    if kind != "ssh":
        raise ExecutionError(f"tunnel: unknown {kind!r}; {hint(str(kind), ['local', 'ssh'])}")
    missing = [key for key in ("host", "user", "remote_job_dir") if not profile.get(key)]
    if missing:
        raise ExecutionError(f'profile: tunnel = "ssh" needs {", ".join(missing)}')
    identity = profile.get("identity")
    return library.SSHTunnel(
        host=str(profile["host"]),
        user=str(profile["user"]),
        job_dir=str(profile["remote_job_dir"]),
        identity=str(Path(str(identity)).expanduser()) if identity else None,
    )


def _secret_setup(
    secrets: Mapping[str, str], tunnel: Any, remote: Any, library: Any, *, over_ssh: bool
) -> list[str]:
    if not secrets:
        return []
    _check_names(secrets)
    if not over_ssh:
        folder = Path(str(remote)) if remote else _home(library)
        file = new_secret_file(folder)
        write_secrets(file, secrets)
        return shell_lines(file)
    file = new_secret_file(Path(str(remote)))
    folder_word, file_word = shlex.quote(str(file.parent)), shlex.quote(str(file))
    # Through standard input: arguments of a command are for everyone to see.
    import io

    tunnel.run(
        f"umask 077 && mkdir -p {folder_word} && cat > {file_word}",
        hide=True,
        in_stream=io.StringIO(secrets_text(secrets)),
    )
    return shell_lines(file)


def _give_to_container(secrets: Mapping[str, str], arguments: dict[str, Any], library: Any) -> None:
    """Mounts the secrets' file, and has the container's bash source it.

    NeMo-Run writes the environment of an executor into files of its own.
    """
    if not secrets:
        return
    _check_names(secrets)
    file = new_secret_file(_home(library))
    write_secrets(file, secrets)
    inside = "/run/secrets/nemo-runspec.sh"
    arguments["volumes"] = [*arguments.get("volumes", []), f"{file}:{inside}:ro"]
    arguments["env_vars"] = {**arguments["env_vars"], "BASH_ENV": inside}
    import atexit

    # The container has it by then: its mount outlives the name.
    atexit.register(file.unlink, missing_ok=True)


def _refuse_secrets(name: str, secrets: Mapping[str, str], arguments: Mapping[str, Any]) -> None:
    # Those of this process were not asked for by anybody.
    asked = [
        key
        for key in secrets
        if key not in arguments.get("secret_vars", {}) and os.environ.get(key) != secrets[key]
    ]
    if not asked:
        return
    way = (
        "create it as a secret there and name it in secret_vars = {VARIABLE = SECRET}"
        if name == "lepton"
        else "create it as a credential there and name it in custom_spec.environmentVariables"
    )
    raise ExecutionError(
        f"executor {name!r}: {', '.join(sorted(asked))} would be written in clear into NeMo-Run's "
        f"files; {way}"
    )


def _check_names(secrets: Mapping[str, str]) -> None:
    wrong = [name for name in secrets if not is_shell_name(name)]
    if wrong:
        raise ExecutionError(f"env_vars: {wrong[0]!r} is no name that a shell can export")


def _home(library: Any) -> Path:
    home = nemo_run("executor", f"{library.__name__}.config").get_nemorun_home()
    return Path(home)


def _on_lustre(remote: Any) -> bool:
    return str(remote or "").startswith("/lustre/")
