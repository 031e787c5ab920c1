"""How long W&B's client may take, as variables: they hold for whoever starts a run in the job.

Its own defaults wait 90 s for a server that is not there, and for ever at the end of a run. A
variable that is set already is left alone. The client goes on trying in the background, which
costs a run nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from nemo_runspec.exceptions import EnvError

SECONDS_VARIABLE = "RUNSPEC_WANDB_SECONDS"

# A little less than what is promised.
_SECONDS = 9.0
# What the client writes goes to the job's folder, not to the working directory and the home.
_PLACES = {"WANDB_DIR": "", "WANDB_DATA_DIR": "wandb/staging"}


@dataclass(frozen=True)
class Bounds:
    """How many seconds a run may lose to W&B.

    Attributes:
        total: in all.
    """

    total: float = _SECONDS

    @classmethod
    def of_environment(cls, environ: Mapping[str, str] | None = None) -> Bounds:
        """What ``RUNSPEC_WANDB_SECONDS`` says: more, where a slow server is worth waiting for.

        Raises:
            EnvError: it says no number of seconds.
        """
        written = (os.environ if environ is None else environ).get(SECONDS_VARIABLE)
        try:
            total = _SECONDS if written is None else float(written)
        except ValueError:
            total = -1.0
        if not 0 < total < float("inf"):
            raise EnvError(f"{SECONDS_VARIABLE} must be a number of seconds, not {written!r}")
        return cls(total)

    @property
    def questions(self) -> float:
        """To look up what the config names."""
        return self.total * 0.35

    @property
    def init(self) -> float:
        """To start a run."""
        return self.total * 0.4

    @property
    def calls(self) -> float:
        """For all that is between the start of a run and its end."""
        return self.total * 0.15

    @property
    def least_finish(self) -> float:
        """To end the run, whatever was lost before."""
        return self.total * 0.1

    @property
    def finish(self) -> float:
        """To end the run; less, where more was lost before."""
        return self.total * 0.65

    @property
    def request(self) -> int:
        """One request, in whole seconds."""
        return max(2, round(self.questions))


def bound_client(bounds: Bounds, environ: MutableMapping[str, str] | None = None) -> None:
    """Set the variables; before ``wandb`` is first used."""
    environment = os.environ if environ is None else environ
    limits = {
        "WANDB_INIT_TIMEOUT": f"{bounds.init:g}",
        "WANDB_FINISH_TIMEOUT": f"{bounds.finish:g}",
        "WANDB_HTTP_TIMEOUT": str(bounds.request),
        # A terminal is not asked for a key for ever.
        "WANDB_LOGIN_TIMEOUT": "1",
        # What there is to say we say: the client has a dozen lines for each trouble.
        "WANDB_SILENT": "true",
    }
    for name, value in {**limits, **_places(environment)}.items():
        environment.setdefault(name, value)


def is_offline(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment says that no server is to be spoken to."""
    mode = (os.environ if environ is None else environ).get("WANDB_MODE", "")
    return mode in ("offline", "disabled", "dryrun")


def _places(environ: Mapping[str, str]) -> dict[str, str]:
    folder = environ.get("NEMO_RUN_DIR", "")
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        return {}
    return {name: os.path.join(folder, below).rstrip("/") for name, below in _PLACES.items()}
