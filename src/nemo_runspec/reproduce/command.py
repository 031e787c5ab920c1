"""`nemo-runspec reproduce`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nemo_runspec.command_line import FORMAT, Command, Flag, Given, run_parsed
from nemo_runspec.exceptions import ArtifactError, UsageError
from nemo_runspec.reproduce.again import Again, NotReproducedError, make_again
from nemo_runspec.reproduce.checks import check, recipe_of
from nemo_runspec.reproduce.comparing import Outcome
from nemo_runspec.reproduce.finding import Report, Verdict
from nemo_runspec.reproduce.history import open_history
from nemo_runspec.reproduce.today import compared_with_files, compared_with_plan
from nemo_runspec.store import Manifest
from nemo_runspec.store_admin.opening import Place, exact_reference, open_place, version_of
from nemo_runspec.store_admin.text import plural, print_fields, print_json
from nemo_runspec.utils import find_repository_root

SCHEMA = "1"

_EXIT_NO = 1
_MOST_VALUES = 30
_MOST_REASONS = 20
_SYMBOLS = {
    Verdict.VERIFIED: "=",
    Verdict.RECORDED: " ",
    Verdict.CAVEAT: "?",
    Verdict.MISSING: "!",
}

COMMAND = Command(
    "reproduce",
    "NAME:vN",
    (
        "Tells with what exactly a version was made, looks whether all of it is still there, and "
        "says what differs today. Checks out nothing. The exit code is 0 if it can be made again, "
        "else 1.",
        "= was verified, ? is a caveat, ! is missing.",
        "With --run it is made again: in a clean worktree of its commit, in a folder of its own "
        "that is removed at the end, with the inputs that it was made from. Nothing is recorded in "
        "the store; the content is compared, and the exit code is 0 if it is the same.",
    ),
    (
        Flag(("--plan",), "compare with the plan in this folder, not with files", "FOLDER"),
        Flag(("--content",), "also read the inputs' data, and compare it with its digests"),
        Flag(("--run",), "make it again, and compare the content"),
        Flag(("--profile",), "the profile of env.toml; default: the one it had", "PROFILE"),
        Flag(
            ("--folder",),
            "where --run puts its folder; on a cluster one that its nodes see",
            "DIR",
        ),
        Flag(("--keep",), "leave what --run made, to look at"),
        FORMAT,
    ),
    at_least=1,
    at_most=1,
    examples=(
        "reproduce sft-model:v3",
        "reproduce sft-model:v3 --content --plan dist/plan",
        "reproduce sft-model:v3 --run",
    ),
)


class NotReproducibleError(ArtifactError):
    """A version cannot be made again."""


def run_reproduce(arguments: Sequence[str]) -> int:
    """``nemo-runspec reproduce``; returns the exit code."""
    return run_parsed(COMMAND, _run, arguments)


def _run(given: Given) -> int:
    for option in ("--folder", "--keep"):
        if given.has(option) and not given.has("--run"):
            raise UsageError(f"{option} is for --run: what is made again goes there")
    reference = exact_reference(given.arguments[0], COMMAND.name)
    place = open_place(given)
    manifest = place.store.manifest(reference.name, version_of(place, reference))
    root = find_repository_root() or Path.cwd()
    report = _look(place, manifest, root, given)
    as_json = given.value("--format") == "json"
    if not as_json:
        _print(report)
    if not given.has("--run"):
        if as_json:
            print_json({"schema": SCHEMA, **report.to_json()})
        return 0 if report.is_reproducible else _EXIT_NO
    try:
        outcome = _run_again(place, manifest, root, report, given)
    except (NotReproducibleError, NotReproducedError) as error:
        if as_json:
            print_json({"schema": SCHEMA, **report.to_json(), "run": None})
        print(f"error: {error}", file=sys.stderr)
        return _EXIT_NO
    if as_json:
        print_json({"schema": SCHEMA, **report.to_json(), "run": outcome.to_json()})
    else:
        print(outcome.text())
    return 0 if outcome.is_same else _EXIT_NO


def _look(place: Place, manifest: Manifest, root: Path, given: Given) -> Report:
    history = open_history(root)
    recipe = recipe_of(manifest)
    findings = tuple(check(place, manifest, root, history, content=given.has("--content")))
    differences = None
    plan = given.value("--plan")
    if recipe is not None and plan is not None:
        profile = given.value("--profile") or recipe.profile
        differences = compared_with_plan(place, manifest, Path(plan), profile)
    elif recipe is not None:
        differences = compared_with_files(manifest, root, history)
    return Report(manifest.reference, recipe, findings, differences)


def _run_again(
    place: Place, manifest: Manifest, root: Path, report: Report, given: Given
) -> Outcome:
    recipe, history = report.recipe, open_history(root)
    if report.missing:
        first = report.missing[0]
        more = f" (and {len(report.missing) - 1} more)" if len(report.missing) > 1 else ""
        raise NotReproducibleError(
            f"{manifest.reference} cannot be made again: {first.what}: {first.text}{more}; nothing "
            "was run"
        )
    # Nothing is missing, so there is a commit, in this repository.
    assert recipe is not None and recipe.commit is not None and history is not None
    if manifest.extra.get("checkpoint"):
        raise NotReproducibleError(
            f"{manifest.reference} is a checkpoint on the way, which is no build of its own; name "
            "the version that its build ended with"
        )
    if "element" in (manifest.parts or {}):
        whole = manifest.name.rpartition("/")[0]
        raise NotReproducibleError(
            f"{manifest.reference} is one element of the fan-out {whole}; name a version of that "
            "one, and all of its elements are made again"
        )
    if recipe.address is None or recipe.address.startswith("-"):
        raise NotReproducibleError(
            f"{manifest.reference} was made by `pants run` of {recipe.recipe}, without an artifact "
            "target, so there is nothing to materialize; write one, or run the recipe at "
            f"{recipe.commit}"
        )
    profile, folder = given.value("--profile"), given.value("--folder")
    return make_again(
        Again(
            place=place,
            manifest=manifest,
            recipe=recipe,
            address=recipe.address,
            commit=recipe.commit,
            history=history,
            profile=profile or recipe.profile,
            is_other_profile=profile not in (None, recipe.profile),
            folder=None if folder is None else Path(folder).absolute(),
            keep=given.has("--keep"),
        )
    )


def _print(report: Report) -> None:
    can = "can be made again" if report.is_reproducible else "cannot be made again"
    print(f"{report.reference} {can}")
    print_fields((f"{_SYMBOLS[each.verdict]} {each.what}", each.text) for each in report.findings)
    if report.recipe is not None and report.recipe.config:
        print("\nconfig, as it counts:")
        values = list(_values(report.recipe.config))
        print_fields(values[:_MOST_VALUES])
        if len(values) > _MOST_VALUES:
            print(f"  and {plural(len(values) - _MOST_VALUES, 'value')} more; see --format=json")
    today = report.differences
    if today is None:
        return
    print(f"\ncompared with {today.compared_with}:")
    if not today.reasons:
        print("  nothing differs")
    for reason in today.reasons[:_MOST_REASONS]:
        print(f"  {reason.text()}")
    if len(today.reasons) > _MOST_REASONS:
        print(f"  and {len(today.reasons) - _MOST_REASONS:,} more; see --format=json")


def _values(config: Any) -> Iterator[tuple[str, str]]:
    """The values of a config by dotted key."""
    waiting: list[tuple[str, Any]] = [("", config)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, Mapping) and value:
            items = [(f"{key}.{name}".lstrip("."), item) for name, item in value.items()]
            waiting.extend(reversed(items))
        else:
            yield key or "config", str(value) or '""'
