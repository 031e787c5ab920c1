"""`nemo-runspec recipe`: one bundle and one command line, from config to exit code.

`run_recipe` is the whole way, in order; what it calls are the library's own functions, so that
a command of one's own (for another executor, say) starts as a copy of it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nemo_runspec.bundles import BundleFolder, keep_bundle, read_bundle
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.config.loader import (
    build_job_config,
    extract_train_config,
    parse_config,
    save_configs,
)
from nemo_runspec.display import display_job_completion, display_job_config
from nemo_runspec.env import parse_env
from nemo_runspec.exceptions import ConfigError, NemoRunspecError
from nemo_runspec.execution.attach import Attached, attach, held_signals
from nemo_runspec.execution.environment import build_env_vars
from nemo_runspec.execution.interpreter import job_interpreter, own_python
from nemo_runspec.execution.job_python import JobPython, open_job_pex
from nemo_runspec.execution.protocol import Executor, Handle, Job, State
from nemo_runspec.execution.registry import get_executor, has_executor
from nemo_runspec.jobs import (
    JobPaths,
    bundle_copy,
    create_job_folder,
    jobs_root,
    plan_job_folder,
)
from nemo_runspec.utils import describe_omegaconf_error

_DEFAULT_EXECUTOR = "local"


def run_recipe(folder: Path, ctx: GlobalContext, argv: Sequence[str]) -> int:
    """Runs the recipe of a bundle, or shows what would run.

    Args:
        folder: the job bundle.
        ctx: the command line, read.
        argv: the command line as it was typed, for the job's record.

    Returns:
        The job's exit code, 128 + n when signal n made us end it; 0 for a dry run, a detached
        or a staged job.

    Raises:
        NemoRunspecError: if something is wrong with the input; nothing is left behind then.
            Files of the bundle's code are called what they are called in the repository.
    """
    bundle = read_bundle(folder)
    try:
        return _run(bundle, ctx, argv)
    except NemoRunspecError as error:
        error.args = tuple(
            bundle.in_repository(part) if isinstance(part, str) else part for part in error.args
        )
        raise


def _run(bundle: BundleFolder, ctx: GlobalContext, argv: Sequence[str]) -> int:
    name = bundle.spec.name or bundle.script.stem

    train = parse_config(ctx, bundle.config_dir, bundle.spec.config.default)
    script = bundle.script.relative_to(bundle.code)
    job_config = build_job_config(train, ctx, name, script, argv, env_profile=parse_env(ctx))
    train_config = extract_train_config(job_config)
    recipe = _Recipe(name, bundle, job_config, _resolved_profile(job_config), ctx)
    if ctx.dry_run:
        return _show(recipe)

    executor = get_executor(recipe.executor)
    if ctx.force_squash and executor.name == _DEFAULT_EXECUTOR:
        print("note: --force-squash: a local job runs without an image", file=sys.stderr)
    interpreter, is_own = _find_python(bundle)
    root = jobs_root()
    with ExitStack() as until_started, _new_folder(name, root) as paths:
        kept = keep_bundle(bundle, root)
        save_configs(job_config, train_config, paths.folder)
        python = _job_python(kept, interpreter, is_own)
        request = executor.prepare(recipe.job(paths.folder, kept, python))
        if ctx.stage:
            executor.stage(request)
            print(f"{name}: staged in {paths.folder}; run it with: sh {paths.command}")
            return 0
        # Between its start and its handle nobody could find the job to end it.
        signals = until_started.enter_context(held_signals())
        handle = executor.submit(request, attached=not ctx.batch)
    if signals:
        executor.cancel(handle)
        return _report_end(recipe, Attached(executor.wait(handle), signals[0]), paths)
    if ctx.batch:
        print(f"{name}: runs as process {handle.id} in {paths.folder}")
        print(f"follow it with: tail -f {paths.log}")
        return 0
    return _follow(recipe, executor, handle, paths)


@dataclass(frozen=True)
class _Recipe:
    """What the command line made of a bundle."""

    name: str
    bundle: BundleFolder
    job_config: DictConfig
    profile: Mapping[str, Any]
    ctx: GlobalContext

    @property
    def executor(self) -> str:
        return str(self.profile.get("executor") or _DEFAULT_EXECUTOR)

    def job(self, folder: Path, bundle: BundleFolder, python: JobPython) -> Job:
        """The job in `folder`, with its code from `bundle`."""
        profile = self.profile
        if self.executor == _DEFAULT_EXECUTOR:
            # A cluster's folder that the profile inherited; a job here has a folder of its own.
            profile = {k: v for k, v in profile.items() if k != "remote_job_dir"}
        declared = build_env_vars(self.job_config, profile)
        workdir = self.profile.get("workdir") or _resolve(
            self.job_config, "run.workdir", bundle.spec.run.workdir
        )
        return Job(
            name=self.name,
            folder=folder,
            spec=bundle.spec,
            code=bundle.code,
            script=bundle.script,
            source_roots=bundle.source_roots,
            config=JobPaths(folder).train_config,
            passthrough=tuple(self.ctx.passthrough),
            profile=self.profile,
            env={**bundle.spec.env, **declared},
            workdir=Path.cwd() / str(workdir or ""),
            python=python,
        )


def _show(recipe: _Recipe) -> int:
    """The dry run: the compiled config and the command, nothing written."""
    root = jobs_root()
    kept = bundle_copy(root, recipe.bundle.document.digest)
    bundle = BundleFolder(kept, recipe.bundle.document)
    # Which Python it will be is found out when it runs; that there is one shows in PATH.
    python = JobPython(Path("python"))
    can_run = has_executor(recipe.executor)
    executor = get_executor(recipe.executor if can_run else _DEFAULT_EXECUTOR)
    request = executor.prepare(recipe.job(plan_job_folder(recipe.name, root), bundle, python))
    display_job_config(recipe.job_config)
    note = "" if can_run else f", as it would run here: {recipe.executor} is no executor yet"
    print(f"Command ({executor.name}{note}):\n")
    print(request.shell_text())
    return 0


def _follow(recipe: _Recipe, executor: Executor, handle: Handle, paths: JobPaths) -> int:
    """Attached: the job's output here, its exit code ours."""
    sys.stdout.flush()
    return _report_end(recipe, attach(executor, handle, sys.stdout.buffer), paths)


