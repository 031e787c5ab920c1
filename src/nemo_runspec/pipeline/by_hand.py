"""What a recipe run by hand has in common with a planned build.

Its inputs are pinned to versions before it starts, and what it logs carries the key that a plan
would give it: a later `materialize` with that key finds it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.job_context import (
    JobContext,
    JobInput,
    JobRecord,
    read_job_context,
    read_records,
)
from nemo_runspec.artifacts.notes import attach_notes
from nemo_runspec.artifacts.settings import ArtifactsSettings
from nemo_runspec.artifacts.view import StoreView, open_view
from nemo_runspec.bundles import BundleFolder
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.config.compose import find_config_file
from nemo_runspec.config.loader import RUN_SECTION, extract_train_config
from nemo_runspec.config.plain import to_plain
from nemo_runspec.exceptions import ArtifactNotFoundError, NemoRunspecError, UsageError
from nemo_runspec.execution.environment import INPUTS_BUNDLES_VARIABLE, INPUTS_PLAN_VARIABLE
from nemo_runspec.execution.patience import patience_seconds
from nemo_runspec.execution.protocol import Handle, State
from nemo_runspec.execution.registry import get_executor
from nemo_runspec.jobs import JobPaths
from nemo_runspec.masking import mask_secrets
from nemo_runspec.openlineage.by_hand import told_to_openlineage
from nemo_runspec.pipeline.facts import git_facts, job_input, run_facts, store_of, time_text
from nemo_runspec.pipeline.graph import Graph
from nemo_runspec.pipeline.key import InputPart, KeyParts, key_of
from nemo_runspec.pipeline.patience import (
    GivenUp,
    Patience,
    is_unreachable,
)
from nemo_runspec.pipeline.record import mark_overwritten, record_keys
from nemo_runspec.pipeline.submit import ComposedJob
from nemo_runspec.pipeline.world import World
from nemo_runspec.store.names import parse_artifact_reference
from nemo_runspec.utils import find_repository_root
from runspec import Bundle
from runspec.plan import Plan, PlanArtifact, PlanInput, PlanNode, PlanRecipe, read_plan
from runspec.references import find_artifact_references

_RECORDER = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.readline()); "
    "from nemo_runspec.pipeline.by_hand import record_when_ended; "
    "record_when_ended(sys.argv[1], sys.argv[2])"
)
# Each of these has its own patience with a cluster that does not answer.
_LOOK_SECONDS = 60.0


@dataclass(frozen=True)
class ByHand:
    """The artifacts of a recipe that is run by hand.

    Args:
        composed: the job.
        view: the store; None where versions are not recorded.
        inputs: the pinned versions, by key of the `run` section.
        parts: what its key is made of.
        explain: what the parts stand for.
    """

    composed: ComposedJob
    view: StoreView | None
    inputs: dict[str, JobInput]
    parts: KeyParts | None = None
    explain: dict[str, Any] | None = None

    def context(self, paths: JobPaths, output: Path) -> JobContext | None:
        """What the job in this folder is told about artifacts; None where there are none.

        Args:
            paths: the job's folder.
            output: the folder that it writes to.
        """
        if self.view is None or self.parts is None:
            return None
        facts = run_facts(self.composed, paths, git_facts(), address=None, started_at=time_text())
        return JobContext(
            **store_of(self.view, self.composed.settings()),
            key=key_of(self.parts),
            parts=self.parts.document(),
            explain=self.explain,
            inputs=self.inputs,
            input_list=tuple(self.inputs.values()),
            output_dir=str(output),
            run={**facts, "id": uuid.uuid4().hex},
            records=str(paths.records),
        )

    def record(self, paths: JobPaths, output: Path) -> None:
        """Let the key stand for what the job logged; it ended well.

        Args:
            paths: the job's folder.
            output: the folder that it wrote to.

        Raises:
            StoreError: the store cannot be written.
        """
        if self.view is not None and self.parts is not None:
            _record(self.view, key_of(self.parts), paths, output)

    def record_later(self, handle: Handle, paths: JobPaths) -> None:
        """The same, once a job that goes on without us has ended."""
        if self.view is None or self.parts is None:
            return
        with open(paths.log, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", _RECORDER, handle.to_json(), str(paths.context)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        assert process.stdin is not None
        with process.stdin as orders:
            orders.write(json.dumps(sys.path).encode() + b"\n")


def open_by_hand(composed: ComposedJob) -> ByHand:
    """Pin the inputs of a job that is run by hand, and make its key.

    Raises:
        ArtifactError: an artifact that the config names cannot be found, or is revoked.
        StoreError: the store cannot be read.
        ConfigError: the config cannot count in a key.
    """
    settings = composed.settings()
    view = open_view(settings)
    if view is None:
        return ByHand(composed, None, {})
    inputs: dict[str, JobInput] = {}
    parts: list[InputPart] = []
    for key, text in _references(composed).items():
        reference = parse_artifact_reference(text)
        try:
            manifest = view.manifest(reference)
        except ArtifactNotFoundError:
            if settings.wandb:
                # It may be known there; the job looks it up itself, and has no key.
                return ByHand(composed, None, {})
            raise
        inputs[key] = job_input(view, manifest)
        parts.append(InputPart(key, reference.name, manifest.identity))
    world, artifact = _world(composed, view, settings)
    own = world.parts(artifact, tuple(parts))
    # A manifest is for all to read.
    shown = mask_secrets(list(composed.passthrough))
    own = replace(own, command={**own.command, "passthrough": shown})
    versions = {(part.key, part.name): f"v{inputs[part.key or ''].version}" for part in parts}
    return ByHand(composed, view, inputs, own, world.explain(artifact, versions))


def bring_up_inputs(composed: ComposedJob, ctx: GlobalContext, jobs: Path) -> int:
    """Bring the artifacts that a config names up to date, where `pants run` has planned them.

    On this machine, and elsewhere with `--build-inputs`, what is stale is made. Elsewhere without
    it, stale artifacts are refused.

    Args:
        composed: the job that needs them.
        ctx: the command line.
        jobs: the jobs' root.

    Returns:
        0, or the exit code of what failed.

    Raises:
        UsageError: the job is to run on a cluster, and what it needs is stale.
        NemoRunspecError: the plan or the store is not as it has to be.
    """
    folder = os.environ.get(INPUTS_PLAN_VARIABLE)
    if not folder or ctx.stage:
        return 0
    plan = read_plan(Path(folder))
    references = [parse_artifact_reference(text) for text in _references(composed).values()]
    names = {each.name for each in references if each.version == "latest"}
    roots = [one.address for one in plan.artifacts if one.name in names]
    if not roots:
        return 0
    from nemo_runspec.pipeline.materialize import Materialize, explain_stale, materialize

    bundles = os.environ.get(INPUTS_BUNDLES_VARIABLE) or os.path.join(folder, "bundles")
    request = Materialize(
        folder=Path(folder),
        bundles=Path(bundles),
        profile=ctx.profile,
        roots=tuple(roots),
        jobs=jobs,
        settings=composed.settings(),
        is_quiet=True,
    )
    if composed.is_local or ctx.build_inputs:
        return materialize(request)
    stale = explain_stale(request)
    if stale:
        raise UsageError(
            f"{composed.name} is to run on {composed.executor}, and what it reads is not up to "
            f"date: {stale}; bring it up to date with `pants materialize`, or give --build-inputs"
        )
    return 0


def record_when_ended(handle: str, context: str) -> None:
    """Wait for a job's end, and record its key if it ended well: the process of `record_later`."""
    job = Handle.from_json(handle)
    executor = get_executor(job.executor)
    patience = Patience(patience_seconds(), stopping=lambda: False)
    look = partial(executor.wait, job, _LOOK_SECONDS)
    try:
        while not (status := patience.until_answered(look, is_unreachable, _say)).state.is_final:
            pass
    except GivenUp as given_up:
        _say(f"{given_up}; what the job logged is recorded, but no later build will find it")
        return
    told = read_job_context(context)
    view = open_view(ArtifactsSettings(root=told.root), told)
    paths = JobPaths(Path(job.folder))
    with told_to_openlineage(view) as lineage:
        lineage.ended(paths, status)
    if status.state is not State.SUCCEEDED or view is None or told.key is None:
        return
    try:
        _record(view, told.key, paths, Path(told.output_dir or paths.output))
    except NemoRunspecError as error:
        print(f"error: {error}", file=sys.stderr)


