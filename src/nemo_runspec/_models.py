"""The models of ``[tool.runspec]``, handed on from the shared package."""

from runspec import Runspec, RunspecConfig, RunspecResources, RunspecRun

__all__ = ["Runspec", "RunspecConfig", "RunspecResources", "RunspecRun"]