def _report_end(recipe: _Recipe, attached: Attached, paths: JobPaths) -> int:
    code = attached.exit_code
    if attached.status.state is State.SUCCEEDED:
        seconds = attached.status.seconds or 0.0
        details = {"Time": f"{seconds:.1f} s", "Job": paths.folder, "Log": paths.log}
        display_job_completion(recipe.name, details)
        return code
    how = {State.LOST: "lost, nobody saw how it ended", State.CANCELLED: "cancelled"}
    ended = how.get(attached.status.state, f"exit code {code}")
    print(f"error: {recipe.name}: {ended}; log: {paths.log}", file=sys.stderr)
    return code


def _find_python(bundle: BundleFolder) -> tuple[Path, bool]:
    """The job's interpreter, and whether it is the `python` that its PATH finds anyhow."""
    constraints = bundle.document.interpreter_constraints
    # With an image its packages count, so its own Python comes first.
    if bundle.document.inherit_path and "RUNSPEC_PYTHON" not in os.environ:
        own = own_python(constraints, os.environ)
        if own is not None:
            return own, True
    return job_interpreter(constraints, os.environ), False


def _job_python(kept: BundleFolder, interpreter: Path, is_own: bool) -> JobPython:
    python = JobPython(interpreter)
    if kept.job_pex is not None:
        python = open_job_pex(interpreter, kept.job_pex, os.environ)
    return replace(python, interpreter=None) if is_own else python


def _resolved_profile(job_config: DictConfig) -> dict[str, Any]:
    """`run.env` of a job config as plain data; mounts stay as written, no local job has any."""
    env = job_config.run.env
    resolved: dict[str, Any] = {}
    for key in env:
        if key == "mounts":
            continue
        try:
            value = env[key]
            plain = OmegaConf.is_config(value)
            resolved[str(key)] = OmegaConf.to_container(value, resolve=True) if plain else value
        except OmegaConfBaseException as error:
            raise ConfigError(f"run.env.{key}: {describe_omegaconf_error(error)}") from error
    return resolved


def _resolve(job_config: DictConfig, key: str, value: str | None) -> str | None:
    """A text of the recipe's metadata with its interpolations resolved against the job config."""
    if value is None or "${" not in value:
        return value
    holder = OmegaConf.create({"value": value})
    holder._set_parent(job_config)
    try:
        return str(holder.value)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}: {describe_omegaconf_error(error)}") from error


@contextmanager
def _new_folder(name: str, root: Path) -> Iterator[JobPaths]:
    """A new job folder, gone again unless the job was started in it."""
    folder = create_job_folder(name, root)
    try:
        yield JobPaths(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
