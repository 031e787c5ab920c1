"""`nemo-runspec why`."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from nemo_runspec.command_line import FORMAT, PROFILE, Command, Given, run_parsed
from nemo_runspec.exceptions import ArtifactVersionNotFoundError, UsageError
from nemo_runspec.lineage.compare import Change, Comparison, Pair, compare
from nemo_runspec.lineage.words import number
from nemo_runspec.pipeline.reason import Category, sentence
from nemo_runspec.store.model import Manifest
from nemo_runspec.store.names import is_version
from nemo_runspec.store_admin.opening import Place, find_readable, made_by, open_place
from nemo_runspec.store_admin.text import human_time, print_json, print_table
from nemo_runspec.utils import find_repository_root

SCHEMA = "1"
_MOST_COMMITS = 10

WHY = Command(
    "why",
    "NAME:vN [vM|:ALIAS|OTHER:vM]",
    (
        "Compares two versions: what was otherwise when the one was made than when the other was, "
        "down to the file, the config key, the requirement and the input, and of the inputs again; "
        "the metrics that differ, the commits between them, and where they ran.",
        "Without a second one it is compared with the version before it. The other may be of "
        "another artifact.",
    ),
    (FORMAT, PROFILE),
    at_least=1,
    at_most=2,
    examples=("why sft-model:v12 v11", "why sft-model:prod", "why sft-model:v3 rl-model:v1"),
)


def run_why(arguments: Sequence[str]) -> int:
    """``nemo-runspec why``; returns the exit code."""
    return run_parsed(WHY, _run, arguments)


def _run(given: Given) -> int:
    place = open_place(given)
    new = find_readable(place, given.arguments[0])
    old = _other(place, new, given.arguments[1:])
    if old.reference == new.reference:
        raise UsageError(f"both are {new.reference}; name another version to compare it with")
    found = compare(place.store, new, old)
    commits = _commits(found.pair)
    if given.value("--format") == "json":
        print_json(_document(found, commits))
    else:
        _print(found, commits)
    return 0


def _other(place: Place, new: Manifest, given: Sequence[str]) -> Manifest:
    if given:
        text = given[0].removeprefix(":")
        is_own = given[0].startswith(":") or text == "latest" or text.isdecimal()
        # An alias of the same artifact, unless it names another one with its version.
        if (
            is_own
            or is_version(text)
            or (":" not in text and text in place.store.aliases(new.name))
        ):
            text = f"{new.name}:{text}"
        return find_readable(place, text)
    earlier = [each for each in place.store.versions(new.name) if each < new.version]
    if not earlier:
        raise ArtifactVersionNotFoundError(
            new.name,
            "the one before",
            f"{new.reference} is the first version of it; name what it is to be compared with",
        )
    return place.store.manifest(new.name, earlier[-1])


def _print(found: Comparison, commits: Sequence[tuple[str, str]]) -> None:
    pair = found.pair
    print(f"{pair.new.reference} compared with {pair.old.reference}")
    for manifest in (pair.new, pair.old):
        print(f"  {manifest.reference}  {human_time(manifest.created_at)} by {made_by(manifest)}")
    print()
    _print_reasons(pair, "What made them differ" if pair.reasons else "")
    for each in found.above:
        reference = f"{each.new.reference} and v{each.old.version}"
        if each.reasons:
            _print_reasons(each, f"{reference}, which they were made from")
    if found.same_content is not None:
        is_same = found.same_content
        print(f"The data is {'the same' if is_same else 'not the same'}.\n")
    if commits:
        print("Commits between them that changed these files:")
        for commit, subject in commits:
            print(f"  {commit} {subject}")
        print()
    rows = [
        [name, _value(change.old), _value(change.new), _difference(change)]
        for name, change in (*found.metrics.items(), *found.facts.items())
    ]
    if rows:
        headers = ["WHAT", f"v{pair.old.version}", f"v{pair.new.version}", "CHANGE"]
        if pair.old.name != pair.new.name:
            headers[1:3] = [pair.old.reference, pair.new.reference]
        print_table(headers, rows, right="CHANGE")


def _print_reasons(pair: Pair, heading: str) -> None:
    if not heading:
        print(f"{_without_reason(pair)}\n")
        return
    print(f"{heading}:")
    for reason in pair.reasons:
        print(f"  {reason.text()}")
    print()


def _without_reason(pair: Pair) -> str:
    if pair.new.key is not None and pair.new.key == pair.old.key:
        return "Both have the same key: nothing that counts was otherwise. One was made again."
    return "Nothing that counts was otherwise; the form of keys changed between them."


def _value(value: Any) -> str:
    if value is None:
        return "-"
    return number(value) if isinstance(value, float) else str(value)


def _difference(change: Change) -> str:
    both = (change.old, change.new)
    if not all(isinstance(each, (int, float)) and each == each for each in both) or not change.old:
        return ""
    return f"{(change.new - change.old) / abs(change.old):+.1%}"


def _commits(pair: Pair) -> list[tuple[str, str]]:
    """The commits between two versions that touch what of their code differs, newest first."""
    ends = [each.run.get("commit") for each in (pair.old, pair.new)]
    files = [each.what for each in pair.reasons if each.category is Category.CODE and each.what]
    root = find_repository_root()
    if not files or root is None or not all(ends) or ends[0] == ends[1]:
        return []
    try:
        done = subprocess.run(
            [
                *("git", "-C", str(root), "log", f"-n{_MOST_COMMITS}", "--format=%h%x09%s"),
                *("--end-of-options", f"{ends[0]}..{ends[1]}", "--", *files),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError:
        return []  # there is no git here
    # A clone that lacks the commits has nothing to say.
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return [(commit, subject) for commit, _, subject in (line.partition("\t") for line in lines)]


def _document(found: Comparison, commits: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        **_pair_document(found.pair),
        "why": sentence(found.pair.reasons) or _without_reason(found.pair),
        "same_content": found.same_content,
        "made_from": [_pair_document(each) for each in found.above],
        "metrics": _change_documents(found.metrics),
        "run": _change_documents(found.facts),
        "commits": [{"commit": commit, "subject": subject} for commit, subject in commits],
    }


def _pair_document(pair: Pair) -> dict[str, Any]:
    return {
        "new": pair.new.reference,
        "old": pair.old.reference,
        "reasons": [reason.to_json() for reason in pair.reasons],
    }


def _change_documents(changes: Mapping[str, Change]) -> dict[str, dict[str, Any]]:
    return {name: {"old": each.old, "new": each.new} for name, each in changes.items()}
