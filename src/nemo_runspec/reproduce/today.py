"""What is otherwise today than when a version was made."""

from __future__ import annotations

from pathlib import Path

from nemo_runspec._names import hint
from nemo_runspec.exceptions import UsageError
from nemo_runspec.pipeline.decide import State
from nemo_runspec.pipeline.key import InputPart
from nemo_runspec.pipeline.plan import PlannedNode, PlanResult, make_plan
from nemo_runspec.pipeline.reason import Category, Reason, diff_parts
from nemo_runspec.pipeline.setting import Pipeline, open_pipeline
from nemo_runspec.reproduce.checks import matches
from nemo_runspec.reproduce.finding import Differences
from nemo_runspec.reproduce.history import History
from nemo_runspec.store import Manifest
from nemo_runspec.store_admin.opening import Place

_FAN_OUT = ("element", "elements")


def compared_with_plan(
    place: Place, manifest: Manifest, folder: Path, profile: str | None
) -> Differences:
    """What today's plan would make otherwise.

    Args:
        place: the store.
        manifest: the version; it says what it was made with.
        folder: with the plan that the build side made.
        profile: the profile that it would be made with.

    Raises:
        UsageError: the plan has no such artifact.
        NemoRunspecError: the plan cannot be read, or a config of it not be composed.
    """
    pipeline = open_pipeline(folder, profile=profile, settings=place.settings)
    result = make_plan(pipeline.world)
    node = _node(pipeline, result, manifest.name, folder)
    # An input that runs has no identity yet.
    is_open = any(
        result.node(address).state not in (State.FRESH, State.GONE)
        for address in pipeline.graph.inputs[node.address]
    )
    inputs = () if is_open else _inputs(pipeline, result, node)
    world, artifact, old = pipeline.world, node.artifact, manifest.parts or {}
    explain = world.explain(artifact, {})
    new = world.parts(artifact, inputs).document()
    is_part = any(name in old for name in _FAN_OUT)
    without = [*_FAN_OUT, *(("inputs",) if is_open or is_part else ())]
    if "elements" in old:
        # A gathered version keeps its elements; what those are made of is theirs.
        without += [part for part in new if part not in ("recipe", *without)]
    reasons = diff_parts(
        old, new, old_explain=manifest.explain, new_explain=explain, without=without
    )
    if is_open:
        reasons += [
            Reason(Category.UPSTREAM, f"input {result.node(address).name} may change")
            for address in pipeline.graph.inputs[node.address]
            if result.node(address).state not in (State.FRESH, State.GONE)
        ]
    return Differences(f"the plan in {folder}", tuple(reasons))


def compared_with_files(manifest: Manifest, root: Path, history: History | None) -> Differences:
    """Which of the files that a version is made of differ in the working tree.

    Args:
        manifest: the version; it says what it was made with.
        root: the build root.
        history: the repository that it lies in; None where there is no git.
    """
    files = (manifest.explain or {}).get("files") or {}
    reasons = []
    for path, digest in sorted(files.items()):
        try:
            body = (root / path).read_bytes()
        except OSError:
            reasons.append(Reason(Category.CODE, path, old=str(digest)[:12]))
            continue
        if not matches(path, body, digest):
            reasons.append(Reason(Category.CODE, path, str(digest)[:12], "changed"))
    head = None if history is None else history.head()
    commit = f" (commit {head[:12]})" if head else ""
    return Differences(
        f"the files of the working tree{commit}; with --plan configs, requirements and inputs too",
        tuple(reasons),
    )


def _node(pipeline: Pipeline, result: PlanResult, name: str, folder: Path) -> PlannedNode:
    for node in result.nodes:
        if name in pipeline.world.store_names(node.name):
            return node
    raise UsageError(
        f"{folder}: no artifact of the plan is called {name}; "
        f"{hint(name, [node.name for node in result.nodes])}"
    )


def _inputs(pipeline: Pipeline, result: PlanResult, node: PlannedNode) -> tuple[InputPart, ...]:
    """The inputs as they count in a key today; all of them are known."""
    found = []
    for each in node.artifact.inputs:
        if each.artifact is not None:
            above = result.node(each.artifact)
            record = pipeline.world.find(above.name, above.key or "")
            identity = None if record is None else record.record.identity
            found.append(InputPart(each.key, above.name, identity))
            continue
        resolved = pipeline.world.resolve(each.reference)
        if isinstance(resolved, str):
            found.append(InputPart(each.key, each.reference, None))
        else:
            found.append(InputPart(each.key, resolved.name, resolved.identity))
    return tuple(found)
