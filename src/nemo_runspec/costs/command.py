"""`nemo-runspec costs`."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.settings import environment_settings
from nemo_runspec.command_line import FORMAT, STORE, Command, Flag, Given, run_parsed
from nemo_runspec.costs.bill import MOST_LISTED
from nemo_runspec.costs.past import Cost, add_up, cost_of
from nemo_runspec.costs.ranking import FileCost, rank_files
from nemo_runspec.exceptions import UsageError
from nemo_runspec.pipeline.setting import Pipeline, open_pipeline
from nemo_runspec.store_admin.text import plural, print_json, print_table

SCHEMA = "1"
DEFAULT_TOP = 20

COMMAND = Command(
    "costs",
    "FOLDER [PATH ...]",
    (
        "Ranks the files of the repository by what editing them makes run again, by what that "
        "took the last time. Runs and writes nothing.",
        "FOLDER holds plan.json and configs/, as `pants plan` makes it: of the artifacts in it, "
        "and of no others, this tells. PATHs are files, folders or patterns of them, from the "
        "build root: only those are ranked.",
        "CERTAIN is what the file is part of, as code or as config; AT MOST is that and all that "
        "is made from it, which runs unless its inputs come out the same.",
    ),
    (
        Flag(("--top", "-n"), f"so many files, 0 for all; default: {DEFAULT_TOP}", "N"),
        FORMAT,
    ),
    at_least=1,
    at_most=None,
    examples=(
        "costs dist/plan",
        "costs dist/plan src/recipes --top 5",
        "costs dist/plan '*.yaml' --format json",
    ),
)


def run_costs(arguments: Sequence[str]) -> int:
    """``nemo-runspec costs``; returns the exit code."""
    return run_parsed(COMMAND, _run, arguments)


def past_costs(pipeline: Pipeline) -> dict[str, Cost | None]:
    """What each artifact of a plan took the last time, by address."""
    world = pipeline.world
    names = {each for one in pipeline.graph.order for each in world.store_names(one.name)}
    newest = world.store.latest_manifests(names)
    found = {}
    for artifact in pipeline.graph.order:
        known = [newest[name] for name in world.store_names(artifact.name) if name in newest]
        found[artifact.address] = cost_of(
            known[0] if known else None,
            is_fan_out=artifact.foreach is not None,
            elements=None,
            read=world.store.manifests,
        )
    return found


def _run(given: Given) -> int:
    folder, *patterns = given.arguments
    top = given.number("--top", DEFAULT_TOP)
    settings = environment_settings()
    root = given.value(STORE.names[0])
    if root is not None:
        settings = replace(settings, root=root, is_default=False)
    pipeline = open_pipeline(Path(folder), settings=settings)
    costs = past_costs(pipeline)
    ranked = rank_files(pipeline.graph, costs)
    chosen = [each for each in ranked if not patterns or _matches(each.path, patterns)]
    if patterns and not chosen:
        raise UsageError(
            f"no file of {folder} is {' or '.join(patterns)}; paths are from the build root, and "
            "only files that an artifact of the plan depends on are in it"
        )
    shown = chosen[:top] if top else chosen
    if given.value("--format") == "json":
        print_json(_document(shown, chosen, costs))
    else:
        _print(shown, chosen, costs)
    return 0


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(
        path == pattern.rstrip("/")
        or path.startswith(f"{pattern.rstrip('/')}/")
        or fnmatch.fnmatchcase(path, pattern)
        for pattern in patterns
    )


def _print(
    shown: Sequence[FileCost], chosen: Sequence[FileCost], costs: Mapping[str, Cost | None]
) -> None:
    if not chosen:
        print("no artifact of the plan depends on a file")
        return
    rows = [
        (
            each.at_most.text(),
            each.certain.text(),
            f"{each.at_most.artifacts:,}",
            each.path,
        )
        for each in shown
    ]
    print_table(("AT MOST", "CERTAIN", "ARTIFACTS", "FILE"), rows, right="ARTIFACTS")
    whole = add_up(costs.values())
    more = f"the first {len(shown):,} of " if len(shown) < len(chosen) else ""
    print(
        f"\n{more}{plural(len(chosen), 'file')}; all {plural(whole.artifacts, 'artifact')} of the "
        f"plan took {whole.text()}"
    )


def _document(
    shown: Sequence[FileCost], chosen: Sequence[FileCost], costs: Mapping[str, Cost | None]
) -> dict[str, Any]:
    """The ranking as plain data.

    Returns:
        ``total`` (all artifacts of the plan), ``files`` (how many there are) and ``ranking``
        (``path``, ``certain``, ``at_most``, ``artifacts``: the names of the first
        :data:`nemo_runspec.costs.bill.MOST_LISTED` of those in ``at_most``).
    """
    return {
        "schema": SCHEMA,
        "total": add_up(costs.values()).to_json(),
        "files": len(chosen),
        "ranking": [
            {
                "path": each.path,
                "certain": each.certain.to_json(),
                "at_most": each.at_most.to_json(),
                "artifacts": list(each.artifacts[:MOST_LISTED]),
            }
            for each in shown
        ],
    }
