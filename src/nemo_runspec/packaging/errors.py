"""What can go wrong with packing a job's code."""

from __future__ import annotations

from nemo_runspec.exceptions import NemoRunspecError


class PackagingError(NemoRunspecError, ValueError):
    """The code of a job cannot be packed."""
