"""``nemo-runspec promote``."""

from __future__ import annotations

import socket

from nemo_runspec.artifacts.settings import user_name
from nemo_runspec.command_line import Command, Flag, Given
from nemo_runspec.exceptions import ArtifactError, UsageError
from nemo_runspec.store import KeyRecord, Manifest, VersionDraft, check_name
from nemo_runspec.store.lineage import Revocations
from nemo_runspec.store.names import check_label
from nemo_runspec.store_admin.opening import (
    Place,
    acting_user,
    exact_reference,
    now,
    open_place,
    version_of,
)

PUBLISHED_FROM = "published_from"

COMMAND = Command(
    "promote",
    "NAME:vN [ALIAS]",
    (
        "Lets NAME:ALIAS mean this version from now on, in configs too (`model: sft-model:prod`). "
        "What the alias meant before stays in its history, which `store show` prints. A version "
        "that was revoked, or whose data is gone, is refused.",
        "With --to the version also becomes the next one of another name, the team's say, with the "
        "same data and key; the alias is set there.",
        "Names are meant as they are written: one's own are user/YOU/….",
    ),
    (
        Flag(("--to",), "the name to publish the version under", "NAME"),
        Flag(("--reason",), "why, for the alias's history", "TEXT"),
    ),
    at_least=1,
    at_most=2,
    examples=(
        "promote sft-model:v12 prod --reason 'best on all evals'",
        "promote sft-model:staging prod",
        "promote user/ada/sft-model:v3 prod --to sft-model",
    ),
)


class NotPromotedError(ArtifactError):
    """A version cannot be promoted."""


def run(given: Given) -> int:
    """Promotes a version."""
    reference = exact_reference(given.arguments[0], COMMAND.name)
    alias = check_label(given.arguments[1], "an alias") if len(given.arguments) > 1 else None
    target = given.value("--to")
    if alias is None and target is None:
        raise UsageError(f"promote: to what? Write promote {reference} ALIAS, or --to NAME")
    if target is not None and check_name(target) == reference.name:
        raise UsageError(f"--to {target}: that is the name it has; leave --to out")
    place = open_place(given)
    manifest = place.store.manifest(reference.name, version_of(place, reference))
    refuse_unusable(place, manifest)
    if target is not None:
        manifest, is_new = publish(place, manifest, target)
        print(f"{manifest.reference} is {reference}{'' if is_new else ', as it was already'}")
    if alias is None:
        return 0
    store, name, version = place.store, manifest.name, manifest.version
    before = store.aliases(name).get(alias)
    if before == version:
        print(f"{name}:{alias} is v{version} already")
        return 0
    store.set_alias(name, alias, version, by=acting_user(), reason=given.value("--reason"))
    print(f"{name}:{alias} is v{version} now{'' if before is None else f', was v{before}'}")
    return 0


def refuse_unusable(place: Place, manifest: Manifest) -> None:
    """Refuse a version that nobody can use.

    Raises:
        ArtifactRevokedError: it, or one that it was made from, was revoked.
        NotPromotedError: its data is gone.
    """
    Revocations(place.store).check(manifest.name, manifest.version)
    gone = place.store.gone(manifest.name, manifest.version)
    if gone is not None:
        raise NotPromotedError(
            f"{manifest.reference} has no data any more: {gone}; use another one"
        )


def publish(place: Place, manifest: Manifest, name: str) -> tuple[Manifest, bool]:
    """Make a version the next one of another name: same data, same key, made from this one.

    Returns:
        The version under that name, and whether it is new: it is not if this was done before.
    """
    store = place.store
    known = store.manifests([(name, version) for version in store.versions(name)])
    for each in known.values():
        if each.extra.get(PUBLISHED_FROM) == manifest.reference:
            return each, False
    owned = {key: value for key, value in manifest.extra.items() if key in _KEPT}
    draft = VersionDraft(
        path=manifest.path,
        type=manifest.type,
        metadata=manifest.metadata,
        document=store.metadata(manifest.name, manifest.version),
        producer=manifest.producer,
        inputs=manifest.inputs,
        # Made from it, so that what revokes the one revokes the other.
        used_artifacts=(manifest.reference, *manifest.used_artifacts),
        key=manifest.key,
        parts=manifest.parts,
        explain=manifest.explain,
        content=manifest.content,
        run=manifest.run,
        extra={
            **owned,
            PUBLISHED_FROM: manifest.reference,
            "published_by": {"user": user_name(), "host": socket.gethostname(), "at": now()},
        },
    )
    published = store.add_version(name, draft)
    if manifest.key is not None and _answers(place, manifest):
        record = KeyRecord(
            published.version, published.identity, published.path, published.content, now()
        )
        store.set_key(name, manifest.key, record)
    return published, True


_KEPT = ("digested", "element", "elements", "iteration", "missing", "owned")


def _answers(place: Place, manifest: Manifest) -> bool:
    """Whether a version is what its own key stands for: a checkpoint on the way is not."""
    record = place.store.find_key(manifest.name, manifest.key or "")
    return record is not None and record.version == manifest.version
