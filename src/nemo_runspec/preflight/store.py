"""Whether the store of artifacts can be written, and the folder that outputs go to."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from nemo_runspec.artifacts.settings import ArtifactsSettings, user_name
from nemo_runspec.artifacts.view import open_view
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.pipeline.outputs import output_root
from nemo_runspec.preflight.checks import Check
from nemo_runspec.store import Lease

_FIX = "make it writable for you, or name another root in [artifacts.manifest] of env.toml"


def check_store(settings: ArtifactsSettings) -> Iterator[Check]:
    """The store and the output folder, each tried by an exclusive create."""
    try:
        view = open_view(settings)
        if view is None:
            yield Check("store", True, "none: versions are not recorded")
            return
        # As whoever builds does it: an exclusive create, on whatever the store is.
        with contextlib.ExitStack() as held:
            lease = view.store.acquire("doctor", {"user": user_name()})
            if isinstance(lease, Lease):
                held.enter_context(lease)
        yield Check("store", True, view.store.root)
        yield check_folder("output", output_root(settings), "")
    except NemoRunspecError as error:
        yield Check("store", False, str(error), _FIX)


def check_folder(what: str, folder: Path, note: str) -> Check:
    """Whether a new file can be made in a folder, which is made for it.

    Args:
        what: what the folder is called.
        folder: the folder.
        note: what is to be said of it where it is good.
    """
    path = folder / f".doctor-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        path.unlink()
    except OSError as error:
        why = f"{folder} cannot be written: {error.strerror}"
        return Check(what, False, why, "make it writable for you, or name another folder")
    return Check(what, True, f"{folder}{note}")
