"""Whether anybody wants OpenLineage events: by what its client is configured with.

A URL in ``OPENLINEAGE_URL``, variables ``OPENLINEAGE__…``, or a file: the one that
``OPENLINEAGE_CONFIG`` names, or ``openlineage.yml`` in the working directory or in
``~/.openlineage``.
``OPENLINEAGE_DISABLED=true`` turns it off. ``OPENLINEAGE_NAMESPACE`` names the jobs' namespace.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

DEFAULT_NAMESPACE = "runspec"

_FILE = "openlineage.yml"
_VARIABLES = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG")
_PREFIX = "OPENLINEAGE__"


def configured_by(
    environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> str | None:
    """What configures the client, for people; None when nothing does.

    Args:
        environ: the variables; default: this process's.
        folder: the working directory; default: this process's.
    """
    variables = os.environ if environ is None else environ
    if variables.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return None
    for name in _VARIABLES:
        if variables.get(name):
            return name
    for name in sorted(variables):
        if name.startswith(_PREFIX):
            return name
    home = variables.get("HOME")
    files = [(folder or Path.cwd()) / _FILE]
    files += [Path(home) / ".openlineage" / _FILE] if home else []
    return next((str(file) for file in files if file.is_file()), None)


def namespace(environ: Mapping[str, str] | None = None) -> str:
    """The namespace of our jobs."""
    variables = os.environ if environ is None else environ
    return variables.get("OPENLINEAGE_NAMESPACE") or DEFAULT_NAMESPACE
