"""``nemo-runspec accept``."""

from __future__ import annotations

import re
from pathlib import Path

from nemo_runspec.command_line import Command, Flag, Given
from nemo_runspec.exceptions import ArtifactError, UsageError
from nemo_runspec.store import KeyRecord, Manifest
from nemo_runspec.store_admin.opening import (
    Place,
    acting_user,
    exact_reference,
    now,
    open_place,
    version_of,
)
from nemo_runspec.store_admin.promoting import refuse_unusable
from nemo_runspec.store_admin.text import human_time

COMMAND = Command(
    "accept",
    "NAME:vN",
    (
        "Lets a version be the answer to today's key: what changed since it was made (a "
        "refactoring, say) changes nothing in it, so it is not made again. Who said so, when and "
        "why stays with the key; `store show` prints it.",
        "Today's key comes from a plan or is given. With --prove the bundle that made the version "
        "and today's are both run first, on a small config, and must write the same content.",
    ),
    (
        Flag(("--reason",), "why it is the same", "TEXT"),
        Flag(("--plan",), "the folder of a plan.json, as `pants plan` writes it", "FOLDER"),
        Flag(("--key",), "today's key itself, 64 hexadecimal digits", "KEY"),
        Flag(("--prove",), "the config, by name, to run both bundles on", "CONFIG"),
        Flag(("--bundle",), "today's bundle, for --prove", "FOLDER"),
        Flag(("--profile",), "the profile of env.toml to plan and run with", "PROFILE"),
    ),
    at_least=1,
    at_most=1,
    examples=(
        "accept sft-model:v3 --key 5f0c… --reason 'renamed a helper'",
        "accept sft-model:v3 --plan dist/plan --reason 'moved to pathlib'",
        "accept m:v3 --key 5f… --reason same --prove tiny --bundle dist/m",
    ),
)

_KEY = re.compile(r"[0-9a-f]{64}")


class NotAcceptedError(ArtifactError):
    """A version cannot stand for a key."""


def run(given: Given) -> int:
    """Accepts a version for a key."""
    reference = exact_reference(given.arguments[0], COMMAND.name)
    reason = given.value("--reason")
    if reason is None:
        raise UsageError(f"accept: why is it the same? Write accept {reference} --reason TEXT")
    plan, key = given.value("--plan"), given.value("--key")
    if (plan is None) == (key is None):
        raise UsageError(f"accept: for which key? Write accept {reference} with --plan or --key")
    if given.has("--prove") != given.has("--bundle"):
        raise UsageError("accept: --prove needs --bundle, today's bundle, and the other way round")
    place = open_place(given)
    manifest = place.store.manifest(reference.name, version_of(place, reference))
    refuse_unusable(place, manifest)
    _refuse_checkpoint(manifest)
    if key is None:
        from nemo_runspec.store_admin.planned import planned_key

        key = planned_key(place, Path(plan or ""), manifest.name, given.value("--profile"))
    elif not _KEY.fullmatch(key):
        raise UsageError(f"--key needs 64 hexadecimal digits, not {key!r}")
    if not _is_free(place, manifest, key):
        return 0
    config, bundle = given.value("--prove"), given.value("--bundle")
    if config is not None and bundle is not None:
        from nemo_runspec.store_admin.proving import prove

        prove(manifest, Path(bundle), config, given.value("--profile"))
    proved = {} if config is None else {"proved": config}
    record = KeyRecord(
        version=manifest.version,
        identity=manifest.identity,
        path=manifest.path,
        content=manifest.content,
        created_at=now(),
        accepted={"by": acting_user(), "at": now(), "reason": reason, **proved},
    )
    place.store.set_key(manifest.name, key, record)
    print(f"{manifest.reference} stands for key {key[:16]}… now: {reason}")
    return 0


def _refuse_checkpoint(manifest: Manifest) -> None:
    if manifest.extra.get("checkpoint"):
        raise NotAcceptedError(
            f"{manifest.reference} is a checkpoint on the way, never the answer to a key; accept "
            "what the build ended with"
        )


def _is_free(place: Place, manifest: Manifest, key: str) -> bool:
    """Whether the key still needs an answer; says so where this version is that already.

    Raises:
        NotAcceptedError: another version was made with it.
    """
    record = place.store.find_key(manifest.name, key)
    if record is None:
        return True
    if record.version == manifest.version:
        print(f"{manifest.reference} stands for key {key[:16]}… already{_since(record)}")
        return False
    if record.accepted is None and place.store.gone(manifest.name, record.version) is None:
        raise NotAcceptedError(
            f"{manifest.name}:v{record.version} was made with key {key[:16]}…; use that one"
        )
    return True


def _since(record: KeyRecord) -> str:
    if record.accepted is None:
        return ": it was made with it"
    by, at = record.accepted.get("by", "somebody"), str(record.accepted.get("at", ""))
    return f": {by} accepted it, {human_time(at)}: {record.accepted.get('reason', '')}"
