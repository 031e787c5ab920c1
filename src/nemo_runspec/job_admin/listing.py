"""``nemo-runspec jobs ls``."""

from __future__ import annotations

import fnmatch
from typing import Any

from nemo_runspec.command_line import Command, Flag, Given
from nemo_runspec.job_admin.found import Item, standing
from nemo_runspec.job_admin.places import PROFILE, Places, age_of, name_of
from nemo_runspec.pipeline.progress import duration
from nemo_runspec.store_admin.text import print_json, print_table

_MOST = 30

COMMAND = Command(
    "jobs ls",
    "[NAME-GLOB …]",
    (
        "Lists jobs and pipelines, the newest first: those of this repository (.runspec/jobs), and "
        "those below remote_job_dir of each profile of env.toml, whoever started them.",
        f"Without --all it stops after {_MOST}.",
    ),
    (
        Flag(("--all", "-a"), "all of them"),
        PROFILE,
        Flag(("--json",), "as JSON"),
    ),
    at_most=None,
    examples=("jobs ls", "jobs ls 'nano3*' --all --json"),
    has_store=False,
)


def run(given: Given) -> int:
    """Lists jobs."""
    places = Places(given.value(PROFILE.names[0]))
    items = [item for item in places.items() if _matches(item, given.arguments)]
    shown = items if given.has("--all") else items[:_MOST]
    documents = [_document(item) for item in shown]
    if given.has("--json"):
        print_json(documents)
        return 0
    if not documents:
        what = f"nothing matches {' '.join(given.arguments)}" if given.arguments else "no jobs"
        print(f"{what} in {', '.join(map(str, places.roots))}")
        return 0
    _print(documents)
    if len(shown) < len(items):
        print(f"{len(items) - len(shown)} older ones: --all")
    return 0


def _matches(item: Item, patterns: tuple[str, ...]) -> bool:
    names = (name_of(item.folder), item.folder.name)
    return not patterns or any(
        fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns
    )


def _document(item: Item) -> dict[str, Any]:
    state, why, code = standing(item)
    return {
        "name": name_of(item.folder),
        "kind": item.kind,
        "executor": item.executor,
        "id": item.job_id,
        "state": state,
        "why": why,
        "exit_code": code,
        "age_seconds": age_of(item.folder),
        "folder": str(item.folder),
    }


def _print(documents: list[dict[str, Any]]) -> None:
    rows = []
    for each in documents:
        why = f" ({each['why']})" if each["why"] else ""
        code = f" {each['exit_code']}" if each["exit_code"] else ""
        age = each["age_seconds"]
        rows.append(
            [
                each["name"],
                each["executor"] or each["kind"],
                each["id"] or "-",
                f"{each['state']}{code}{why}",
                "-" if age is None else duration(age),
                each["folder"],
            ]
        )
    print_table(["NAME", "EXECUTOR", "ID", "STATE", "AGE", "FOLDER"], rows)
