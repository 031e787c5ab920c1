"""``accept --prove``: the bundle that made a version and today's write the same."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nemo_runspec.artifacts.content import content_digest
from nemo_runspec.artifacts.job_context import JobContext, read_records
from nemo_runspec.bundles import BundleFolder, keep_bundle, read_bundle
from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.exceptions import ArtifactError, UsageError
from nemo_runspec.execution.attach import attach
from nemo_runspec.execution.protocol import State
from nemo_runspec.execution.registry import get_executor
from nemo_runspec.jobs import bundle_copy, jobs_root
from nemo_runspec.pipeline.by_hand import ByHand, open_by_hand
from nemo_runspec.pipeline.submit import (
    Build,
    ComposedJob,
    compose,
    find_python,
    job_python,
    new_job_folder,
    prepare_job,
)
from nemo_runspec.store import Manifest


class NotProvedError(ArtifactError):
    """The two bundles could not be shown to do the same."""


@dataclass(frozen=True)
class _Side:
    """One of the two runs.

    Args:
        label: how people tell it from the other one.
        composed: the job.
        by_hand: its inputs, pinned.
    """

    label: str
    composed: ComposedJob
    by_hand: ByHand


def prove(manifest: Manifest, bundle: Path, config: str, profile: str | None) -> None:
    """Run the bundle that made a version and another one, and compare what they write.

    Nothing is recorded in the store.

    Args:
        manifest: the version.
        bundle: today's bundle.
        config: a config that both have, by name; best a small one.
        profile: a profile of env.toml for this machine.

    Raises:
        NotProvedError: the old bundle is not there any more, a run failed, or the content differs.
        NemoRunspecError: a bundle or config is not as it has to be.
    """
    context = GlobalContext(config=config, run=profile)
    sides = [
        _side("the bundle that made it", _old_bundle(manifest), context),
        _side("today's bundle", read_bundle(bundle), context),
    ]
    if sides[0].by_hand.inputs != sides[1].by_hand.inputs:
        raise NotProvedError(
            f"config {config} reads other inputs in today's bundle; prove it with one that reads "
            "the same"
        )
    before, after = (_run(side) for side in sides)
    differing = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    if differing:
        raise NotProvedError(
            f"{manifest.reference} is not accepted: with config {config} the bundle that made it "
            f"and today's differ in {', '.join(differing)}"
        )
    print(f"proved with config {config}: {', '.join(sorted(after))}: the same content")


def _old_bundle(manifest: Manifest) -> BundleFolder:
    digest = str(manifest.run.get("bundle") or "")
    if not digest:
        raise NotProvedError(
            f"{manifest.reference} does not say which bundle made it, so nothing can be compared"
        )
    folder = bundle_copy(jobs_root(), digest)
    if not folder.is_dir():
        commit = manifest.run.get("commit")
        made = f", at commit {commit}" if commit else ""
        raise NotProvedError(
            f"the bundle that made {manifest.reference} is not in {folder}; put the one that was "
            f"packaged for it there{made}"
        )
    return read_bundle(folder)


def _side(label: str, bundle: BundleFolder, context: GlobalContext) -> _Side:
    composed = compose(bundle, context, ["--config", str(context.config)])
    if not composed.is_local:
        raise UsageError(
            f"--prove runs on this machine, and profile {context.profile} on {composed.executor}; "
            "name another one"
        )
    return _Side(label, composed, open_by_hand(composed))


def _run(side: _Side) -> Mapping[str, str | None]:
    """Runs a bundle; gives back the digest of each thing that it made, by name."""
    composed = side.composed
    executor = get_executor(composed.executor)
    root = jobs_root()
    found = find_python(composed.bundle.document)
    with tempfile.TemporaryDirectory(prefix="nemo-runspec-prove-") as store:
        with new_job_folder(f"prove-{composed.name}", root) as paths:
            kept = keep_bundle(composed.bundle, root)
            told = side.by_hand.context(paths, paths.output) or JobContext(
                output_dir=str(paths.output)
            )
            # Its own store, so that what a trial makes is nobody's latest.
            told = replace(
                told,
                root=store,
                shared=None,
                storage_options={},
                key=None,
                parts=None,
                explain=None,
                content="hash",
                records=str(paths.records),
            )
            build = Build(paths.output, context=told)
            python = job_python(kept, found)
            request = prepare_job(composed, paths, kept, python, build, executor)
            handle = executor.submit(request, attached=True)
        print(f"running {side.label}; log: {paths.log}", flush=True)
        with open("/dev/null", "wb") as nowhere:
            attached = attach(executor, handle, nowhere)
        if attached.signum is not None:
            raise KeyboardInterrupt
        if attached.status.state is not State.SUCCEEDED:
            raise NotProvedError(
                f"{side.label} failed with exit code {attached.exit_code}; log: {paths.log}"
            )
        logged = {
            record.name: record.content
            for record in read_records(paths.records)
            if not record.checkpoint
        }
    if logged:
        return logged
    if not paths.output.is_dir() or not any(paths.output.iterdir()):
        raise NotProvedError(f"{side.label} made nothing to compare; log: {paths.log}")
    return {"its output": content_digest(paths.output, {}, "hash", base=paths.output)}
