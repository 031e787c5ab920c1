"""One job, from bundle, config and profile to a request: what `recipe` and `materialize` share.

`compose` says what the job is, `prepare_job` puts its files in a folder and makes the executor's
request. There is no second way to start a job.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nemo_runspec.artifacts.job_context import JobContext, JobInput
from nemo_runspec.artifacts.references import artifact_field
from nemo_runspec.artifacts.settings import ArtifactsSettings, artifacts_settings
from nemo_runspec.artifacts.view import resolved_input
from nemo_runspec.bundles import BundleFolder, open_python
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.config.loader import (
    ARTIFACTS_SECTION,
    RUN_SECTION,
    build_job_config,
    extract_train_config,
    parse_config,
    save_configs,
)
from nemo_runspec.config.mounts import register_auto_mount_resolver
from nemo_runspec.config.plain import to_plain
from nemo_runspec.env import parse_env
from nemo_runspec.exceptions import ConfigError
from nemo_runspec.execution.environment import build_env_vars
from nemo_runspec.execution.interpreter import job_interpreter, own_python
from nemo_runspec.execution.job_python import JobPython, behind_own_packages
from nemo_runspec.execution.protocol import Executor, Job, JobPackage, Request
from nemo_runspec.execution.secret_file import forwarded_secrets
from nemo_runspec.execution.torchx_trackers import TorchxJob, named_trackers, torchx_variables
from nemo_runspec.jobs import JobPaths, create_job_folder, jobs_root
from nemo_runspec.utils import describe_omegaconf_error, write_atomically
from runspec import Bundle

DEFAULT_EXECUTOR = "local"
OUTPUT_DIR_KEY = "output_dir"

_LIBRARY_FILE = "nemo_runspec/config/resolvers.py"
_TRACKER_FILE = "nemo_runspec/torchx_tracker/in_job.py"
_LIBRARY = "nemo-runspec"
_ARTIFACT = re.compile(
    r"(?P<slashes>\\*)\$\{art:\s*(?P<key>[^,{}\s]+)\s*(?:,\s*(?P<field>[^{}]*?)\s*)?\}"
)


@dataclass(frozen=True)
class ComposedJob:
    """What a config, a profile and overrides made of a bundle.

    Args:
        name: the recipe's name, as shown to people.
        bundle: the bundle, wherever it is now.
        job_config: from `nemo_runspec.config.loader.build_job_config`.
        profile: its `run.env` as plain data.
        passthrough: arguments for the script.
        config: the config, as it was named; None for the recipe's default.
        dotlist: the overrides.
    """

    name: str
    bundle: BundleFolder
    job_config: DictConfig
    profile: Mapping[str, Any]
    passthrough: tuple[str, ...]
    config: str | None = None
    dotlist: tuple[str, ...] = ()

    @property
    def executor(self) -> str:
        return str(self.profile.get("executor") or DEFAULT_EXECUTOR)

    @property
    def is_local(self) -> bool:
        return self.executor == DEFAULT_EXECUTOR

    def jobs_root(self) -> Path:
        """Where its jobs have their folders: one that the cluster sees, where it runs on one."""
        return profile_jobs_root(self.profile)

    def with_run(self, **values: Any) -> ComposedJob:
        """The job with further values in its config's `run` section; those it has stay."""
        job_config = OmegaConf.create(to_plain(self.job_config))
        for key, value in values.items():
            if job_config[RUN_SECTION].get(key) is None:
                job_config[RUN_SECTION][key] = value
        return replace(self, job_config=job_config)

    def settings(self) -> ArtifactsSettings:
        """Where its artifacts are recorded.

        Raises:
            EnvError: the config's `artifacts` section cannot be read.
            ConfigError: an interpolation in it cannot be resolved.
        """
        section = self.job_config.get(ARTIFACTS_SECTION)
        if section is None:
            return artifacts_settings(None)
        try:
            plain: Any = OmegaConf.to_container(section, resolve=True)
        except OmegaConfBaseException as error:
            raise ConfigError(f"{ARTIFACTS_SECTION}: {describe_omegaconf_error(error)}") from error
        return artifacts_settings(plain)

    def job(self, paths: JobPaths, bundle: BundleFolder, python: JobPython, build: Build) -> Job:
        """The job in a folder, with its code from `bundle`."""
        profile = self.profile
        if self.is_local:
            # A cluster's folder that the profile inherited; a job here has a folder of its own.
            profile = {k: v for k, v in profile.items() if k != "remote_job_dir"}
        declared = build_env_vars(self.job_config, profile)
        workdir = self.profile.get("workdir") or _resolve(
            self.job_config, "run.workdir", bundle.spec.run.workdir
        )
        image = None if self.is_local else self._image(bundle)
        # A container has this machine's folders only where somebody mounts them.
        start = Path.cwd() if image is None else paths.folder
        document = bundle.document
        return Job(
            name=self.name,
            folder=paths.folder,
            spec=bundle.spec,
            code=bundle.code,
            script=bundle.script,
            source_roots=bundle.source_roots,
            config=paths.train_config,
            passthrough=self.passthrough,
            profile=self.profile,
            # A job of this machine has the launcher's environment anyhow.
            env={
                **({} if self.is_local else forwarded_secrets()),
                **self._torchx_variables(paths, document, build.context),
                **bundle.spec.env,
                **declared,
            },
            workdir=start / str(workdir or ""),
            python=python,
            package=JobPackage(
                pex=bundle.job_pex,
                inherit_path=document.inherit_path,
                interpreter_constraints=document.interpreter_constraints,
                requirements=document.requirements,
                digest=document.digest,
            ),
            image=image,
            output=build.output,
            attempt=build.attempt,
            context=None if build.context is None else paths.context,
            key=None if build.context is None else build.context.key,
            store=self._store(),
            is_element=build.is_element,
        )

    def _torchx_variables(
        self, paths: JobPaths, bundle: Bundle, context: JobContext | None
    ) -> dict[str, str]:
        run = {} if context is None else context.run
        job = TorchxJob(
            paths.folder.name,
            run.get("id"),
            pipeline=run.get("pipeline"),
            store=None if context is None else context.root,
            holds_tracker=_holds(bundle, _TRACKER_FILE),
        )
        return torchx_variables(job, named_trackers(self.profile, os.environ), os.environ)

    def _store(self) -> Path | None:
        root = self.settings().root
        return Path(root).absolute() if root and "://" not in root else None

    def _image(self, bundle: BundleFolder) -> str | None:
        named = self.profile.get("container_image") or self.profile.get("container")
        return str(named) if named else _resolve(self.job_config, "image", bundle.spec.image)


