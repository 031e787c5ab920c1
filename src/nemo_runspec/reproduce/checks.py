"""Whether all that a version was made with is still there, and is what it was."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.content import ContentError, recorded_digest
from nemo_runspec.artifacts.job_context import ContentMode
from nemo_runspec.env import list_profiles, load_env_file
from nemo_runspec.exceptions import EnvError
from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.interpreter import job_interpreter
from nemo_runspec.masking import MASK, mask_secrets
from nemo_runspec.pipeline.external import ExternalInputError, fingerprint, is_unchecked
from nemo_runspec.reproduce.finding import Finding, Recipe, Verdict
from nemo_runspec.reproduce.history import History
from nemo_runspec.reproduce.locks import find_lockfiles
from nemo_runspec.store import Manifest
from nemo_runspec.store.lineage import VersionId, made_from, revoked_ancestor
from nemo_runspec.store_admin.data import Data, DataError
from nemo_runspec.store_admin.opening import Place
from nemo_runspec.store_admin.text import plural
from runspec import content_digest, source_digest

_SHOWN = 5


def recipe_of(manifest: Manifest) -> Recipe | None:
    """What a version was made with; None where its manifest does not say it."""
    run = manifest.run
    if manifest.parts is None:
        return None
    # Masked when it was recorded; manifests may come from elsewhere, too.
    parts = mask_secrets(manifest.parts)
    explain = _table(manifest.explain)
    environment = _table(parts.get("environment"))
    return Recipe(
        address=_text(run.get("address")),
        recipe=_text(parts.get("recipe")),
        commit=_text(run.get("commit")),
        dirty=run.get("dirty"),
        profile=_text(run.get("profile")),
        image=_text(environment.get("image")),
        constraints=tuple(map(str, environment.get("constraints") or ())),
        requirements={str(k): str(v) for k, v in _table(explain.get("requirements")).items()},
        env=mask_secrets(dict(_table(explain.get("env")))),
        config=parts.get("config"),
        inputs=tuple(f"{name}:v{number}" for name, number in made_from(manifest)),
        external=tuple((str(uri), str(value)) for uri, value in parts.get("external") or ()),
    )


def matches(path: str, body: bytes, digest: str) -> bool:
    """Whether a file is the one that was digested: as source, or by its bytes."""
    # A .py file that is data counts by its bytes.
    return digest in (source_digest(path, body), content_digest(body))


def check(
    place: Place,
    manifest: Manifest,
    root: Path,
    history: History | None,
    *,
    content: bool = False,
) -> Iterator[Finding]:
    """Look at all that a version was made with.

    Args:
        place: the store.
        manifest: the version.
        root: the build root.
        history: the repository that it lies in; None where there is no git.
        content: also read the data of its inputs, and compare it with the digests taken of it.

    Raises:
        StoreError: the store does not answer.
        GitError: git cannot read the commit.
    """
    recipe = recipe_of(manifest)
    if recipe is None:
        yield Finding(
            "recipe",
            Verdict.MISSING,
            "it was logged by hand: what it was made with was not recorded",
        )
        return
    made = f", target {recipe.address}" if recipe.address else ", run by itself, without a target"
    yield Finding("recipe", Verdict.RECORDED, f"{recipe.recipe}{made}")
    yield from _check_code(manifest, recipe, history)
    if "environment" in (manifest.parts or {}):  # that of a gathered fan-out is its elements'
        yield from _check_environment(recipe)
    yield from _check_inputs(place, manifest, content)
    yield from _check_external(recipe, root, place.settings.external_hash_limit)


def _check_code(manifest: Manifest, recipe: Recipe, history: History | None) -> Iterator[Finding]:
    commit = recipe.commit
    if commit is None:
        yield Finding(
            "commit", Verdict.MISSING, "none was recorded: it was made outside of a git repository"
        )
        return
    if history is None or not history.has(commit):
        where = "there is no git here" if history is None else "it is not in this repository"
        how = "" if history is None else f"; `git fetch origin {commit}` gets it, if it was pushed"
        yield Finding("commit", Verdict.MISSING, f"{commit}: {where}{how}")
        return
    if recipe.dirty:
        yield Finding(
            "commit",
            Verdict.CAVEAT,
            f"{commit}, and the working tree held changes that no commit has; a config among them "
            "cannot be seen from here, its code is looked at below",
        )
    else:
        yield Finding("commit", Verdict.VERIFIED, commit)
    yield _check_files(manifest, recipe, history, commit)
    if recipe.requirements:
        yield _check_lockfile(recipe, history, commit)


def _check_files(manifest: Manifest, recipe: Recipe, history: History, commit: str) -> Finding:
    files: Mapping[str, str] = _table(_table(manifest.explain).get("files"))
    if not files:
        return Finding("code", Verdict.CAVEAT, "which files it is made of was not recorded")
    there = history.read(commit, list(files))
    other = sorted(
        p for p, digest in files.items() if p in there and not matches(p, there[p], digest)
    )
    absent = sorted(path for path in files if path not in there)
    if not other and not absent:
        return Finding("code", Verdict.VERIFIED, f"{plural(len(files), 'file')}, as at that commit")
    told = (
        [f"{_few(other)} differ{'s' if len(other) == 1 else ''} from that commit"] if other else []
    )
    if absent:
        told.append(f"{_few(absent)} {'is' if len(absent) == 1 else 'are'} not in it")
    made = "made from changes that no commit has: " if recipe.dirty else ""
    return Finding("code", Verdict.MISSING, f"{made}{'; '.join(told)}")


def _check_lockfile(recipe: Recipe, history: History, commit: str) -> Finding:
    counted = plural(len(recipe.requirements), "requirement")
    paths = find_lockfiles(history, commit, recipe.requirements)
    if not paths:
        return Finding(
            "requirements",
            Verdict.CAVEAT,
            f"{counted}; no lockfile of that commit has them all at these versions",
        )
    return Finding("requirements", Verdict.VERIFIED, f"{counted}, locked so in {_few(paths)}")


def _check_environment(recipe: Recipe) -> Iterator[Finding]:
    yield _check_python(recipe)
    if recipe.image is not None:
        is_fixed = "@sha256:" in recipe.image
        more = "" if is_fixed else "; its tag may mean another image by now"
        verdict = Verdict.RECORDED if is_fixed else Verdict.CAVEAT
        yield Finding("image", verdict, f"{recipe.image}{more}")
    yield _check_profile(recipe.profile)
    secret = sorted(name for name, value in recipe.env.items() if MASK in (value or ""))
    for name in secret:
        yield Finding("env", Verdict.CAVEAT, f"{name} counts, and is a secret: set it as it was")
    if len(recipe.env) > len(secret):
        names = [f"{k}={v}" for k, v in sorted(recipe.env.items()) if k not in secret]
        yield Finding("env", Verdict.RECORDED, ", ".join(names))


def _check_python(recipe: Recipe) -> Finding:
    constraints = " or ".join(recipe.constraints) or "any"
    if recipe.profile is not None:
        return Finding("python", Verdict.RECORDED, constraints)
    try:
        found = job_interpreter(recipe.constraints, os.environ)
    except ExecutionError as error:
        return Finding("python", Verdict.MISSING, f"{constraints}: {error}")
    return Finding("python", Verdict.VERIFIED, f"{constraints}: {found} fits")


def _check_profile(profile: str | None) -> Finding:
    if profile is None:
        return Finding("profile", Verdict.RECORDED, "none: this machine")
    try:
        known = list_profiles(load_env_file())
    except EnvError as error:
        return Finding("profile", Verdict.CAVEAT, f"{profile}: {error}")
    if profile in known:
        return Finding("profile", Verdict.RECORDED, f"{profile}, as env.toml has it today")
    return Finding(
        "profile",
        Verdict.CAVEAT,
        f"{profile} is not in env.toml any more; name another one with --profile",
    )


def _check_inputs(place: Place, manifest: Manifest, content: bool) -> Iterator[Finding]:
    used = _used(place, manifest)
    found = place.store.manifests(used)
    for version in used:
        yield _check_input(place, version, found.get(version), content)
    named = {name for name, _ in used}
    for entry in _table(manifest.parts).get("inputs") or ():
        name, identity = str(entry[1]), entry[2]
        if identity is None:
            yield Finding("input", Verdict.RECORDED, f"{name}: it was made without it")
        elif not any(each == name or each.endswith(f"/{name}") for each in named):
            yield Finding("input", Verdict.MISSING, f"{name}: which version was not recorded")


def _used(place: Place, manifest: Manifest) -> list[VersionId]:
    """What a version was made from; of a gathered fan-out what its elements were made from.

    The elements are made again with it, so nobody needs their data.
    """
    used = list(made_from(manifest))
    elements = [each for each in used if each[0].startswith(f"{manifest.name}/")]
    above = [
        version
        for element in place.store.manifests(elements).values()
        for version in made_from(element)
    ]
    return list(dict.fromkeys(each for each in (*used, *above) if each not in elements))


def _check_input(
    place: Place, version: VersionId, manifest: Manifest | None, content: bool
) -> Finding:
    reference = f"{version[0]}:v{version[1]}"

    def missing(text: str) -> Finding:
        # What others wrote, and the paths of data, may hold a password.
        return Finding("input", Verdict.MISSING, f"{reference}: {mask_secrets(text)}")

    if manifest is None:
        return missing(f"it is not in {place.store.root}")
    revoked = revoked_ancestor(place.store, *version)
    if revoked is not None:
        above = (
            ""
            if revoked.reference == reference
            else f"{revoked.reference}, which it is made from, "
        )
        return missing(f"{above}was revoked: {revoked.tombstone.reason}")
    gone = place.store.gone(*version)
    if gone is not None:
        return missing(f"its data is gone: {gone}")
    options = place.options_for(manifest.path)
    try:
        if not Data(manifest.path, options).exists():
            return missing(f"its data is gone: {manifest.path}")
        mode: ContentMode = "hash" if content else "stat"
        metadata = place.store.metadata(*version)
        digests = recorded_digest(manifest, metadata, mode, storage_options=options)
    except (ContentError, DataError) as error:
        return missing(str(error))
    if digests is None:
        return Finding(
            "input",
            Verdict.CAVEAT,
            f"{reference}: its data is there; no digest was taken of it, so nobody can tell "
            "whether it is what it was",
        )
    if digests[0] != digests[1] and content:
        return missing(f"its content is not what was recorded: {manifest.path}")
    if digests[0] != digests[1]:
        return Finding(
            "input",
            Verdict.CAVEAT,
            f"{reference}: sizes or times of its data are not as recorded; --content tells whether "
            "what it holds is",
        )
    seen = (
        "its content is the same" if content else "its data is there, sizes and times as recorded"
    )
    return Finding("input", Verdict.VERIFIED, f"{reference}: {seen}")


def _check_external(recipe: Recipe, root: Path, limit: int) -> Iterator[Finding]:
    for uri, before in recipe.external:
        if is_unchecked(uri):
            yield Finding("external", Verdict.CAVEAT, f"{uri}: not looked at, as the target says")
            continue
        if MASK in uri:
            yield Finding("external", Verdict.CAVEAT, f"{uri}: not looked at: it holds a secret")
            continue
        try:
            now = fingerprint(uri, root=root, limit=limit)
        except ExternalInputError as error:
            yield Finding("external", Verdict.MISSING, str(error))
            continue
        if now == before:
            yield Finding("external", Verdict.VERIFIED, f"{uri}: as it was")
        else:
            yield Finding("external", Verdict.MISSING, f"{uri}: it was changed since")


def _few(paths: Iterable[str]) -> str:
    every = list(paths)
    more = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
