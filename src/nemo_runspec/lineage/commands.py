"""`nemo-runspec lineage`."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nemo_runspec._names import hint
from nemo_runspec.artifacts.settings import environment_settings
from nemo_runspec.command_line import PROFILE, STORE, Command, Flag, Given, run_parsed
from nemo_runspec.exceptions import UsageError
from nemo_runspec.lineage.graph import only_types
from nemo_runspec.lineage.model import Lineage, to_document
from nemo_runspec.lineage.recorded import DIRECTIONS, recorded_lineage
from nemo_runspec.store_admin.opening import Place, find_readable, open_place
from nemo_runspec.utils import write_atomically

FORMATS = ("tree", "json", "mermaid", "html", "openlineage")
_LEAST_WIDTH = 40

LINEAGE = Command(
    "lineage",
    "NAME[:vN|:ALIAS] …",
    (
        "Shows what versions were made from, by default the latest of each, as their manifests "
        "say; with --direction=downstream what was made from them. Each with its state, when, by "
        "whom and from which commit it was made, what that took, and its metrics.",
        "With --plan the arguments are artifact targets, none meaning all that the plan is about, "
        "and each is shown as it is today: fresh, stale and why, never built. `pants lineage` "
        "calls it that way.",
        "json and html hold everything, the whole manifest of each version too. html is one file "
        "that needs no network.",
    ),
    (
        Flag(
            ("--direction",),
            "upstream (the default), downstream or both",
            "WAY",
            choices=DIRECTIONS,
        ),
        Flag(
            ("--format",),
            "tree (the default), json, mermaid, html or openlineage",
            "FORMAT",
            choices=FORMATS,
        ),
        Flag(
            ("--type",),
            "only versions of this class, such as ModelArtifact; may be given again",
            "TYPE",
            many=True,
        ),
        Flag(("--at",), "the version (vN or an alias) of what is named", "vN"),
        Flag(("--keys",), "in the tree, also what the key of each was made of: config, code …"),
        Flag(("--output",), "write to a file", "FILE"),
        Flag(("--plan",), "a folder with plan.json and configs/, as `pants plan` makes it", "DIR"),
        Flag(("--color",), "colours, in the tree, also where it is no terminal"),
        Flag(("--width",), "columns of the tree; default: the terminal's", "N"),
        PROFILE,
    ),
    at_most=None,
    examples=(
        "lineage sft-model:v3",
        "lineage books:v3 --direction=downstream --type=ModelArtifact",
        "lineage sft-model --format=html --output=sft-model.html",
        "lineage sft-model:v3 sft-model:v2 --format=html --output=both.html",
    ),
)


def run_lineage(arguments: Sequence[str]) -> int:
    """``nemo-runspec lineage``; returns the exit code."""
    return run_parsed(LINEAGE, _run, arguments)


def _run(given: Given) -> int:
    form = given.value("--format") or FORMATS[0]
    output = given.value("--output")
    width = given.number("--width", 0)
    if form == "html" and output is None and sys.stdout.isatty():
        raise UsageError("html is a file for a browser; name it: --output lineage.html")
    if not given.arguments and not given.has("--plan"):
        raise UsageError(f"lineage of what? {LINEAGE.usage()}; `nemo-runspec store ls` lists them")
    lineage = _lineage(given)
    types = given.values.get("--type", ())
    if types:
        lineage = _filtered(lineage, types)
    text = _rendered(lineage, form, given, width)
    if output is None:
        print(text, end="")
        return 0
    _write(Path(output), text)
    print(output)
    return 0


def _write(path: Path, text: str) -> None:
    if path.is_dir():
        raise UsageError(f"--output={path} is a folder; name a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise UsageError(
            f"--output={path} cannot be written: {error.strerror}: {error.filename}"
        ) from error


def _lineage(given: Given) -> Lineage:
    direction = given.value("--direction") or DIRECTIONS[0]
    plan, at = given.value("--plan"), given.value("--at")
    if plan is None:
        place = open_place(given)
        return _recorded(place, given.arguments, at, direction)
    if at is not None:
        raise UsageError("--at is a version of an artifact, --plan is about targets; leave one out")
    return _joined(given, Path(plan), direction)


def _recorded(place: Place, texts: Sequence[str], at: str | None, direction: str) -> Lineage:
    versions = []
    for text in texts:
        if at is not None:
            if ":" in text:
                raise UsageError(f"{text} and --at={at} both name a version; leave one out")
            text = f"{text}:{at}"
        manifest = find_readable(place, text)
        versions.append((manifest.name, manifest.version))
    return recorded_lineage(place.store, versions, direction)


def _joined(given: Given, folder: Path, direction: str) -> Lineage:
    # It brings OmegaConf, which recorded lineage does without.
    from nemo_runspec.lineage.joined import joined_lineage
    from nemo_runspec.pipeline.plan import make_plan
    from nemo_runspec.pipeline.setting import open_pipeline

    settings = environment_settings()
    root = given.value(STORE.names[0])
    if root is not None:
        settings = replace(settings, root=root, is_default=False)
    profile = given.value(PROFILE.names[0])
    world = open_pipeline(folder, profile=profile, settings=settings).world
    return joined_lineage(world, make_plan(world), given.arguments, direction)


def _filtered(lineage: Lineage, types: Sequence[str]) -> Lineage:
    there = {node.type for node in lineage.nodes if node.type is not None}
    for each in types:
        if each not in there:
            print(f"note: none of them is a {each}; {hint(each, there)}", file=sys.stderr)
    return only_types(lineage, types)


def _rendered(lineage: Lineage, form: str, given: Given, width: int) -> str:
    if form == "json":
        return _json(to_document(lineage))
    if form == "mermaid":
        from nemo_runspec.lineage.mermaid import is_drawn, render_mermaid

        text = render_mermaid(lineage)
        if not is_drawn(lineage, text):
            print(
                f"note: {len(lineage.edges):,} edges and {len(text):,} characters are more than "
                "Mermaid draws by default; --type shows less, and html shows any number",
                file=sys.stderr,
            )
        return text
    if form == "html":
        from nemo_runspec.lineage.page import render_page

        return render_page(lineage)
    if form == "openlineage":
        from nemo_runspec.openlineage.events import lineage_events

        # One event a line, as clients of it write files.
        return "".join(f"{json.dumps(event)}\n" for event in lineage_events(lineage))
    from nemo_runspec.lineage.tree import Style, render_tree

    is_terminal = sys.stdout.isatty() and not given.has("--output")
    if not width and is_terminal:
        width = shutil.get_terminal_size((80, 24)).columns
    color = given.has("--color") or (is_terminal and not os.environ.get("NO_COLOR"))
    return render_tree(
        lineage,
        Style(
            max(width, _LEAST_WIDTH) if width else None,
            color,
            given.has("--keys"),
        ),
    )


def _json(document: Mapping[str, Any]) -> str:
    """A document with a line for each node and each edge.

    With an indent Python writes JSON ten times as slowly, and manifests are long.
    """
    lines = []
    for key, value in document.items():
        if key in ("nodes", "edges") and value:
            inside = ",\n".join(f"  {json.dumps(each, ensure_ascii=False)}" for each in value)
            lines.append(f'"{key}": [\n{inside}\n]')
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
