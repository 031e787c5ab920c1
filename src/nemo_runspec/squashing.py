"""`nemo-runspec squash`: a container image as a squash file on the cluster."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nemo_runspec.cli_context import GlobalContext
from nemo_runspec.command_line import Command, Flag, Given, run_parsed
from nemo_runspec.config.plain import to_plain
from nemo_runspec.env import parse_env
from nemo_runspec.exceptions import UsageError
from nemo_runspec.squash import (
    ensure_squashed_image,
    get_squash_path,
    normalize_container_source,
)

SQUASH = Command(
    "squash",
    "[IMAGE]",
    (
        "Makes a squash file of a container image, on a node of the cluster, into the profile's "
        "remote_job_dir: jobs that name the image then start from the file. One that is there is "
        "left as it is. Without IMAGE it is the profile's container_image.",
        'With tunnel = "ssh" in the profile it is carried out on the login host.',
    ),
    (
        Flag(("--profile", "--run", "-r"), "the profile of env.toml", "PROFILE"),
        Flag(("--force",), "make it anew"),
        Flag(("--dry-run", "-d"), "say what would be made of what"),
    ),
    at_most=1,
    has_store=False,
    examples=("squash nvcr.io/nvidia/nemo:25.11 --profile prod", "squash --profile prod --dry-run"),
)


@dataclass(frozen=True)
class _Done:
    """What a command of the shell did, in the terms that the image's module reads."""

    ok: bool
    stdout: str
    stderr: str


class _Here:
    """Runs commands on this machine, the cluster's own login host."""

    def run(self, command: str, *, hide: bool, warn: bool) -> _Done:
        """Run a command of the shell.

        Args:
            command: the command.
            hide: keep its output from our reader.
            warn: of no meaning here: a failure is in the answer.
        """
        out = subprocess.PIPE if hide else None
        # What it says goes to our standard error: the squash file's path alone is our output.
        done = subprocess.run(
            ["bash", "-c", command if hide else f"{{ {command}\n}} >&2"],
            stdout=out,
            stderr=out,
            text=True,
            check=False,
        )
        return _Done(done.returncode == 0, done.stdout or "", done.stderr or "")


def run_squash(arguments: Sequence[str]) -> int:
    """The command line of `nemo-runspec squash`; returns the exit code.

    Raises:
        NemoRunspecError: the command line, the profile or the image is not as it has to be.
    """
    return run_parsed(SQUASH, _squash, arguments)


def _squash(given: Given) -> int:
    name = given.value("--profile")
    if name is None:
        raise UsageError(f"squash needs a profile of env.toml: {SQUASH.usage()} --profile PROFILE")
    found = parse_env(GlobalContext(run=name))
    profile: Mapping[str, Any] = {} if found is None else to_plain(found)
    image = given.arguments[0] if given.arguments else _own_image(profile, name)
    folder = profile.get("remote_job_dir")
    if not folder:
        raise UsageError(f"profile {name!r} has no remote_job_dir; that is where squash files go")
    if given.has("--dry-run"):
        source = normalize_container_source(image)
        print(f"{get_squash_path(image, str(folder))} would be made of {source}")
        return 0
    print(ensure_squashed_image(_Here(), image, str(folder), profile, force=given.has("--force")))
    sys.stdout.flush()
    return 0


def _own_image(profile: Mapping[str, Any], name: str) -> str:
    image = profile.get("container_image") or profile.get("container")
    if not image:
        raise UsageError(f"squash: which image? Profile {name!r} has no container_image; name one")
    return str(image)