@dataclass(frozen=True)
class Build:
    """What one start of a job is told.

    Args:
        output: the folder it writes to.
        attempt: how many times it was started with this folder, this time included.
        context: what it is told about artifacts; None where versions are not recorded.
        is_element: whether it is one of many that start at about the same time.
    """

    output: Path
    attempt: int = 1
    context: JobContext | None = None
    is_element: bool = False


def compose(
    bundle: BundleFolder,
    ctx: GlobalContext,
    argv: Sequence[str],
    *,
    is_attached: bool | None = None,
) -> ComposedJob:
    """What the command line makes of a bundle.

    Args:
        bundle: the bundle.
        ctx: the command line, read.
        argv: the command line as it was typed, for the job's record.
        is_attached: whether somebody follows the job; default: as `ctx` says.

    Raises:
        ConfigError: see `nemo_runspec.config.loader`.
        EnvError: see `nemo_runspec.env.parse_env`.
    """
    name = bundle.spec.name or bundle.script.stem
    train = parse_config(ctx, bundle.config_dir, bundle.spec.config.default)
    script = bundle.script.relative_to(bundle.code)
    job_config = build_job_config(train, ctx, name, script, argv, env_profile=parse_env(ctx))
    is_attached = not ctx.batch if is_attached is None else is_attached
    profile = with_partition(_resolved_profile(job_config), is_attached=is_attached)
    return ComposedJob(
        name,
        bundle,
        job_config,
        profile,
        passthrough=tuple(ctx.passthrough),
        config=ctx.config,
        dotlist=tuple(ctx.dotlist),
    )


def prepare_job(
    composed: ComposedJob,
    paths: JobPaths,
    kept: BundleFolder,
    python: JobPython,
    build: Build,
    executor: Executor,
) -> Request:
    """Puts the job's configs and its context in its folder; returns the executor's request.

    Args:
        composed: from `compose`.
        paths: the job's folder, which exists.
        kept: the copy of the bundle that the job runs.
        python: from `find_python`.
        build: what this start is told.
        executor: makes the request.

    Raises:
        ConfigError: the config cannot be what the script sees.
        ExecutionError: the profile holds what cannot be run.
    """
    composed = composed.with_run(output_dir=str(build.output))
    train = extract_train_config(composed.job_config)
    if build.context is not None:
        train = pinned_config(train, build.context.inputs, is_plain=not has_library(kept.document))
        write_atomically(paths.context, build.context.to_json(), durable=False)
    save_configs(composed.job_config, train, paths.folder)
    return executor.prepare(composed.job(paths, kept, python, build))


def has_library(bundle: Bundle) -> bool:
    """Whether the job can resolve `${art:…}` itself: its bundle holds the library's resolvers."""
    return _holds(bundle, _LIBRARY_FILE)


def _holds(bundle: Bundle, file: str) -> bool:
    """Whether the job's code has a file of the library: as a source, or installed."""
    return (
        any(path == file or path.endswith(f"/{file}") for path in bundle.files)
        or _LIBRARY in bundle.requirements
        or any(_distribution(text) == _LIBRARY for text in bundle.spec.dependencies)
    )


