"""The functions that begin a look at a store; `nemo_runspec.store` offers them, too."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from nemo_runspec._names import hint
from nemo_runspec.client.history import Run, read_runs
from nemo_runspec.client.place import ClientError, choose, newest, view_of
from nemo_runspec.client.versions import Listing, NamedArtifact
from nemo_runspec.store.store import Store


def use(root: str | None, *, storage_options: Mapping[str, Any] | None = None) -> None:
    """Say which store this process looks at from here on.

    Args:
        root: a path or a URL; None for that of ``[artifacts]`` in ``env.toml`` again.
        storage_options: what the file system's fsspec class takes; default: those of ``env.toml``,
            if its store is on the same kind of file system.

    Raises:
        ClientError: there is no such folder.
    """
    choose(root, storage_options)


def artifact(name: str, *, root: str | Store | None = None) -> NamedArtifact:
    """An artifact: one's own in the namespace of ``env.toml``, else the team's.

    Args:
        name: its name, without a version.
        root: another store than that of this process.

    Raises:
        ArtifactNotFoundError: there is none; the message says what there is.
        StoreNameError: nothing can be called that.
    """
    view = view_of(root)
    return NamedArtifact(newest(view, name).name, view)


def artifacts(pattern: str = "*", *, root: str | Store | None = None) -> Listing[NamedArtifact]:
    """The artifacts of a store, by name.

    Args:
        pattern: only those whose name, or name within the namespace, matches this glob.
        root: as for :func:`artifact`.
    """
    view = view_of(root)
    own = f"{view.namespace}/" if view.namespace else ""
    return Listing(
        NamedArtifact(name, view)
        for name in view.store.names()
        if any(fnmatch.fnmatchcase(each, pattern) for each in (name, name.removeprefix(own)))
    )


def runs(match: str | None = None, *, root: str | Store | None = None) -> Listing[Run]:
    """The runs that a store has a record of, the newest first.

    Args:
        match: only those about an artifact, artifact target or recipe: a glob on its name or
            address, or a word of it (``nano3`` is one of ``nano3-sft-model`` and of
            ``src/recipes/nano3:train``), or the run's id.
        root: as for :func:`artifact`.
    """
    found = read_runs(view_of(root))
    return Listing(each for each in found if match is None or each.matches(match))


def latest_run(match: str | None = None, *, root: str | Store | None = None) -> Run:
    """The newest run; see :func:`runs`.

    Raises:
        ClientError: there is none; the message says what there is.
    """
    found = runs(root=root)
    for each in found:
        if match is None or each.matches(match):
            return each
    where = view_of(root).root
    if match is None:
        raise ClientError(f"no run is recorded in {where}")
    known = {name for each in found for step in each.steps for name in (step.name,)}
    raise ClientError(f"no run of {match!r} is recorded in {where}; {hint(match, known)}")


def run(run_id: str, *, root: str | Store | None = None) -> Run:
    """The run of an id.

    Raises:
        ClientError: there is none; the message says what there is.
    """
    found = {each.id: each for each in runs(root=root)}
    if run_id not in found:
        raise ClientError(
            f"there is no run {run_id!r} in {view_of(root).root}; {hint(run_id, found)}"
        )
    return found[run_id]
