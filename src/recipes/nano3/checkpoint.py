"""A training state in one ``.npz`` file, which NumPy alone can read."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from recipes.nano3.errors import InputError
from recipes.nano3.files import replace_file
from recipes.nano3.model import Parameters
from recipes.nano3.optimizer import TrainingState

_PARTS = ("parameters", "mean", "square")


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Writes arrays ``step``, ``parameters/NAME``, ``mean/NAME`` and ``square/NAME``."""
    arrays = {
        f"{part}/{name}": value for part in _PARTS for name, value in getattr(state, part).items()
    }
    with replace_file(path) as file:
        np.savez(file, step=np.array(state.step), **arrays)


def load_checkpoint(path: Path) -> TrainingState:
    """Raises InputError if ``path`` is no checkpoint."""
    try:
        with np.load(path) as archive:
            arrays = dict(archive)
        return TrainingState(int(arrays["step"]), *(_part(arrays, part) for part in _PARTS))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: no checkpoint of ours ({error}); remove it to start anew"
        ) from error


def _part(arrays: Parameters, part: str) -> Parameters:
    prefix = f"{part}/"
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
