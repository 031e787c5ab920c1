"""What artifacts are: a path with metadata, typed where it helps.

class EvalResults(Artifact):
    accuracy: float

results = EvalResults(path=folder, accuracy=0.93)
results.metadata["accuracy"]     # 0.93: own fields are metadata too
log_artifact(results, tracking, name="eval-results")

EvalResults.from_uri("art://eval-results:v3").accuracy
"""

from __future__ import annotations

import builtins
import dataclasses
import json
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from nemo_runspec._names import hint
from nemo_runspec.artifacts.content import METADATA_FILE, VOLATILE
from nemo_runspec.artifacts.current import get_tracker
from nemo_runspec.artifacts.plain import plain_json
from nemo_runspec.artifacts.references import ResolvedArtifact
from nemo_runspec.artifacts.view import active_view, note_use, parse_uri
from nemo_runspec.exceptions import ArtifactError, ArtifactNotFoundError
from nemo_runspec.optional import optional_import
from nemo_runspec.utils import write_atomically

if TYPE_CHECKING:
    from nemo_runspec.store.model import Manifest

A = TypeVar("A", bound="Artifact")

_SPOILT_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(?!/)")


def _location(value: Any) -> Any:
    """A path as a Path; a URL as the text that it is, which a Path would spoil."""
    if isinstance(value, str) and "://" in value:
        return value.removeprefix("file://") if value.startswith("file:///") else value
    if isinstance(value, Path) and _SPOILT_URL.match(str(value)):
        raise ValueError(f"{str(value)!r} is a URL that Path has spoilt; give it as a text")
    return value


def _location_type(value: Any) -> Any:
    located = _location(value)
    return Path(located) if isinstance(located, str) and "://" not in located else located


Location = Annotated[Path | str, BeforeValidator(_location_type)]


class ArtifactDataError(ArtifactError, ValueError):
    """What is known of an artifact does not fit its class."""


class TrackingInfo(BaseModel):
    """Where an artifact was logged.

    Attributes:
        artifact_id: ``name:vN``.
        artifact_type: the class that logged it.
        run_id: the run that did.
        url: its page, where the tracker has one.
        used_artifacts: ``name:vN`` of what it was made from.
    """

    artifact_id: str | None = None
    artifact_type: str | None = None
    run_id: str | None = None
    url: str | None = None
    used_artifacts: list[str] = Field(default_factory=list)


def _now() -> str:
    return datetime.now().astimezone().isoformat()


