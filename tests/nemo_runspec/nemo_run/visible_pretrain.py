"""A command file with visible execution, as repositories in the field have one per recipe."""

from __future__ import annotations

from pathlib import Path

import typer

from nemo_runspec import parse as parse_runspec
from nemo_runspec.config import (
    build_job_config,
    extract_train_config,
    generate_job_dir,
    parse_config,
    save_configs,
)
from nemo_runspec.display import display_job_config, display_job_submission
from nemo_runspec.env import parse_env
from nemo_runspec.execution import (
    build_env_vars,
    create_executor,
    execute_local,
    get_startup_commands,
    prepend_startup_to_cmd,
)
from nemo_runspec.packaging import REMOTE_CONFIG, REMOTE_SCRIPT
from nemo_runspec.recipe_config import RecipeConfig, parse_recipe_config

SCRIPT_PATH = "src/proj/recipes/pretrain/train.py"
SPEC = parse_runspec(SCRIPT_PATH)


def _execute_pretrain(cfg: RecipeConfig, *, experiment=None):
    train_config = parse_config(cfg.ctx, SPEC.config_dir, SPEC.config.default)
    env = parse_env(cfg.ctx)
    job_config = build_job_config(
        train_config, cfg.ctx, SPEC.name, SCRIPT_PATH, cfg.argv, env_profile=env
    )
    for_remote = cfg.mode in ("run", "batch")
    display_job_config(job_config, for_remote=for_remote)
    if cfg.dry_run:
        return None
    job_dir = generate_job_dir(SPEC.name)
    train = extract_train_config(job_config, for_remote=for_remote)
    job_path, train_path = save_configs(job_config, train, job_dir)
    env_for_executor = job_config.run.env if hasattr(job_config.run, "env") else None
    env_vars = build_env_vars(job_config, env_for_executor)
    display_job_submission(
        job_path, train_path, env_vars, cfg.mode, artifacts=job_config.get("artifacts")
    )
    startup_commands = get_startup_commands(env_for_executor)
    if cfg.mode == "local":
        return execute_local(
            SCRIPT_PATH,
            train_path,
            cfg.passthrough,
            torchrun=(SPEC.run.launch == "torchrun"),
            env_vars=env_vars,
            startup_commands=startup_commands,
        )
    return _execute_remote(
        train_path, env_for_executor, cfg, env_vars, startup_commands, experiment
    )


def _execute_remote(train_path: Path, env, cfg, env_vars, startup_commands, experiment):
    import shlex

    import nemo_run as run

    from nemo_runspec.packaging import SelfContainedPackager
    from nemo_runspec.run import (
        patch_nemo_run_ray_template_for_cpu,
        patch_nemo_run_rsync_accept_new_host_keys,
    )

    patch_nemo_run_rsync_accept_new_host_keys()
    patch_nemo_run_ray_template_for_cpu()
    packager = SelfContainedPackager(
        script_path=SCRIPT_PATH,
        train_path=str(train_path),
        inline_packages=("proj", "nemo_runspec"),
    )
    executor = create_executor(
        env=env,
        env_vars=env_vars,
        packager=packager,
        attached=cfg.attached,
        force_squash=cfg.force_squash,
        default_image=SPEC.image,
    )
    recipe_name = SPEC.name.replace("/", "-")
    script_args = ["--config", REMOTE_CONFIG, *cfg.passthrough]
    if startup_commands:
        train_cmd = shlex.join(["python", REMOTE_SCRIPT, *script_args])
        full_cmd = prepend_startup_to_cmd(startup_commands, train_cmd)
        task = run.Script(path="bash", args=["-lc", full_cmd])
    else:
        task = run.Script(path=REMOTE_SCRIPT, args=script_args, entrypoint="python")
    if experiment is not None:
        return experiment.add(task, executor=executor, name=recipe_name)
    with run.Experiment(recipe_name) as exp:
        exp.add(task, executor=executor, name=recipe_name)
        exp.run(detach=not cfg.attached)
    return None


app = typer.Typer()


@app.callback()
def main() -> None:
    """Recipes of this repository."""


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def pretrain(ctx: typer.Context) -> None:
    """Trains a model from scratch."""
    _execute_pretrain(parse_recipe_config(ctx))


if __name__ == "__main__":
    app()