def pinned_config(
    train: DictConfig, inputs: Mapping[str, JobInput], *, is_plain: bool
) -> DictConfig:
    """A train config whose artifacts are the versions that the job was planned with.

    Args:
        train: from `nemo_runspec.config.loader.extract_train_config`.
        inputs: the pinned versions, by key of the `run` section.
        is_plain: whether the script knows nothing of artifacts: every `${art:…}` is replaced by
            its value then. Otherwise the `run` section names the versions.

    Raises:
        ConfigError: an artifact lacks the field that the config asks for, or the config asks for
            one that is not among the inputs.
    """
    plain = to_plain(train)
    run = plain.get(RUN_SECTION)
    if isinstance(run, dict):
        pins = {key: item.reference for key, item in inputs.items() if key in run}
        plain[RUN_SECTION] = {**run, **pins}
    return OmegaConf.create(_with_values(plain, inputs) if is_plain else plain)


def find_python(bundle: Bundle, chosen: Path | None = None) -> tuple[Path, bool]:
    """The job's interpreter, and whether it is the `python` that its PATH finds anyhow.

    Args:
        bundle: the job's bundle.
        chosen: the one that the bundle was made for; None for the one that `RUNSPEC_PYTHON` names,
            else the first that fits.

    Raises:
        ExecutionError: there is none, or the one to take does not fit.
    """
    constraints = bundle.interpreter_constraints
    environ = dict(os.environ)
    if chosen is not None:
        environ["RUNSPEC_PYTHON"] = str(chosen)
    # With an image its packages count, so its own Python comes first.
    if bundle.inherit_path and "RUNSPEC_PYTHON" not in environ:
        own = own_python(constraints, environ)
        if own is not None:
            return own, True
    return job_interpreter(constraints, environ), False


def job_python(kept: BundleFolder, found: tuple[Path, bool]) -> JobPython:
    """What `python` is in a job of a kept bundle.

    Args:
        kept: from `nemo_runspec.bundles.keep_bundle`.
        found: from `find_python`.

    Raises:
        ExecutionError: the bundle's packages cannot be opened.
    """
    interpreter, is_own = found
    python = JobPython(interpreter)
    if kept.job_pex is not None:
        python = open_python(kept, interpreter, os.environ)
        if kept.document.inherit_path:
            python = behind_own_packages(python, interpreter, os.environ)
    return replace(python, interpreter=None) if is_own else python


def with_partition(profile: Mapping[str, Any], *, is_attached: bool) -> dict[str, Any]:
    """The profile with the partition of jobs that are followed, or of those that are not."""
    named = profile.get("run_partition" if is_attached else "batch_partition")
    return {**profile, **({"partition": named} if named else {})}


def profile_jobs_root(profile: Mapping[str, Any]) -> Path:
    """Where jobs of a profile have their folders.

    It is `remote_job_dir` of a profile that is for a cluster, which all of the cluster sees; else
    `.runspec/jobs` of the repository.
    """
    remote = profile.get("remote_job_dir")
    is_local = str(profile.get("executor") or DEFAULT_EXECUTOR) == DEFAULT_EXECUTOR
    return jobs_root() if is_local or not remote else Path(str(remote)).expanduser()


@contextmanager
def new_job_folder(name: str, root: Path) -> Iterator[JobPaths]:
    """A new job folder, gone again unless the job was started in it."""
    folder = create_job_folder(name, root)
    try:
        yield JobPaths(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _distribution(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def _with_values(node: Any, inputs: Mapping[str, JobInput]) -> Any:
    if isinstance(node, dict):
        return {key: _with_values(value, inputs) for key, value in node.items()}
    if isinstance(node, list):
        return [_with_values(value, inputs) for value in node]
    if not isinstance(node, str) or "${art:" not in node:
        return node
    whole = _ARTIFACT.fullmatch(node)
    if whole is not None and not whole["slashes"]:
        return _value(whole, inputs)
    return _ARTIFACT.sub(lambda found: _text(found, inputs), node)


def _text(found: re.Match[str], inputs: Mapping[str, JobInput]) -> str:
    if len(found["slashes"]) % 2:
        return found[0]
    return found["slashes"] + str(_value(found, inputs))


def _value(found: re.Match[str], inputs: Mapping[str, JobInput]) -> Any:
    key = found["key"].strip("\"'")
    item = inputs.get(key)
    if item is None:
        raise ConfigError(
            f"{found[0]}: the run section names no artifact {key!r}; it names "
            f"{', '.join(inputs) or 'none'}"
        )
    return artifact_field(resolved_input(item), found["field"] or "path")


def _resolved_profile(job_config: DictConfig) -> dict[str, Any]:
    """`run.env` of a job config as plain data; without mounts where it is local: none is made."""
    env = job_config.run.env
    resolved: dict[str, Any] = {}
    is_local = str(env.get("executor") or DEFAULT_EXECUTOR) == DEFAULT_EXECUTOR
    if not is_local:
        register_auto_mount_resolver()
    for key in env:
        if key == "mounts" and is_local:
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