class Artifact(BaseModel):
    """A path with metadata.

    A subclass adds fields; they stand in ``metadata`` as well, where configs find them
    (``${art:data,pack_size}``). What is in ``metadata`` can be read as an attribute.

    Attributes:
        volatile: fields of the class that say nothing of the content, such as durations.
        path: where the data is: a path, or a URL as text.
        type: the name of the class.
        metadata: whatever is known of it, in JSON's terms.
        created_at: ISO 8601 with zone.
        producer: the run that made it.
        tracking: where it was logged.
        name: what it is logged as, where the call that logs it does not say.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    volatile: ClassVar[frozenset[str]] = VOLATILE

    path: Location
    type: str = "Artifact"
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at: str = Field(default_factory=_now)
    producer: str | None = None
    tracking: TrackingInfo | None = None
    name: str | None = None

    _name: str | None = PrivateAttr(default=None)
    _version: int | None = PrivateAttr(default=None)
    _used_artifacts: list[str] = PrivateAttr(default_factory=list)

    @classmethod
    def own_fields(cls) -> list[str]:
        """The fields that subclasses add, in their order."""
        return [name for name in cls.model_fields if name not in Artifact.model_fields]

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        metadata = data.get("metadata") or {}
        if not isinstance(metadata, Mapping):
            return data
        # What the class does not know is not lost: it may be a field of the one that wrote it.
        more = {key: value for key, value in data.items() if key not in cls.model_fields}
        known = {**more, **metadata}
        filled = {name: known[name] for name in cls.own_fields() if name in known}
        given = {key: data[key] for key in cls.model_fields if data.get(key) is not None}
        kind = data.get("type")
        return {
            **filled,
            **given,
            "metadata": known,
            "type": cls.__name__ if kind in (None, "artifact", "Artifact") else kind,
        }

    @model_validator(mode="after")
    def _keep_fields_in_metadata(self: A) -> A:
        for name in self.own_fields():
            self._keep_in_metadata(name, getattr(self, name))
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in self.own_fields():
            self._keep_in_metadata(name, value)

    def _keep_in_metadata(self, name: str, value: Any) -> None:
        if value is not None:
            self.metadata[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            # Pydantic's own, for private attributes; it hides it from type checkers.
            return super().__getattr__(name)  # type: ignore[misc]
        except AttributeError:
            if name.startswith("_"):
                raise
            metadata = self.__dict__.get("metadata", {})
            if name in metadata:
                return metadata[name]
            known = {*type(self).model_fields, *metadata}
            raise AttributeError(
                f"{type(self).__name__} has no field {name!r}; {hint(name, known, kind='Fields')}"
            ) from None

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers among the metadata."""
        return {
            key: float(value)
            for key, value in self.metadata.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }

    @property
    def uri(self) -> str | None:
        """``art://name:vN``; None before it is logged."""
        if self._name is None or self._version is None:
            return None
        return f"art://{self._name}:v{self._version}"

    @property
    def version(self) -> int | None:
        """The version's number; None before it is logged."""
        return self._version

    def get_input_uris(self) -> list[str]:
        """URLs of what it was made from outside of any store; for subclasses to say."""
        return []

    def output_dir(self) -> Path | str:
        """The folder that holds its data and its ``metadata.json``."""
        return self.path

    def document(self) -> dict[str, Any]:
        """All that is known of it, as ``metadata.json`` holds it."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        document: dict[str, Any] = plain_json(fields)
        return document

    def default_name(self) -> str | None:
        """What it is logged as by its own ``name``; None when it has none.

        ``super3/pretrain/data?sample=100`` becomes ``super3-pretrain-data``, as the configs in the
        field have it.
        """
        if not self.name:
            return None
        return self.name.partition("?")[0].replace("/", "-")

    def mark_logged(self, manifest: Manifest, info: Mapping[str, Any]) -> None:
        """Remember which version it became, and where it was logged."""
        self._name, self._version = manifest.name, manifest.version
        self.mark_tracked(info)

    def mark_tracked(self, info: Mapping[str, Any]) -> None:
        """Remember where it was logged, where that is no store."""
        self.tracking = TrackingInfo(**info)

    def write_metadata(self) -> None:
        """Write ``metadata.json`` beside the data, whole or not at all.

        Raises:
            ArtifactError: it cannot be written, or there is no data.
        """
        folder = self.output_dir()
        text = json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n"
        if isinstance(folder, str):
            fsspec = optional_import("fsspec", needed_for=folder)
            target = f"{folder.rstrip('/')}/{METADATA_FILE}"
            options = dict(active_view().storage_options)
            with fsspec.open(target, "w", encoding="utf-8", **options) as file:
                file.write(text)
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not Path(self.path).exists():
                raise ArtifactError(
                    f"{self.path}: there is no such file; an artifact is saved after its data is "
                    "written"
                )
            write_atomically(folder / METADATA_FILE, text)
        except OSError as error:
            raise ArtifactError(
                f"{folder}: {METADATA_FILE} cannot be written: {error.strerror}"
            ) from error

    def save(self, name: str | None = None) -> None:
        """Write ``metadata.json`` beside the data and log a version, if versions are tracked.

        Args:
            name: what to log it as; default: its own name, else what the job's target promises,
                else its type.

        Raises:
            ArtifactError: ``metadata.json`` cannot be written, or the version not be logged.
        """
        tracker = get_tracker()
        if self.producer is None:
            self.producer = (tracker.get_run_id() if tracker else None) or "local"
        self.write_metadata()
        if tracker is not None:
            tracker.record_artifact(self, name, self._used_artifacts)

    @classmethod
    def load(
        cls: builtins.type[A], path: Path | str | None = None, tracked_artifact: str | None = None
    ) -> A:
        """Read an artifact back.

        Args:
            path: its folder, or a file beside its ``metadata.json``.
            tracked_artifact: ``name[:version]`` or ``art://name[:version]`` in the store.
                Without either, standard input says the path: ``{"path": …}``.

        Raises:
            ArtifactError: there is none, or it is not one of this class.
        """
        if tracked_artifact is not None:
            return cls.from_uri(tracked_artifact)
        if path is None:
            path = _path_from_stdin()
        folder = Path(path)
        file = (folder if folder.is_dir() else folder.parent) / METADATA_FILE
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ArtifactNotFoundError(
                str(path), f"{path}: no artifact was saved there (it has no {METADATA_FILE})"
            ) from error
        except (OSError, ValueError) as error:
            raise ArtifactDataError(f"{file}: cannot be read: {error}") from error
        if not isinstance(document, dict):
            raise ArtifactDataError(f"{file}: must be a mapping, not {document!r}")
        artifact = cls.from_document({"path": str(folder), **document}, str(file))
        logged = artifact.tracking.artifact_id if artifact.tracking else None
        if logged:
            note_use(logged)
        return artifact

    @classmethod
    def from_uri(cls: builtins.type[A], uri: str) -> A:
        """The version that ``art://name[:version]`` means; it counts as used from here on.

        In a planned job ``latest`` means the version that the job's inputs are pinned to.

        Raises:
            ConfigError: the text is no such URI.
            ArtifactError: it cannot be found, or is not one of this class.
        """
        return cls.from_resolved(active_view().find(parse_uri(uri)))

    @classmethod
    def from_resolved(cls: builtins.type[A], found: ResolvedArtifact) -> A:
        """An artifact of this class from a version that was found.

        Raises:
            ArtifactDataError: it is not one of this class.
        """
        document = {"type": found.type, **found.metadata, "path": found.path}
        artifact = cls.from_document(document, found.reference)
        artifact._name, artifact._version = found.name, int(found.version.removeprefix("v"))
        return artifact

    @classmethod
    def from_document(cls: builtins.type[A], document: Mapping[str, Any], origin: str) -> A:
        """An artifact of this class from its ``metadata.json``.

        Args:
            document: the document.
            origin: what to name in an error.

        Raises:
            ArtifactDataError: it does not fit.
        """
        try:
            return cls.model_validate(dict(document))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "it"
            raise ArtifactDataError(
                f"{origin}: is no {cls.__name__}: {where}: {first['msg']} (its type is "
                f"{document.get('type')!r})"
            ) from error

    def to_json(self) -> str:
        """Its path and type, as a program behind a pipe reads them."""
        return json.dumps({"path": str(self.path), "type": self.type})

    def __str__(self) -> str:
        return self.to_json()


def _path_from_stdin() -> str:
    if sys.stdin is None or sys.stdin.isatty():
        raise ArtifactError("no artifact is named; give a path, or a reference such as data:v3")
    try:
        document = json.loads(sys.stdin.read())
    except ValueError as error:
        raise ArtifactDataError(f"standard input names no artifact: no JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("path"), str):
        raise ArtifactDataError('standard input names no artifact; it must be {"path": …}')
    path: str = document["path"]
    return path


def artifact_class(type_name: str | None) -> type[Artifact]:
    """The class of this name among those that this process knows; else :class:`Artifact`."""
    found = [Artifact]
    for known in found:
        if known.__name__ == type_name:
            return known
        found += known.__subclasses__()
    return Artifact


def artifact_of(found: ResolvedArtifact) -> Artifact:
    """A version as an artifact of the class that logged it, where that is known and fits."""
    kind = artifact_class(found.type)
    try:
        return kind.from_resolved(found)
    except ArtifactDataError:
        # Logged by another version of the class: its fields are in the metadata all the same.
        return Artifact.from_resolved(found)


def _source_uri(source: str | dict[str, Any]) -> str | None:
    uri = source if isinstance(source, str) else source.get("uri")
    return None if uri is None else str(uri)


def _plain_source(value: Any) -> Any:
    if dataclasses.is_dataclass(value) or isinstance(value, BaseModel):
        return plain_json(value)
    return value


Sources = list[Annotated[str | dict[str, Any], BeforeValidator(_plain_source)]]


class _PreparedData(Artifact):
    """What data preparation leaves.

    Attributes:
        elapsed_sec: how long it took, in seconds.
        source_datasets: URLs of what it was made from, or mappings with a ``uri``.
    """

    elapsed_sec: float = Field(default=0.0, ge=0)
    source_datasets: Sources = Field(default_factory=list)

    def get_input_uris(self) -> list[str]:
        """The source data sets."""
        uris = [_source_uri(source) for source in self.source_datasets]
        return [uri for uri in uris if uri is not None]


class _TokenizedData(_PreparedData):
    """Tokens.

    Attributes:
        total_tokens: how many there are.
        total_sequences: how many documents they were.
        num_shards: the number of files they lie in.
        blend_path: the ``blend.json`` that names them.
        train_tokens: how many of them are to train on.
        valid_tokens: … to validate on.
        test_tokens: … to test on.
        tokenizer_uri: the tokenizer that made them.
    """

    total_tokens: int = Field(ge=0)
    total_sequences: int = Field(ge=0)
    num_shards: int | None = Field(default=None, ge=1)
    blend_path: str | None = None
    train_tokens: int | None = Field(default=None, ge=0)
    valid_tokens: int | None = Field(default=None, ge=0)
    test_tokens: int | None = Field(default=None, ge=0)
    tokenizer_uri: str | None = None

    def get_input_uris(self) -> list[str]:
        """The source data sets and the tokenizer."""
        return [*super().get_input_uris(), *([self.tokenizer_uri] if self.tokenizer_uri else [])]


class PretrainBlendsArtifact(_TokenizedData):
    """Tokenized blends to pre-train on; the path is their folder."""


class PretrainDataArtifact(_TokenizedData):
    """Tokenized shards to pre-train on; the path is their folder."""


class DataBlendsArtifact(_TokenizedData):
    """Tokenized blends; the path is the ``blend.json`` or its folder."""

    def output_dir(self) -> Path | str:
        """The folder of the ``blend.json``."""
        return _folder_of(self.path)


class SFTDataArtifact(_TokenizedData):
    """Packed sequences for supervised fine-tuning; the path is their folder.

    Attributes:
        pack_size: tokens of a packed sequence, at most.
        training_path: the file to train on, where there is one.
        validation_path: … to validate on.
        test_path: … to test on.
        metadata_path: what describes the packing.
        data_format: how they are stored.
    """

    pack_size: int = Field(ge=1)
    training_path: str | None = None
    validation_path: str | None = None
    test_path: str | None = None
    metadata_path: str | None = None
    data_format: str = "packed_sft_parquet"


class SplitJsonlDataArtifact(_PreparedData):
    """JSON lines in splits; the path is their ``manifest.json`` or its folder.

    Attributes:
        total_sequences: how many documents there are.
        train: the folder to train on.
        val: … to validate on.
        test: … to test on.
    """

    total_sequences: int = Field(default=0, ge=0)
    train: str | None = None
    val: str | None = None
    test: str | None = None

    def output_dir(self) -> Path | str:
        """The folder of the ``manifest.json``."""
        return _folder_of(self.path)


class ModelArtifact(Artifact):
    """A checkpoint; the path is its folder.

    Attributes:
        step: the training step.
        final_loss: the loss at the end.
    """

    step: int = Field(ge=0)
    final_loss: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _step_of_checkpoints(cls, data: Any) -> Any:
        # Checkpoint hooks in the field write `iteration` alone.
        if not isinstance(data, dict) or data.get("step") is not None:
            return data
        metadata = data.get("metadata")
        layers = [data, metadata if isinstance(metadata, Mapping) else {}]
        steps = [layer[key] for key in ("step", "iteration") for layer in layers if key in layer]
        return {**data, "step": steps[0]} if steps else data


class ValueArtifact(Artifact):
    """A Python object that ``save_value`` wrote; the path is its folder.

    Attributes:
        serializer: the name of what wrote it.
        file: the file in the folder.
        python_type: the object's class, for people.
    """

    serializer: str
    file: str
    python_type: str = ""


def _folder_of(path: Path | str) -> Path | str:
    if isinstance(path, str):
        head, _, tail = path.rstrip("/").rpartition("/")
        return head if "." in tail else path
    return path if path.is_dir() else path.parent
