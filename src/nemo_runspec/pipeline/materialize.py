"""`nemo-runspec materialize`: brings the artifacts of a plan up to date.

What is stale is found out here, its bundles are kept beside the jobs, and a supervisor of its own
runs it (`nemo_runspec.pipeline.supervisor_process`), here or as a job of the cluster
(`nemo_runspec.pipeline.supervisor_job`); this process shows how that goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.settings import ArtifactsSettings, environment_settings
from nemo_runspec.bundles import keep_bundle, read_bundle
from nemo_runspec.command_line import HELP, STORE, Command, Flag, parse, typed
from nemo_runspec.costs.bill import bill_of
from nemo_runspec.costs.limit import MAX_GPU_HOURS, gpu_hours_limit, over_limit
from nemo_runspec.exceptions import NemoRunspecError, UsageError
from nemo_runspec.jobs import PipelinePaths, create_job_folder, pipelines_root
from nemo_runspec.pipeline.decide import State
from nemo_runspec.pipeline.facts import git_facts
from nemo_runspec.pipeline.follow import follow
from nemo_runspec.pipeline.outputs import output_root
from nemo_runspec.pipeline.plan import PlanResult, make_plan
from nemo_runspec.pipeline.render import render
from nemo_runspec.pipeline.setting import Pipeline, open_pipeline
from nemo_runspec.pipeline.submit import profile_jobs_root
from nemo_runspec.pipeline.supervisor_job import start_supervisor_job, supervisor_executor
from nemo_runspec.pipeline.supervisor_process import Order, SupervisorError, start_supervisor
from nemo_runspec.pipeline.supervisors import LocalSupervisor, Supervisor
from nemo_runspec.store_admin.text import print_json
from runspec.plan import CONFIGS_FOLDER, PLAN_FILE

INDEX_FILE = "index.json"

_COMMAND_VARIABLE = "RUNSPEC_COMMAND"
_FRESH = (State.FRESH, State.GONE)

MATERIALIZE = Command(
    "materialize",
    "FOLDER",
    (
        "Brings the artifacts of a plan up to date: runs what is stale, in order, and nothing "
        "else.",
        "FOLDER holds plan.json and configs/, as `pants materialize` makes it; the folder of "
        "--bundles holds the recipes' bundles and index.json: by the recipe's address, the folder "
        "of its bundle and the interpreter of its jobs, null for the one that PATH finds.",
    ),
    (
        Flag(("--bundles",), "the folder with the recipes' bundles", "DIR"),
        Flag(("--profile", "--run", "-r"), "the profile of env.toml to run with", "PROFILE"),
        Flag(("--force",), "build the artifacts that were asked for even if they are fresh"),
        Flag(("--keep-going", "-k"), "go on with what does not depend on a failure"),
        Flag(("--preflight",), "try first, on one node, whether each recipe's jobs can run"),
        Flag(("--detach",), "return at once; it goes on by itself"),
        Flag(("--json",), "tell the end as one JSON document; the progress goes to standard error"),
        Flag(("--dry-run",), "start nothing: refuse as it would, or print the plan as JSON"),
        Flag(
            (MAX_GPU_HOURS,),
            "refuse to start what took more, and start nothing more once so many are spent",
            "H",
        ),
    ),
    at_least=1,
    at_most=1,
    examples=("materialize dist/plan --bundles dist/bundles --profile prod",),
)


class ChangedInBetweenError(NemoRunspecError):
    """A bundle is not of the code that the plan was made of.

    Args:
        recipe: the recipe's address.
    """

    def __init__(self, recipe: str) -> None:
        super().__init__(
            f"{recipe}: a file changed in between: its bundle is not of the code that was planned; "
            "nothing was started, give the command again"
        )


@dataclass(frozen=True)
class Materialize:
    """What is asked for.

    Args:
        folder: with `plan.json` and `configs`.
        bundles: the folder with the recipes' bundles and their index; None without any.
        profile: the profile of env.toml; None for this machine without one.
        roots: addresses to bring up to date; None for those of the plan.
        force: whether those are built even if they are fresh.
        keep_going: whether what does not depend on a failure goes on.
        preflight: whether to try first whether each recipe's jobs can run.
        detach: whether to return at once.
        dry_run: whether to print the plan as JSON instead, unless it would be refused; bundles are
            not needed.
        max_gpu_hours: what it may cost; None for no limit.
        jobs: the jobs' root; None for the repository's.
        settings: how the store is used; None for what env.toml says.
        is_quiet: say nothing when there is nothing to do.
        is_json: tell the end as one JSON document on standard output.
    """

    folder: Path
    bundles: Path | None = None
    profile: str | None = None
    roots: tuple[str, ...] | None = None
    force: bool = False
    keep_going: bool = False
    preflight: bool = False
    detach: bool = False
    dry_run: bool = False
    max_gpu_hours: float | None = None
    jobs: Path | None = None
    settings: ArtifactsSettings | None = None
    is_quiet: bool = False
    is_json: bool = False


def run_materialize(arguments: Sequence[str]) -> int:
    """The command line of `nemo-runspec materialize`; returns the exit code."""
    given = parse(MATERIALIZE, arguments)
    if given.has(HELP.names[0]):
        print(MATERIALIZE.help(), end="")
        return 0
    bundles = given.value("--bundles")
    root = given.value(STORE.names[0])
    return materialize(
        Materialize(
            folder=Path(given.arguments[0]),
            bundles=None if bundles is None else Path(bundles),
            profile=given.value("--profile"),
            force=given.has("--force"),
            keep_going=given.has("--keep-going"),
            preflight=given.has("--preflight"),
            detach=given.has("--detach"),
            dry_run=given.has("--dry-run"),
            max_gpu_hours=gpu_hours_limit(given),
            is_json=given.has("--json"),
            settings=None if root is None else replace(environment_settings(), root=root),
        )
    )


def materialize(request: Materialize) -> int:
    """Bring artifacts up to date.

    Returns:
        0 when all is fresh, or when it goes on by itself; 1 when something failed; 128 + n when
        signal n ended it.

    Raises:
        NemoRunspecError: the plan, a bundle, the store or a profile is not as it has to be; nothing
            was started then.
    """
    pipeline = _open(request)
    forced = sorted(pipeline.graph.roots) if request.force else []
    result = make_plan(pipeline.world, force=forced)
    parallel = pipeline.parallel
    supervisor_executor(pipeline.profile, pipeline.profile_name)
    if not result.is_fresh:
        _refuse_blocked(result, request)
        _refuse_costly(result, request.max_gpu_hours)
        # What would keep every build from starting is said before the first.
        output_root(pipeline.settings)
    if request.dry_run:
        print(render(result, "json"), end="")
        return 0
    if result.is_fresh:
        if request.is_json:
            print_json({"exit_code": 0, "built": 0, "fresh": len(result.nodes), "artifacts": []})
        elif not request.is_quiet:
            _say_nothing_to_do(result)
        return 0
    jobs = request.jobs or profile_jobs_root(pipeline.profile)
    bundles, pythons = _keep_bundles(result, pipeline, request, jobs)
    if request.preflight:
        from nemo_runspec.preflight.recipes import preflight_all

        # What comes before the jobs is no part of the one document.
        with contextlib.redirect_stdout(sys.stderr if request.is_json else sys.stdout):
            is_ready = preflight_all(bundles, pythons, request.profile, pipeline.settings, jobs)
        if not is_ready:
            print("error: nothing was started", file=sys.stderr)
            return 1

    paths = PipelinePaths(create_job_folder("pipeline", pipelines_root(jobs)))
    try:
        plan = _keep_plan(request.folder, paths)
        git = git_facts()
        order = Order(
            plan=str(plan),
            bundles=bundles,
            pythons=pythons,
            roots=sorted(pipeline.graph.roots),
            settings=asdict(pipeline.settings),
            profile=request.profile,
            parallel=parallel,
            forced=forced,
            keep_going=request.keep_going,
            max_gpu_hours=request.max_gpu_hours,
            jobs=str(jobs),
            cwd=os.getcwd(),
            commit=git.commit,
            dirty=git.dirty,
            states=[[node.name, node.state.value] for node in result.nodes],
        )
        supervisor = _start(order, paths, pipeline)
    except BaseException:
        shutil.rmtree(paths.folder, ignore_errors=True)
        raise
    command = _command(request)
    if request.detach and request.is_json:
        print_json({"exit_code": 0, "state": "submitted", "pipeline": str(paths.folder)})
        return 0
    if request.detach:
        print(f"runs as {supervisor.label} in {paths.folder}")
        print(f"follow it with: {typed('jobs', 'logs', '-f', str(paths.folder))}")
        print(f"stop it with: {supervisor.stop_command}; go on with: {command}")
        return 0
    return follow(supervisor, command, is_json=request.is_json)


def _start(order: Order, paths: PipelinePaths, pipeline: Pipeline) -> Supervisor:
    """The supervisor, where the profile wants it."""
    if supervisor_executor(pipeline.profile, pipeline.profile_name) is None:
        return LocalSupervisor(start_supervisor(order, paths), paths)
    return start_supervisor_job(order, paths, pipeline.profile)


def explain_stale(request: Materialize) -> str:
    """What of the artifacts that are asked for is not fresh, and why; empty when all are."""
    result = make_plan(_open(request).world)
    stale = [node for node in result.nodes if node.state not in _FRESH]
    return "; ".join(f"{node.name} is {node.state.value} ({node.why})" for node in stale)


def _open(request: Materialize) -> Pipeline:
    return open_pipeline(
        request.folder,
        profile=request.profile,
        roots=request.roots,
        settings=request.settings,
    )


def _say_nothing_to_do(result: PlanResult) -> None:
    count = len(result.nodes)
    everything = "the artifact is" if count == 1 else f"all {count} artifacts are"
    gone = [node.name for node in result.nodes if node.state is State.GONE]
    more = f" (the data of {', '.join(gone)} is gone, and nothing needs it)" if gone else ""
    print(f"nothing to do: {everything} fresh{more}")


def _refuse_blocked(result: PlanResult, request: Materialize) -> None:
    """What cannot run is said before anything starts, unless the rest is to go on."""
    blocked = [node for node in result.nodes if node.state is State.BLOCKED]
    if not blocked:
        return
    may_run = any(node.state not in (*_FRESH, State.BLOCKED) for node in result.nodes)
    if request.keep_going and may_run:
        return
    if all(node.artifact.on_failure == "skip" for node in blocked) and may_run:
        return
    first = blocked[0]
    more = f" (and {len(blocked) - 1} more)" if len(blocked) > 1 else ""
    raise UsageError(f"{first.address} cannot be built: {first.why}{more}; nothing was started")


def _refuse_costly(result: PlanResult, limit: float | None) -> None:
    why = None if limit is None else over_limit(bill_of(result), limit)
    if why is not None:
        raise UsageError(f"{why}; nothing was started")


def _keep_bundles(
    result: PlanResult, pipeline: Pipeline, request: Materialize, jobs: Path
) -> tuple[dict[str, str], dict[str, str]]:
    """Copies of the bundles that may run, and the interpreters of their jobs where the index names
    them, by recipe; the build that was planned, and no other."""
    if not result.needs_bundles:
        return {}, {}
    if request.bundles is None:
        raise UsageError(
            f"{', '.join(result.needs_bundles)} may have to run: name their bundles with --bundles"
        )
    index = read_index(request.bundles)
    kept, pythons = {}, {}
    for recipe in result.needs_bundles:
        if recipe not in index:
            raise UsageError(
                f"{request.bundles / INDEX_FILE} names no bundle of {recipe}; something changed in "
                "between, give the command again"
            )
        folder, python = index[recipe]
        bundle = read_bundle(request.bundles / folder)
        planned = pipeline.graph.plan.recipes[recipe]
        if bundle.document.recipe != recipe or bundle.document.fingerprints != planned.fingerprints:
            raise ChangedInBetweenError(recipe)
        kept[recipe] = str(keep_bundle(bundle, jobs).root)
        if python is not None:
            pythons[recipe] = python
    return kept, pythons


def read_index(folder: Path) -> dict[str, tuple[str, str | None]]:
    """The folder and the interpreter of each recipe in the index of a folder of bundles.

    Raises:
        UsageError: the index cannot be read, or does not say that.
    """
    path = folder / INDEX_FILE
    try:
        index: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: is no JSON: {error}") from error
    found = {}
    for recipe, entry in index.items() if isinstance(index, dict) else ():
        folder_name = entry.get("folder") if isinstance(entry, dict) else None
        python = entry.get("python") if isinstance(entry, dict) else None
        if not isinstance(folder_name, str) or not isinstance(python, (str, type(None))):
            raise UsageError(
                f'{path}: {recipe} is {entry!r}; write {{"folder": NAME, "python": PATH or null}}'
            )
        found[recipe] = (folder_name, python)
    return found


def _keep_plan(folder: Path, paths: PipelinePaths) -> Path:
    """A copy of the plan: the folder it came in may be a sandbox that is soon gone."""
    kept = paths.folder / "plan"
    try:
        kept.mkdir()
        shutil.copyfile(folder / PLAN_FILE, kept / PLAN_FILE)
        if (folder / CONFIGS_FOLDER).is_dir():
            shutil.copytree(folder / CONFIGS_FOLDER, kept / CONFIGS_FOLDER)
    except OSError as error:
        # shutil.Error lists what befell every file; the first, a full disk say, befell them all.
        first = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
        raise SupervisorError(
            f"{paths.folder.parent}: the plan cannot be copied there: {first}; free some space"
        ) from error
    return kept


def _command(request: Materialize) -> str:
    """What a person types to go on where it ended."""
    typed = os.environ.get(_COMMAND_VARIABLE)
    if typed:
        return typed
    argv = ["nemo-runspec", *sys.argv[1:]] if request.roots is None else []
    return shlex.join(argv) if argv else "the same command"
