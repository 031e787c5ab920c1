"""Our own source files, for where they are run as they are: on a node, by a bare interpreter."""

from __future__ import annotations

import pkgutil

from nemo_runspec.execution.errors import ExecutionError


def own_source(package: str, name: str) -> bytes:
    """The bytes of a file of ours, inside a PEX as well.

    Args:
        package: the package that it is in.
        name: the file.

    Raises:
        ExecutionError: we were installed without it.
    """
    source = pkgutil.get_data(package, name)
    if source is None:
        raise ExecutionError("nemo_runspec was installed without its source files; reinstall it")
    return source
