"""Paths relative to the build root, as text."""

from __future__ import annotations

import os.path


def leaves_build_root(path: str) -> bool:
    """Tell whether a path, relative to the build root, leads out of it."""
    normal = os.path.normpath(path)
    return os.path.isabs(normal) or normal == ".." or normal.startswith("../")


def is_below(path: str, folder: str) -> bool:
    """Tell whether a path lies in a folder or below it; both relative to the build root."""
    return folder == "." or path.startswith(f"{folder}/")
