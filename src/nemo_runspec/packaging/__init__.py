"""NeMo-Run packagers: what of this checkout a job gets, as one archive.

The archives are the same, bit for bit, whenever what is in them is the same.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nemo_runspec.packaging.code_packager import CodePackager
    from nemo_runspec.packaging.self_contained_packager import SelfContainedPackager

__all__ = ["REMOTE_CONFIG", "REMOTE_SCRIPT", "CodePackager", "SelfContainedPackager"]

# What the script and its config are called in an archive.
REMOTE_SCRIPT = "main.py"
REMOTE_CONFIG = "config.yaml"

_MODULE_OF = {
    "CodePackager": "code_packager",
    "SelfContainedPackager": "self_contained_packager",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value