def _say(what: str) -> None:
    print(f"note: {what}", file=sys.stderr, flush=True)


def _record(view: StoreView, key: str, paths: JobPaths, output: Path) -> None:
    records = [each for each in read_records(paths.records) if not each.checkpoint]
    record_keys(view.store, key, records)
    if records:
        attach_notes(view.store, records[-1].name, records[-1].version, paths.folder)
    with contextlib.suppress(NemoRunspecError):
        # That the record of the run is not written takes nothing from its versions.
        facts = read_job_context(paths.context).run
        made = {
            "ended_at": time_text(),
            "versions": [f"{each.name}:v{each.version}" for each in records],
        }
        view.store.write_run(str(facts["id"]), {**facts, **made})
    own = os.path.realpath(output)
    elsewhere: list[JobRecord] = [
        each for each in records if not os.path.realpath(each.path).startswith(own)
    ]
    for note in mark_overwritten(view.store, elsewhere):
        _say(note)


def _references(composed: ComposedJob) -> dict[str, str]:
    """The artifacts that the job's config names, by key of its `run` section, resolved."""
    train = extract_train_config(composed.job_config)
    keys = find_artifact_references(to_plain(train), RUN_SECTION)
    return {key: str(train[RUN_SECTION][key]) for key in keys}


def _world(
    composed: ComposedJob, view: StoreView, settings: ArtifactsSettings
) -> tuple[World, PlanArtifact]:
    """The job as the only artifact of a plan, as the build side would have planned it."""
    bundle = composed.bundle
    named = composed.config
    config = find_config_file(
        named or bundle.spec.config.default, bundle.config_dir, in_working_dir=bool(named)
    )
    artifact = PlanArtifact(
        address=bundle.document.recipe,
        name="by-hand",
        recipe=bundle.document.recipe,
        chain=(str(config.absolute()),),
        overrides=tuple(composed.dotlist),
        inputs=tuple(PlanInput(text, key) for key, text in _references(composed).items()),
    )
    plan = _plan(bundle, artifact)
    root = find_repository_root() or Path.cwd()
    profile = composed.profile
    return World(
        Graph(plan), view.store, settings, folder=bundle.root, root=root, profile=profile
    ), artifact


def _plan(bundle: BundleFolder, artifact: PlanArtifact) -> Plan:
    document: Bundle = bundle.document
    files = tuple(document.files.items())
    return Plan(
        files=files,
        nodes=(PlanNode(tuple(range(len(files))), ()),),
        recipes={
            document.recipe: PlanRecipe(
                spec=document.spec,
                script=document.script.removeprefix("code/"),
                node=0,
                fingerprints=document.fingerprints,
                requirements=document.requirements,
                interpreter_constraints=document.interpreter_constraints,
                inherit_path=document.inherit_path,
            )
        },
        artifacts=(artifact,),
        roots=(artifact.address,),
    )
