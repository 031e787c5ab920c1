"""``nemo-runspec store verify``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from nemo_runspec.artifacts.content import recorded_digest
from nemo_runspec.command_line import FORMAT, Command, Flag, Given
from nemo_runspec.exceptions import ArtifactError
from nemo_runspec.store import Manifest
from nemo_runspec.store.errors import StoreFormatError
from nemo_runspec.store.lineage import made_from
from nemo_runspec.store_admin.data import Data
from nemo_runspec.store_admin.opening import Place, not_found, open_place
from nemo_runspec.store_admin.text import plural, print_json

COMMAND = Command(
    "store verify",
    "[NAME …]",
    (
        "Looks whether the store keeps its word: every version's files can be read, latest is the "
        "highest version, aliases and keys point to versions that are there, what versions were "
        "made from is there, and so is their data.",
        "Lists every problem; the exit code is 1 if there is any.",
    ),
    (
        Flag(("--content",), "also read all data and compare it with the digests taken of it"),
        FORMAT,
    ),
    at_most=None,
    examples=("store verify", "store verify sft-model --content"),
)


@dataclass(frozen=True)
class Problem:
    """Something that is not as it must be.

    Attributes:
        where: the artifact, or one of its versions.
        problem: what is wrong, and what to do.
    """

    where: str
    problem: str


def run(given: Given) -> int:
    """Checks the store."""
    place = open_place(given)
    known = [] if place.is_empty_default else place.store.names()
    for name in given.arguments:
        if name not in known:
            raise not_found(place, name)
    names = list(dict.fromkeys(given.arguments)) or known
    problems: list[Problem] = []
    number = 0
    for name in names:
        number += len(place.store.versions(name))
        problems += problems_of(place, name, with_content=given.has("--content"))
    if given.value("--format") == "json":
        print_json([asdict(problem) for problem in problems])
        return 1 if problems else 0
    for problem in problems:
        print(f"{problem.where}: {problem.problem}")
    looked_at = f"{plural(number, 'version')} of {plural(len(names), 'artifact')}"
    print(f"{looked_at}: {plural(len(problems), 'problem') if problems else 'all is well'}")
    return 1 if problems else 0


def problems_of(place: Place, name: str, *, with_content: bool) -> Iterator[Problem]:
    """What is wrong with an artifact and its versions.

    Args:
        place: the store.
        name: the artifact.
        with_content: whether to read the data, too.
    """
    versions = place.store.versions(name)
    manifests: dict[int, Manifest] = {}
    for version, found in zip(
        versions, place.map(lambda each: _read(place, name, each), versions), strict=True
    ):
        if isinstance(found, Manifest):
            manifests[version] = found
        else:
            yield found
    yield from _pointers(place, name, versions, manifests)
    for problems in place.map(
        lambda each: [*_lineage(place, each), *_data(place, each, with_content)],
        manifests.values(),
    ):
        yield from problems


def _read(place: Place, name: str, version: int) -> Manifest | Problem:
    try:
        manifest = place.store.manifest(name, version)
        place.store.metadata(name, version)
    except ArtifactError as error:
        return Problem(f"{name}:v{version}", str(error))
    return manifest


def _pointers(
    place: Place, name: str, versions: list[int], manifests: dict[int, Manifest]
) -> Iterator[Problem]:
    store = place.store
    highest = versions[-1] if versions else None
    try:
        written, seen = store.written_latest(name), store.latest(name)
    except ArtifactError as error:
        yield Problem(name, str(error))
    else:
        if written is not None and written not in versions:
            yield Problem(name, f"latest says v{written}, which is no complete version")
        elif seen != highest:
            yield Problem(
                name, f"latest says v{seen}, and the highest complete version is v{highest}"
            )
    try:
        aliases = store.aliases(name)
    except ArtifactError as error:
        yield Problem(name, str(error))
        aliases = {}
    for alias, version in sorted(aliases.items()):
        if version not in versions:
            yield Problem(name, f"alias {alias} points to v{version}, which is no complete version")
        elif store.is_revoked(name, version) is not None:
            yield Problem(
                name, f"alias {alias} points to v{version}, which was revoked; promote another"
            )
    try:
        keys = store.keys(name)
    except ArtifactError as error:
        yield Problem(name, str(error))
        return
    for key, record in sorted(keys.items()):
        if record.version not in versions:
            yield Problem(
                name, f"key {key} points to v{record.version}, which is no complete version"
            )
        manifest = manifests.get(record.version)
        if manifest is not None and record.identity != manifest.identity:
            yield Problem(
                name,
                f"key {key} takes v{record.version} for {record.identity}, which is "
                f"{manifest.identity}",
            )


def _lineage(place: Place, manifest: Manifest) -> Iterator[Problem]:
    for name, version in made_from(manifest):
        try:
            is_there = bool(place.store.manifests([(name, version)]))
        except StoreFormatError:
            continue  # it is there, and broken: a problem of its own
        if not is_there:
            yield Problem(
                manifest.reference, f"was made from {name}:v{version}, which is not in this store"
            )


def _data(place: Place, manifest: Manifest, with_content: bool) -> Iterator[Problem]:
    where, path = manifest.reference, manifest.path
    options = place.options_for(path)
    try:
        if place.store.gone(manifest.name, manifest.version) is not None:
            return
        if not Data(path, options).exists():
            host = manifest.run.get("host")
            made = f" (made on {host})" if host else ""
            yield Problem(where, f"no data at {path}{made}; `store gc` marks what somebody deleted")
        elif with_content and _differs(place, manifest):
            yield Problem(where, f"the data at {path} is not what was recorded")
    except ArtifactError as error:
        yield Problem(where, str(error))


def _differs(place: Place, manifest: Manifest) -> bool:
    """Whether the data is known to be something else than what was recorded."""
    metadata = place.store.metadata(manifest.name, manifest.version)
    options = place.options_for(manifest.path) or None
    taken = recorded_digest(manifest, metadata, "hash", storage_options=options)
    if taken is None and (manifest.content or "").startswith("stat:"):
        taken = recorded_digest(manifest, metadata, "stat", storage_options=options)
    return taken is not None and taken[0] != taken[1]
