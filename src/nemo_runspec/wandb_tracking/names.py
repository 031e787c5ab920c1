"""What artifacts of a store are called in Weights & Biases, and back.

W&B's names are letters, digits, ``.``, ``_`` and ``-``, at most 128 of them; names in a store may
have parts, separated by ``/``::

    user/ann/nano3-model   <->   user..ann..nano3-model

``/`` becomes ``..``. A ``.`` before another ``.``, a ``_``, a ``/`` or the end becomes ``._``, so
that each name has one form there and is got back from it; nearly all names stay as they are.

A version N of a store has the alias ``store-vN`` there: W&B counts from ``v0``, and by itself.
"""

from __future__ import annotations

import re

from nemo_runspec.exceptions import ArtifactError
from nemo_runspec.store.names import check_name

MAX_NAME = 128
WANDB_SCHEME = "wandb://"

_VERSION_ALIAS = "store-v"
_DOTS = re.compile(r"\.(?=[._/]|$)")
_ENCODED = re.compile(r"\.\.|\._")
_STORE_REFERENCE = re.compile(r"(?P<name>.+):v(?P<version>[0-9]+)")


class WandbNameError(ArtifactError, ValueError):
    """An artifact cannot be called that in W&B."""


def to_wandb_name(name: str) -> str:
    """The name in W&B of an artifact of a store.

    Raises:
        StoreNameError: nothing can be called that in a store.
        WandbNameError: it would be too long for W&B.
    """
    made = _DOTS.sub("._", check_name(name)).replace("/", "..")
    if len(made) > MAX_NAME:
        raise WandbNameError(
            f"{name!r} has {len(made)} letters as a name in W&B, which takes {MAX_NAME}; choose a "
            "shorter name, or set artifacts.wandb=false"
        )
    return made


def from_wandb_name(name: str) -> str:
    """The name in a store of an artifact that :func:`to_wandb_name` named."""
    return _ENCODED.sub(lambda match: "/" if match[0] == ".." else ".", name)


def version_alias(version: int) -> str:
    """The alias in W&B of a store's version."""
    return f"{_VERSION_ALIAS}{version}"


def to_wandb_reference(reference: str) -> str | None:
    """What to use in W&B for a version that was used: ``name:vN``, or ``wandb://…:vN``.

    Returns:
        The reference, without project where the version is a store's; None for anything else.
    """
    if reference.startswith(WANDB_SCHEME):
        return reference.removeprefix(WANDB_SCHEME)
    match = _STORE_REFERENCE.fullmatch(reference)
    if match is None or "://" in reference:
        return None
    try:
        name = to_wandb_name(match["name"])
    except WandbNameError:
        return None  # it is not there
    return f"{name}:{version_alias(int(match['version']))}"
