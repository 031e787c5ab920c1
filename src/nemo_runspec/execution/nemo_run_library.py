"""NeMo-Run, imported when it is first needed: a second of time and two thousand modules."""

from __future__ import annotations

from typing import Any

from nemo_runspec.exceptions import NemoRunspecError
from nemo_runspec.optional import MissingPackageError, optional_import

# Where NeMo-Run shows a job its folder: mounted there, a link, or written in its place.
RUN_DIR = "/nemo_run"
CODE_DIR = f"{RUN_DIR}/code"

_INSTALL = "pip install nemo_run==0.11.1 leptonai==0.27.3"


class MissingNemoRunError(MissingPackageError):
    """NeMo-Run is needed and is not here."""


def nemo_run(needed_for: str, module: str = "nemo_run") -> Any:
    """NeMo-Run, or a module of it.

    Args:
        needed_for: what cannot be done without it: `executor 'docker'`.
        module: the module.

    Raises:
        MissingNemoRunError: it cannot be imported.
    """
    try:
        return optional_import(module, needed_for=needed_for)
    except NemoRunspecError as error:
        cause = error.__cause__
        raise MissingNemoRunError(
            f"{needed_for} needs NeMo-Run, which cannot be imported ({cause}); install it: "
            f"{_INSTALL} (its own pin of leptonai does not import)"
        ) from cause
