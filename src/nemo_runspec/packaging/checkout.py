"""Which files of a checkout a job may get."""

from __future__ import annotations

import fnmatch
import os
import subprocess
from pathlib import Path, PurePath

from nemo_runspec.packaging.errors import PackagingError

# Names of files that hold secrets, by custom of the tools that write them.
_SECRET_NAMES = (
    ".env",
    ".env.*",
    "*.env",
    ".envrc",
    ".netrc",
    "_netrc",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".pgpass",
    ".credentials",
    "credentials",
    "credentials.*",
    "secrets.*",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "*.ppk",
    "*.asc",
    "*.gpg",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    "kubeconfig*",
    "service-account*.json",
    "*service_account*.json",
    "token",
    "*.token",
)
_SECRET_FOLDERS = frozenset({".aws", ".azure", ".gnupg", ".kube", ".ssh", ".secrets", "gcloud"})
# Outside of git nobody says what is ignored: what tools leave behind.
_LEFT_OUT = frozenset({".git", ".venv", "venv", "__pycache__", "node_modules", ".runspec", "wandb"})


def is_secret_file(path: PurePath) -> bool:
    """Whether a file is one that holds secrets, going by its name."""
    name = path.name.lower()
    return bool(_SECRET_FOLDERS.intersection(path.parts[:-1])) or any(
        fnmatch.fnmatchcase(name, pattern) for pattern in _SECRET_NAMES
    )


def tracked_files(root: Path) -> list[Path] | None:
    """What git tracks below a folder, submodules included, as relative paths; None without git."""
    return _git_files(root, "--recurse-submodules")


def untracked_files(root: Path) -> list[Path]:
    """What git neither tracks nor ignores below a folder, but for what holds secrets."""
    found = _git_files(root, "--others", "--exclude-standard") or []
    return [path for path in found if not is_secret_file(path)]


def all_files(root: Path) -> list[Path]:
    """The files of a folder that is no git checkout, but for secrets and what tools leave."""
    found = []
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in _LEFT_OUT]
        relative = Path(folder).relative_to(root)
        found += [relative / name for name in files]
        # A link to a folder is no file to the walk, and is packed as a link.
        found += [relative / name for name in names if (Path(folder) / name).is_symlink()]
    return [path for path in found if not is_secret_file(path)]


def _git_files(root: Path, *options: str) -> list[Path] | None:
    command = ["git", "-C", str(root), "ls-files", "-z", *options]
    try:
        done = subprocess.run(command, capture_output=True)
    except FileNotFoundError:
        return None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        if "not a git repository" in said:
            return None
        raise PackagingError(f"{root}: git ls-files: {said}")
    return [Path(os.fsdecode(name)) for name in done.stdout.split(b"\0") if name]
