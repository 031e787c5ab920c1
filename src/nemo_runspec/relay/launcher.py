"""What carries a command out on the other host: this launcher's own PEX, or one that is there."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nemo_runspec.exceptions import UsageError
from nemo_runspec.execution.interpreter import fitting_minors, version_check
from nemo_runspec.jobs import launcher_copy
from nemo_runspec.relay.send import Entry, Tree

LAUNCHER_VARIABLE = "RUNSPEC_REMOTE_LAUNCHER"

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Launcher:
    """A launcher for the other host.

    Args:
        versions: the Pythons that it runs on, such as `3.11`.
        pex: its PEX, here; None for one that is there.
        installed: the path of an executable there; None where a PEX is sent.
    """

    versions: tuple[str, ...]
    pex: Path | None = None
    installed: str | None = None

    def trees(self) -> list[Tree]:
        """What has to be there for it."""
        pex = self.pex
        if pex is None:
            return []
        kept = self._kept
        return [Tree(str(kept.parent), lambda: [Entry(kept.name, pex)])]

    def argv(self, root: str, python: str) -> list[str]:
        """What starts it there.

        Args:
            root: the folder there that all is kept below.
            python: the Python there that it runs on.
        """
        if self.installed is not None:
            return [self.installed]
        return [python, f"{root}/{self._kept}"]

    @functools.cached_property
    def _kept(self) -> Path:
        """Its place below that folder."""
        assert self.pex is not None
        digest = hashlib.sha256()
        with self.pex.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return launcher_copy(Path(), digest.hexdigest())


def find_launcher(environ: Mapping[str, str] = os.environ) -> Launcher:
    """The launcher that relayed commands are carried out by.

    It is what `RUNSPEC_REMOTE_LAUNCHER` names, the path of an executable there, else the PEX that
    this process runs from.

    Raises:
        UsageError: this process runs from no PEX.
    """
    installed = environ.get(LAUNCHER_VARIABLE)
    if installed:
        return Launcher(_versions(()), installed=installed)
    pex = Path(environ.get("PEX", ""))
    constraints = _constraints(pex) if pex.is_file() else None
    if constraints is None:
        raise UsageError(
            'tunnel = "ssh" sends this launcher to the host as the PEX that it is, and this one is '
            "none; start it through Pants or a bundle's `run`, or name the path of one that is "
            f"installed there in {LAUNCHER_VARIABLE}"
        )
    return Launcher(_versions(constraints), pex=pex)


def _constraints(pex: Path) -> tuple[str, ...] | None:
    """The interpreters that a PEX is for; None for one that is no launcher of ours."""
    try:
        with zipfile.ZipFile(pex) as archive:
            info = json.loads(archive.read("PEX-INFO"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    if not str(info.get("entry_point")).startswith("nemo_runspec."):
        return None
    return tuple(info.get("interpreter_constraints") or ())


def _versions(constraints: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(fitting_minors(version_check(constraints)))
