"""The session of this process with Weights & Biases, made when it is first needed."""

from __future__ import annotations

from nemo_runspec.artifacts.current import set_run_page
from nemo_runspec.artifacts.notes import warn_once
from nemo_runspec.optional import MissingPackageError
from nemo_runspec.wandb_tracking.client import one_line
from nemo_runspec.wandb_tracking.session import Session

_MISSING = (
    'artifacts.wandb is set, but wandb cannot be used ({reason}): add "wandb" to the '
    "dependencies of the script's PEP 723 block, or set artifacts.wandb=false; nothing is sent to "
    "Weights & Biases"
)

_session: list[Session] = []
_unusable: list[MissingPackageError] = []


def session() -> Session:
    """The dealings of this process with W&B.

    Raises:
        MissingPackageError: ``wandb`` is not installed, or cannot be imported.
        EnvError: ``RUNSPEC_WANDB_SECONDS`` says no number of seconds.
    """
    if _unusable:
        raise _unusable[0]
    if not (_session and _session[0].is_own):
        try:
            _session[:] = [Session()]
        except MissingPackageError as error:
            _unusable.append(error)
            raise
    return _session[0]


def known_session() -> Session | None:
    """As :func:`session`; None where ``wandb`` is not to be had."""
    try:
        return session()
    except MissingPackageError:
        return None


def wanted_session() -> Session | None:
    """As :func:`known_session`; says, once, why there is none."""
    found = known_session()
    if found is None:
        error = _unusable[0]
        warn_once(_MISSING.format(reason=one_line(error.__cause__ or error)))
    return found


def forget_session() -> None:
    """Begin anew, as another process would."""
    _session.clear()
    _unusable.clear()
    set_run_page(None)
