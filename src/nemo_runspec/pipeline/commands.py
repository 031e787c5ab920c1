"""`nemo-runspec plan` and `nemo-runspec export`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.settings import environment_settings
from nemo_runspec.command_line import HELP, STORE, Command, Flag, Given, parse
from nemo_runspec.costs.bill import bill_of
from nemo_runspec.costs.limit import MAX_GPU_HOURS, gpu_hours_limit, not_in_limit, over_limit
from nemo_runspec.exceptions import UsageError
from nemo_runspec.pipeline.decide import State
from nemo_runspec.pipeline.plan import PlannedNode, make_plan
from nemo_runspec.pipeline.render import FORMATS, render
from nemo_runspec.pipeline.setting import Pipeline, open_pipeline
from nemo_runspec.store import Manifest
from nemo_runspec.store.documents import exported_document
from nemo_runspec.utils import write_atomically

_PROFILE = Flag(
    ("--profile", "--run", "-r"), "the profile of env.toml that it would run with", "PROFILE"
)
_LEAST_WIDTH = 40
_EXIT_STALE = 2
_EXIT_COSTLY = 1

PLAN = Command(
    "plan",
    "FOLDER",
    (
        "Tells which artifacts of a plan are stale, why, and what they took the last time. Runs "
        "and writes nothing.",
        "FOLDER holds plan.json and configs/, as `pants plan` makes it.",
    ),
    (
        _PROFILE,
        Flag(("--format",), "table (the default), json or markdown", "FORMAT", choices=FORMATS),
        Flag(("--force",), "as if the artifacts that were asked for were stale"),
        Flag(
            (MAX_GPU_HOURS,), "end with 1 where it would take more, by what it took last time", "H"
        ),
        Flag(("--color",), "colours, in the table"),
        Flag(("--width",), "columns of the table; default: the terminal's, else 80", "N"),
    ),
    at_least=1,
    at_most=1,
    examples=(
        "plan dist/plan --format=json",
        "plan dist/plan --profile prod --max-gpu-hours 64",
        "plan dist/plan --format=markdown",
    ),
)

EXPORT = Command(
    "export",
    "FOLDER ADDRESS",
    (
        "Writes manifest.json and metadata.json of the fresh version of an artifact to a folder. "
        "Never runs anything: where the artifact is stale, it says why and which command makes "
        "it, and writes nothing.",
    ),
    (
        Flag(("--output",), "the folder to write to", "DIR"),
        Flag(
            ("--stale",),
            "warn (the default) or error: whether a stale artifact is a failure",
            "HOW",
            choices=("warn", "error"),
        ),
        _PROFILE,
    ),
    at_least=2,
    at_most=2,
    examples=("export dist/plan src/recipes/nano3:sft-model --output dist/sft-model",),
)


def run_plan(arguments: Sequence[str]) -> int:
    """``nemo-runspec plan``; returns the exit code: 1 where it is over the limit."""
    given = parse(PLAN, arguments)
    if given.has(HELP.names[0]):
        print(PLAN.help(), end="")
        return 0
    # What it is called with, before anything is read.
    limit = gpu_hours_limit(given)
    width = given.number("--width", 0) or shutil.get_terminal_size((80, 24)).columns
    pipeline = _open(given)
    forced = sorted(pipeline.graph.roots) if given.has("--force") else ()
    result = make_plan(pipeline.world, force=forced)
    form = given.value("--format") or FORMATS[0]
    text = render(result, form, width=max(width, _LEAST_WIDTH), color=given.has("--color"))
    print(text, end="")
    if limit is None:
        return 0
    bill = bill_of(result)
    unknown, costly = not_in_limit(bill, limit), over_limit(bill, limit)
    if unknown is not None:
        print(f"warning: {unknown}", file=sys.stderr)
    if costly is not None:
        print(f"error: {costly}", file=sys.stderr)
        return _EXIT_COSTLY
    return 0


def run_export(arguments: Sequence[str]) -> int:
    """``nemo-runspec export``; returns the exit code: 2 for a stale artifact that is an error."""
    given = parse(EXPORT, arguments)
    if given.has(HELP.names[0]):
        print(EXPORT.help(), end="")
        return 0
    output = given.value("--output")
    if output is None:
        raise UsageError(f"export needs --output DIR: {EXPORT.usage()}")
    address = given.arguments[1]
    world = _open(given, address).world
    node = make_plan(world).node(address)
    found = world.find(node.name, node.key) if node.key is not None else None
    if node.state is not State.FRESH or found is None:
        return _report_stale(node, given)
    manifest = world.store.manifest(found.store_name, found.record.version)
    metadata = world.store.metadata(found.store_name, found.record.version)
    export_version(manifest, metadata, Path(output))
    print(f"{manifest.reference} -> {output}")
    return 0


def export_version(manifest: Manifest, metadata: Any, output: Path) -> None:
    """Write the two documents of a version to a folder, each whole, the manifest last.

    Args:
        manifest: the version.
        metadata: its ``metadata.json``.
        output: the folder; made if it is missing.
    """
    output.mkdir(parents=True, exist_ok=True)
    # What an earlier version left is never taken for half of this one.
    (output / "manifest.json").unlink(missing_ok=True)
    write_atomically(output / "metadata.json", _text(metadata))
    write_atomically(output / "manifest.json", _text(exported_document(manifest)))


def _open(given: Given, *roots: str) -> Pipeline:
    """The plan in the folder that was named, as far as `roots` need it; all of it without any."""
    settings = environment_settings()
    root = given.value(STORE.names[0])
    if root is not None:
        settings = replace(settings, root=root, is_default=False)
    return open_pipeline(
        Path(given.arguments[0]),
        profile=given.value(_PROFILE.names[0]),
        roots=roots or None,
        settings=settings,
    )


def _report_stale(node: PlannedNode, given: Given) -> int:
    is_error = given.value("--stale") == "error"
    state = "its data is gone" if node.state is State.GONE else f"it is {node.state.value}"
    why = f" ({node.why})" if node.why else ""
    profile = given.value("--profile")
    option = f" --profile={profile}" if profile else ""
    print(
        f"{'error' if is_error else 'warning'}: {node.address}: nothing was written: "
        f"{state}{why}; `pants materialize{option} {node.address}` makes it",
        file=sys.stderr,
    )
    return _EXIT_STALE if is_error else 0


def _text(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
