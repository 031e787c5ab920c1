"""NeMo-Run packagers: what of this checkout a job gets, as one archive.

The archives are the same, bit for bit, whenever what is in them is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_runspec._lazy import lazy_names

if TYPE_CHECKING:
    from nemo_runspec.packaging.code_packager import CodePackager
    from nemo_runspec.packaging.self_contained_packager import SelfContainedPackager

__all__ = ["REMOTE_CONFIG", "REMOTE_SCRIPT", "CodePackager", "SelfContainedPackager"]

# What the script and its config are called in an archive.
REMOTE_SCRIPT = "main.py"
REMOTE_CONFIG = "config.yaml"

__getattr__ = lazy_names(
    __name__,
    {
        "CodePackager": f"{__name__}.code_packager",
        "SelfContainedPackager": f"{__name__}.self_contained_packager",
    },
)
