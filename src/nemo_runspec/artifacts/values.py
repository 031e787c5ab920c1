"""Python objects as versions: ``save_value("metrics", {...})``, ``load_value("metrics:latest")``.

A serializer is chosen by what the object is; third parties add theirs. Pickle is used where the
caller names it, and nowhere else, for reading a pickle runs what is in it.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from nemo_runspec._names import hint
from nemo_runspec.artifacts.current import get_tracker
from nemo_runspec.artifacts.references import ResolvedArtifact
from nemo_runspec.artifacts.tracking import ArtifactTrackingResult, log_artifact
from nemo_runspec.artifacts.types import ValueArtifact
from nemo_runspec.artifacts.view import active_view, parse_uri
from nemo_runspec.exceptions import ArtifactError
from nemo_runspec.manifest_tracker import OUTPUT_VARIABLE, ManifestTracker
from nemo_runspec.optional import MissingPackageError, optional_import
from nemo_runspec.store.names import check_name
from nemo_runspec.utils import find_repository_root

_logger = logging.getLogger(__name__)

PICKLE = "pickle"

_FOLDER = "values"
_STEM = "value"


class SerializerError(ArtifactError, ValueError):
    """An object cannot be written, or not be read back."""


class Serializer(Protocol):
    """How objects of some kind are written.

    Attributes:
        name: what it is called in the metadata and by callers.
        suffix: of its files, with the dot.
    """

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    def handles(self, value: Any) -> bool:
        """Whether `value` comes back as it was; imports nothing to find out."""
        ...

    def write(self, value: Any, path: Path) -> None:
        """Write `value` to a new file."""
        ...

    def read(self, path: Path) -> Any:
        """Read a file back."""
        ...


def save_value(
    name: str,
    value: Any,
    *,
    tracking: ArtifactTrackingResult | None = None,
    serializer: str | None = None,
    folder: Path | str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> ValueArtifact:
    """Write an object and log it as a new version.

    Args:
        name: what to log it as.
        value: the object: what JSON has, a NumPy array or a dict of them, a pandas DataFrame or
            Series, a PyTorch tensor or a dict of them, or what a registered serializer handles.
        tracking: from ``setup_artifact_tracking``; default: what this process has set up.
        serializer: the name of the one to use; ``"pickle"`` is used by name alone.
        folder: where to write; default: ``values`` in RUNSPEC_OUTPUT_DIR, without a job in the
            repository's ``.runspec``. Each call writes to a folder of its own there.
        metadata: more that is known of it.

    Returns:
        The artifact, logged unless tracking is off.

    Raises:
        StoreNameError: nothing can be called that.
        SerializerError: nothing handles the object, or it cannot be written.
        ArtifactError: it cannot be logged.
    """
    check_name(name)
    chosen = _chosen(value, serializer)
    file = f"{_STEM}{chosen.suffix}"
    with tempfile.TemporaryDirectory(prefix="runspec-value-") as temporary:
        made = Path(temporary) / file
        try:
            chosen.write(value, made)
        except (SerializerError, MissingPackageError):
            raise
        except Exception as error:  # whatever a serializer, perhaps a third party's, raises
            raise SerializerError(
                f"{name}: {_type_name(value)} cannot be written by {chosen.name}: {error}"
            ) from error
        place = _put(made, _base(folder), name)
    artifact = ValueArtifact(
        path=place,
        serializer=chosen.name,
        file=file,
        python_type=_type_name(value),
        metadata=dict(metadata or {}),
    )
    if tracking is not None:
        log_artifact(artifact, tracking, name=name)
        return artifact
    tracker = get_tracker() or ManifestTracker.of_view(active_view())
    log_artifact(artifact, ArtifactTrackingResult(manifest=True, tracker=tracker), name=name)
    return artifact


def load_value(reference: str, *, serializer: str | None = None) -> Any:
    """Read an object that :func:`save_value` wrote.

    Args:
        reference: ``name[:version]`` or ``art://name[:version]``.
        serializer: ``"pickle"`` to read a pickle, which runs the code in it: name it only where
            you trust who wrote it.

    Returns:
        The object.

    Raises:
        ArtifactError: the version cannot be found, or is no object.
        SerializerError: it cannot be read, or is a pickle that was not asked for.
    """
    view = active_view()
    return value_of(view.find(parse_uri(reference)), view.storage_options, serializer=serializer)


def value_of(
    found: ResolvedArtifact, storage_options: Mapping[str, Any], *, serializer: str | None = None
) -> Any:
    """As :func:`load_value`, of a version that was found.

    Args:
        found: the version.
        storage_options: for the filesystem of its data.
        serializer: as there.
    """
    artifact = ValueArtifact.from_resolved(found)
    origin = artifact.uri or found.reference
    if artifact.serializer == PICKLE and serializer != PICKLE:
        raise SerializerError(
            f"{origin} is a pickle: loading it runs the code in it; pass serializer='pickle' if "
            "you trust who wrote it"
        )
    if serializer not in (None, artifact.serializer):
        raise SerializerError(f"{origin} was written by {artifact.serializer}, not {serializer}")
    chosen = _named(artifact.serializer)
    if chosen.name == PICKLE:
        _logger.warning("%s is a pickle: loading it runs the code in it", origin)
    with _local_file(artifact, storage_options) as file:
        try:
            return chosen.read(file)
        except (SerializerError, MissingPackageError):
            raise
        except Exception as error:  # whatever a serializer, perhaps a third party's, raises
            raise SerializerError(
                f"{origin}: {file} cannot be read by {chosen.name}: {error}"
            ) from error


def register_serializer(serializer: Serializer) -> None:
    """Add a serializer; it is asked before those that are there.

    Raises:
        SerializerError: there is one of this name.
    """
    if any(known.name == serializer.name for known in _serializers):
        raise SerializerError(f"there is a serializer {serializer.name!r} already")
    _serializers.insert(0, serializer)


def _chosen(value: Any, name: str | None) -> Serializer:
    if name is not None:
        return _named(name)
    for serializer in _serializers:
        if serializer.name != PICKLE and serializer.handles(value):
            return serializer
    raise SerializerError(
        f"nothing writes {_type_name(value)} so that it comes back as it was: make it of dicts "
        "with text keys, lists, texts and numbers, register_serializer one for it, or pass "
        "serializer='pickle', whose loading runs code"
    )


def _named(name: str) -> Serializer:
    for serializer in _serializers:
        if serializer.name == name:
            return serializer
    names = [serializer.name for serializer in _serializers]
    raise SerializerError(f"no serializer {name!r}; {hint(name, names, kind='Serializers')}")


def _base(folder: Path | str | None) -> str:
    if folder is not None:
        return str(folder)
    output = os.environ.get(OUTPUT_VARIABLE)
    if output:
        return f"{output.rstrip('/')}/{_FOLDER}"
    return str((find_repository_root() or Path.cwd()) / ".runspec" / _FOLDER)


def _put(made: Path, base: str, name: str) -> str:
    """Put a file into a new folder below `base`, whole or not at all."""
    if "://" in base:
        fsspec = optional_import("fsspec", needed_for=base)
        place = f"{base.rstrip('/')}/{name}/{uuid.uuid4().hex}"
        options = dict(active_view().storage_options)
        filesystem, path = fsspec.core.url_to_fs(place, **options)
        filesystem.pipe_file(f"{path}/{made.name}", made.read_bytes())
        return place
    parent = Path(base).absolute() / name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=".writing-", dir=parent))
        try:
            building.chmod(parent.stat().st_mode & 0o7777)
            shutil.copyfile(made, building / made.name)
            return str(_move_to_number(building, parent))
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
    except OSError as error:
        raise SerializerError(f"{parent}: cannot be written: {error.strerror}") from error


def _move_to_number(building: Path, parent: Path) -> Path:
    number = 1
    while True:
        place = parent / str(number)
        try:
            # A folder with something in it is never replaced: the loser takes the next number.
            building.rename(place)
        except OSError:
            if not place.exists():
                raise
            number += 1
        else:
            return place


@contextmanager
def _local_file(artifact: ValueArtifact, options: Mapping[str, Any]) -> Iterator[Path]:
    if isinstance(artifact.path, Path):
        yield artifact.path / artifact.file
        return
    fsspec = optional_import("fsspec", needed_for=artifact.path)
    with tempfile.TemporaryDirectory(prefix="runspec-value-") as temporary:
        file = Path(temporary) / artifact.file
        filesystem, path = fsspec.core.url_to_fs(artifact.path, **options)
        file.write_bytes(filesystem.cat_file(f"{path.rstrip('/')}/{artifact.file}"))
        yield file


def _type_name(value: object) -> str:
    kind = type(value)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


class _Json:
    name = "json"
    suffix = ".json"

    def handles(self, value: Any) -> bool:
        if value is None or type(value) in (bool, int, float, str):
            return True
        if type(value) is list:
            return all(self.handles(item) for item in value)
        return type(value) is dict and all(
            type(key) is str and self.handles(item) for key, item in value.items()
        )

    def write(self, value: Any, path: Path) -> None:
        if not self.handles(value):
            raise SerializerError(
                f"JSON does not give {_type_name(value)} back as it was: it has dicts with text "
                "keys, lists, texts, numbers, booleans and None"
            )
        path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")

    def read(self, path: Path) -> Any:
        return json.loads(path.read_text(encoding="utf-8"))


class _Numpy:
    name = "numpy"
    suffix = ".npz"

    # A lone array goes by a key that no caller's dict can have beside others.
    _alone = "__value__"

    def handles(self, value: Any) -> bool:
        if _is_of(value, "numpy", "ndarray") or _is_of(value, "numpy", "generic"):
            return True
        return (
            type(value) is dict
            and bool(value)
            and all(
                type(key) is str and _is_of(item, "numpy", "ndarray") for key, item in value.items()
            )
        )

    def write(self, value: Any, path: Path) -> None:
        numpy = optional_import("numpy", needed_for="a NumPy value")
        arrays = value if isinstance(value, dict) else {self._alone: value}
        for key, array in arrays.items():
            if numpy.asarray(array).dtype.hasobject:
                raise SerializerError(
                    f"the array {key!r} holds Python objects, which only a pickle keeps; convert "
                    "it, or pass serializer='pickle'"
                )
        with path.open("wb") as file:
            numpy.savez(file, **arrays)

    def read(self, path: Path) -> Any:
        with optional_import("numpy", needed_for="a NumPy value").load(
            path, allow_pickle=False
        ) as archive:
            arrays = {key: archive[key] for key in archive.files}
        if set(arrays) == {self._alone}:
            value = arrays[self._alone]
            return value if value.ndim else value[()]
        return arrays


class _Pandas:
    name = "pandas"
    suffix = ".parquet"

    def handles(self, value: Any) -> bool:
        return _is_of(value, "pandas", "DataFrame") or _is_of(value, "pandas", "Series")

    def write(self, value: Any, path: Path) -> None:
        pandas = optional_import("pandas", needed_for="a pandas value")
        optional_import("pyarrow", needed_for="a pandas value")
        frame = value
        if isinstance(value, pandas.Series):
            frame = value.to_frame(name="value")
            frame.attrs = {"runspec_series": True, "runspec_name": value.name}
        frame.to_parquet(path, engine="pyarrow")

    def read(self, path: Path) -> Any:
        pandas = optional_import("pandas", needed_for="a pandas value")
        optional_import("pyarrow", needed_for="a pandas value")
        frame = pandas.read_parquet(path, engine="pyarrow")
        if not frame.attrs.get("runspec_series"):
            return frame
        series = frame["value"].rename(frame.attrs["runspec_name"])
        series.attrs = {}
        return series


class _Torch:
    name = "safetensors"
    suffix = ".safetensors"

    _alone = "__value__"

    def handles(self, value: Any) -> bool:
        if _is_of(value, "torch", "Tensor"):
            return True
        return (
            isinstance(value, dict)
            and bool(value)
            and all(
                type(key) is str and _is_of(item, "torch", "Tensor") for key, item in value.items()
            )
        )

    def write(self, value: Any, path: Path) -> None:
        library = optional_import("safetensors.torch", needed_for="a PyTorch value")
        tensors = value if isinstance(value, dict) else {self._alone: value}
        library.save_file(
            {key: tensor.detach().contiguous() for key, tensor in tensors.items()}, str(path)
        )

    def read(self, path: Path) -> Any:
        tensors = optional_import("safetensors.torch", needed_for="a PyTorch value").load_file(
            str(path)
        )
        return tensors[self._alone] if set(tensors) == {self._alone} else tensors


class _Pickle:
    name = PICKLE
    suffix = ".pickle"

    def handles(self, value: Any) -> bool:
        return False

    def write(self, value: Any, path: Path) -> None:
        with path.open("wb") as file:
            pickle.dump(value, file)

    def read(self, path: Path) -> Any:
        with path.open("rb") as file:
            return pickle.load(file)


_serializers: list[Serializer] = [_Numpy(), _Pandas(), _Torch(), _Json(), _Pickle()]


def _is_of(value: Any, module: str, name: str) -> bool:
    # Whose module nobody has imported, it cannot be an object of.
    loaded = sys.modules.get(module)
    kind = getattr(loaded, name, None)
    return isinstance(kind, type) and isinstance(value, kind)
