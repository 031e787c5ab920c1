"""Making a version again: at its commit, from its inputs, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nemo_runspec.env import ENV_FILE_VARIABLE
from nemo_runspec.exceptions import ArtifactError
from nemo_runspec.execution.environment import GIT_VARIABLE
from nemo_runspec.masking import MASK
from nemo_runspec.reproduce.comparing import Outcome, compare
from nemo_runspec.reproduce.finding import Recipe
from nemo_runspec.reproduce.history import History
from nemo_runspec.reproduce.scratch import Scratch, make_scratch
from nemo_runspec.reproduce.worktree import ended_by_sigterm, own_folder, run_in, worktree
from nemo_runspec.store import Manifest
from nemo_runspec.store_admin.opening import Place

_DONE = ("fresh", "gone")
# Of the command that we were called by; theirs is another.
_OURS = ("RUNSPEC_COMMAND", GIT_VARIABLE)


class NotReproducedError(ArtifactError):
    """A version could not be made again."""


@dataclass(frozen=True)
class Again:
    """What is to be made again, and how.

    Args:
        place: the store that has it.
        manifest: the version.
        recipe: what it was made with.
        address: its artifact target.
        commit: of the repository.
        history: the repository.
        profile: of env.toml; None for this machine without one.
        is_other_profile: whether somebody named another one than it had.
        folder: where the folder is made; None for this machine's place of temporary files.
        keep: leave that folder.
    """

    place: Place
    manifest: Manifest
    recipe: Recipe
    address: str
    commit: str
    history: History
    profile: str | None = None
    is_other_profile: bool = False
    folder: Path | None = None
    keep: bool = False


def make_again(again: Again) -> Outcome:
    """Make a version again and compare what it holds; the store that has it is only read.

    Raises:
        NotReproducedError: at that commit it is not made of what it was made of, or it failed.
        NemoRunspecError: git, the store or env.toml is not as it has to be.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(ended_by_sigterm())
        folder = stack.enter_context(own_folder(again.folder, keep=again.keep))
        tree = stack.enter_context(
            worktree(again.history, again.commit, folder / "tree", keep=again.keep)
        )
        scratch = make_scratch(again.place, again.manifest, folder)
        pants = _Pants(_executable(tree), tree, _environment(again.recipe, scratch), again.profile)
        _say(f"looking at {again.address}, at commit {again.commit[:12]}")
        _settle(again, scratch, pants)
        _say(f"making {again.manifest.reference} again")
        pants.materialize(again.address, again.manifest.reference)
        number = scratch.store.latest(again.manifest.name)
        if number is None or number <= again.manifest.version:
            raise NotReproducedError(
                f"{again.manifest.reference}: the run ended well and recorded no version of "
                f"{again.manifest.name}"
            )
        new = scratch.store.manifest(again.manifest.name, number)
        outcome = compare(again.place, again.manifest, scratch.store, new)
        return replace(outcome, kept=str(folder) if again.keep else None)


@dataclass(frozen=True)
class _Pants:
    """Pants in the worktree.

    Args:
        executable: its path.
        tree: the build root.
        environment: its variables.
        profile: of env.toml.
    """

    executable: str
    tree: Path
    environment: Mapping[str, str]
    profile: str | None

    def plan(self, address: str) -> list[Mapping[str, Any]]:
        """The nodes of the plan of an artifact, in order."""
        code, out, errors = run_in(
            self.tree,
            self._command("plan", "--format=json", address),
            self.environment,
            capture=True,
        )
        if code:
            lines = errors.strip().splitlines() or [f"it ended with exit code {code}"]
            raise NotReproducedError(f"{address} cannot be planned at that commit: {lines[-1]}")
        nodes: list[Mapping[str, Any]] = json.loads(out)["nodes"]
        return nodes

    def materialize(self, address: str, reference: str) -> None:
        """Make an artifact; what it writes goes to standard error."""
        code, _, _ = run_in(
            self.tree, self._command("materialize", address), self.environment, capture=False
        )
        if code:
            raise NotReproducedError(
                f"{reference} was not made again: `pants materialize` ended with exit code {code}"
            )

    def _command(self, goal: str, *arguments: str) -> list[str]:
        profile = [f"--profile={self.profile}"] if self.profile else []
        # A daemon would outlive the folder.
        return [self.executable, "--no-pantsd", goal, *profile, *arguments]


def _settle(again: Again, scratch: Scratch, pants: _Pants) -> None:
    """See to it that the version is made from what it was made from, and of nothing else.

    What is above it counts as made with today's key, whatever that is: it stands for what was used.
    Each round settles at least one artifact, as what is above one is settled before it.

    Raises:
        NotReproducedError: it is made of something else at that commit.
    """
    nodes = pants.plan(again.address)
    for _ in range(len(nodes)):
        above = [n for n in nodes if n["address"] != again.address and n["state"] not in _DONE]
        if not above:
            break
        settled = [scratch.accept(n["name"], n["key"]) for n in above if n["key"]]
        if not settled or not all(settled):
            first = above[0]
            raise NotReproducedError(
                f"{again.manifest.reference}: at that commit it is made from {first['address']}, "
                f"of which no version was used ({first['why']})"
            )
        nodes = pants.plan(again.address)
    _refuse_other(again, next(n for n in nodes if n["address"] == again.address))


def _refuse_other(again: Again, node: Mapping[str, Any]) -> None:
    manifest = again.manifest
    if node["name"] != manifest.name and not manifest.name.endswith(f"/{node['name']}"):
        raise NotReproducedError(
            f"{manifest.reference}: at that commit {again.address} makes {node['name']}"
        )
    if node["key"] in (manifest.key, None):
        return  # a fan-out's is not known before its elements are made
    why = f"{manifest.reference} would be made otherwise: {node['why']}"
    if not again.is_other_profile:
        raise NotReproducedError(
            f"{why}; what the working tree held then is in no commit, or the machine is another "
            "one: --profile names the one to make it with all the same"
        )
    _say(why)


def _executable(tree: Path) -> str:
    own = tree / "pants"
    if own.is_file() and os.access(own, os.X_OK):
        return str(own)
    found = shutil.which("pants")
    if found is None:
        raise NotReproducedError("there is no pants in that commit, nor on PATH; install it")
    return found


def _environment(recipe: Recipe, scratch: Scratch) -> dict[str, str]:
    """This process' variables, and those that counted as they were."""
    environment = {name: value for name, value in os.environ.items() if name not in _OURS}
    for name, value in recipe.env.items():
        if value is None:
            environment.pop(name, None)
        elif MASK not in value:
            environment[name] = value
    environment[ENV_FILE_VARIABLE] = str(scratch.env_file)
    return environment


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
