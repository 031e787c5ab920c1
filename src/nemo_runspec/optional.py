"""Libraries that only some need: imported by name, when they are first used.

An import statement would make each a requirement of every recipe that imports this library: Pants
finds those in functions, too.
"""

from __future__ import annotations

import importlib
from typing import Any

from nemo_runspec.exceptions import NemoRunspecError


class MissingPackageError(NemoRunspecError, ImportError):
    """A library that is needed now is not installed."""


def optional_import(module: str, *, needed_for: str, distribution: str | None = None) -> Any:
    """The module of that name.

    Args:
        module: such as ``pyarrow.parquet``.
        needed_for: what cannot be done without it: ``s3:// stores``.
        distribution: what to install, if it has another name than the module's first part.

    Raises:
        MissingPackageError: it is not installed, or cannot be imported.
    """
    wanted = distribution or module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"{needed_for} needs {wanted}, which cannot be imported ({error}); a recipe lists it "
            "under `dependencies` in its script's block, elsewhere install it beside nemo-runspec"
        ) from error
