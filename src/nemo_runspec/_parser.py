"""The parser of ``[tool.runspec]``, handed on from the shared package."""

from runspec import parse

__all__ = ["parse"]
