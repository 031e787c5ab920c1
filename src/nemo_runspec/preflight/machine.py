"""What `doctor` looks at without a profile: this machine, the repository, what env.toml says."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.settings import ArtifactsSettings
from nemo_runspec.env import (
    ENV_FILE_NAME,
    ENV_FILE_VARIABLE,
    find_env_file,
    list_profiles,
    load_env_file,
    load_env_profile,
    profile_executor,
)
from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.execution.registry import get_executor
from nemo_runspec.jobs import jobs_root
from nemo_runspec.preflight.checks import Check
from nemo_runspec.preflight.pants_cache import check_pants_cache
from nemo_runspec.preflight.store import check_store
from nemo_runspec.preflight.wandb_login import check_wandb
from nemo_runspec.store_admin.text import human_size, plural
from nemo_runspec.utils import find_repository_root

# A job's folder with its bundle and log is small; its output is not, and goes there by default.
_ENOUGH_BYTES = 1 << 30
_GIT_SECONDS = 10.0


def machine_checks(settings: Callable[[], ArtifactsSettings]) -> Iterator[Check]:
    """Everything that can be seen without a profile.

    Args:
        settings: finds out how the store is used.
    """
    yield from _env_file()
    places = {"jobs": jobs_root()}
    try:
        found = settings()
    except NemoRunspecError as error:
        yield Check("store", False, str(error), f"mend {ENV_FILE_NAME}: it says where the store is")
    else:
        yield from check_store(found)
        if found.wandb:
            yield check_wandb()
        if found.root is not None and "://" not in found.root:
            places["store"] = Path(found.root).expanduser()
    yield _git()
    yield from _disk(places)
    root = find_repository_root()
    if root is not None and (root / "pants.toml").is_file():
        yield from check_pants_cache(root)


def _env_file() -> Iterator[Check]:
    """The file, and each of its profiles."""
    named = os.environ.get(ENV_FILE_VARIABLE)
    try:
        tables = load_env_file()
    except NemoRunspecError as error:
        fix = "mend it; `nemo-runspec init` in an empty folder shows the form"
        if named and not Path(named).exists():
            fix = f"let {ENV_FILE_VARIABLE} name a file that is there, or unset it"
        yield Check(ENV_FILE_NAME, False, str(error), fix)
        return
    file = Path(named) if named else find_env_file()
    if file is None:
        here = "none; jobs run on this machine (`nemo-runspec init` writes one)"
        yield Check(ENV_FILE_NAME, True, here)
        return
    profiles = list_profiles(tables)
    yield Check(ENV_FILE_NAME, True, f"{file}: {plural(len(profiles), 'profile')}")
    broken = [check for name in profiles if (check := _broken_profile(name, file, tables))]
    if broken:
        yield from broken
    elif profiles:
        executors = sorted({profile_executor(name, tables) or "local" for name in profiles})
        yield Check("profiles", True, f"valid; executors: {', '.join(executors)}")


def _broken_profile(name: str, file: Path, tables: dict[str, Any]) -> Check | None:
    try:
        load_env_profile(name, file)
        get_executor(profile_executor(name, tables) or "local")
    except NemoRunspecError as error:
        return Check(f"profile {name}", False, str(error), f"change [{name}] in {file}")
    return None


def _git() -> Check:
    """Git, which says of which commit a version is; without it they say nothing of one."""
    if shutil.which("git") is None:
        return Check("git", False, "no git in PATH", "install git; versions then name their commit")
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_GIT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        why = f"no answer within {_GIT_SECONDS:g} s"
        return Check("git", False, why, "look with `git status`; is the repository on a slow disk?")
    if done.returncode:
        return Check("git", True, "no commit here: versions are recorded without one")
    return Check("git", True, f"at {done.stdout.strip()}")


def _disk(places: Mapping[str, Path]) -> Iterator[Check]:
    for what, folder in places.items():
        there = next(
            path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()
        )
        free = shutil.disk_usage(there).free
        yield Check(
            f"disk of {what}",
            free >= _ENOUGH_BYTES,
            f"{human_size(free)} free at {there}",
            "free some space: `nemo-runspec store gc` says what nothing needs",
        )
