"""A training state in one ``.npz`` file, which NumPy alone can read, and the model around it."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipes.nano3.errors import InputError
from recipes.nano3.files import read_json, replace_file
from recipes.nano3.model import ModelSettings, Parameters
from recipes.nano3.optimizer import TrainingState
from recipes.nano3.tokenizer import Tokenizer

CHECKPOINT = "checkpoint.npz"
DESCRIPTION = "config.json"
TOKENIZER = "tokenizer.json"

_PARTS = ("parameters", "mean", "square")


@dataclass(frozen=True)
class Model:
    """All that is needed to use a model or to train it for something else."""

    shape: ModelSettings
    tokenizer: Tokenizer
    parameters: Parameters


def load_model(folder: Path) -> Model:
    """Reads what a training left.

    Raises:
        InputError: ``folder`` holds no model of ours.
    """
    if not (folder / CHECKPOINT).is_file():
        raise InputError(f"{folder}: no {CHECKPOINT}, so no model; name what a training left")
    description = folder / DESCRIPTION
    try:
        shape = ModelSettings(**read_json(description)["model"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{description}: does not describe a model of ours ({error})") from error
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    return Model(shape, tokenizer, load_checkpoint(folder / CHECKPOINT).parameters)


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
