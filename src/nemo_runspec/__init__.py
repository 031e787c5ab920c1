"""nemo_runspec: run recipe scripts that describe themselves.

A recipe script carries its name, image, launch method, config folder and resources in a PEP 723
block (``[tool.runspec]``). This package reads it, composes the config, and runs the script::

    from nemo_runspec import parse

    spec = parse("src/recipes/nano3/stage0_pretrain/train.py")
    spec.name        # "nano3/pretrain"
    spec.config_dir  # the absolute path of its config folder

Importing the package is cheap: whatever takes time to import is imported where it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nemo_runspec._models import Runspec, RunspecConfig, RunspecResources, RunspecRun
    from nemo_runspec._parser import parse

__all__ = ["Runspec", "RunspecConfig", "RunspecResources", "RunspecRun", "parse"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nemo_runspec import _models, _parser

    value = getattr(_parser if name == "parse" else _models, name)
    globals()[name] = value
    return value
