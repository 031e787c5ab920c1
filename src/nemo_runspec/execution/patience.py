"""How long those are waited for who do not answer."""

from __future__ import annotations

import os
from collections.abc import Mapping

from nemo_runspec.exceptions import ConfigError

PATIENCE_VARIABLE = "RUNSPEC_PATIENCE"
DEFAULT_SECONDS = 600.0


def patience_seconds(environ: Mapping[str, str] = os.environ) -> float:
    """How long those are waited for who do not answer: `RUNSPEC_PATIENCE`, else ten minutes.

    Raises:
        ConfigError: the variable holds no number of seconds.
    """
    text = environ.get(PATIENCE_VARIABLE)
    if not text:
        return DEFAULT_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ConfigError(f"{PATIENCE_VARIABLE}={text!r} is no number of seconds, 0 or more")
    return seconds
