"""What a job is told about the build that it is part of.

``RUNSPEC_JOB_CONTEXT`` is the path of a JSON file that the launcher or the supervisor writes
before the job starts. It pins every input to a version, so that no process of the job asks the
store, and carries what the versions that the job logs are to say about themselves. The job
answers with one line for each version that it logged (:func:`read_records`).

Both ends use the types of this module; it needs the standard library alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from nemo_runspec.exceptions import ArtifactError
from nemo_runspec.store.model import Manifest

SCHEMA = "1"
VARIABLE = "RUNSPEC_JOB_CONTEXT"

ContentMode = Literal["hash", "stat", "none"]


class JobContextError(ArtifactError):
    """The job context, or the records beside it, cannot be read or written."""


@dataclass(frozen=True)
class JobInput:
    """A version that the job builds on.

    Attributes:
        name: the artifact's name.
        version: the version's number.
        path: where its data is: a path or a URL.
        type: the class that logged it.
        metadata: its ``metadata.json``.
        identity: what the job's key takes it for.
    """

    name: str
    version: int
    path: str
    type: str = "Artifact"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    identity: str | None = None

    @property
    def reference(self) -> str:
        """``name:vN``."""
        return f"{self.name}:v{self.version}"


@dataclass(frozen=True)
class MissingInput:
    """An input that could not be made, where the job was to go on without it."""

    name: str
    reason: str


@dataclass(frozen=True)
class JobRecord:
    """A version that the job logged.

    Attributes:
        name: the artifact's name.
        version: the version's number.
        path: where its data is.
        content: the digest of its content, if one was taken.
        checkpoint: logged on the way by a training framework: never the answer to a key.
        identity: what those that build on it take it for.
        url: the page of the run that logged it, where a tracker has one.
    """

    name: str
    version: int
    path: str
    content: str | None
    checkpoint: bool
    identity: str
    url: str | None = None

    @classmethod
    def of(cls, manifest: Manifest) -> JobRecord:
        """The record of a version that is in the store."""
        return cls(
            name=manifest.name,
            version=manifest.version,
            path=manifest.path,
            content=manifest.content,
            checkpoint=bool(manifest.extra.get("checkpoint")),
            identity=manifest.identity,
            url=_page_of(manifest),
        )


def _page_of(manifest: Manifest) -> str | None:
    tracking = manifest.extra.get("tracking")
    url = tracking.get("url") if isinstance(tracking, Mapping) else None
    return url if isinstance(url, str) else None


@dataclass(frozen=True)
class JobContext:
    """The document that ``RUNSPEC_JOB_CONTEXT`` names.

    Attributes:
        root: the store's root; None when the job has no store.
        shared: ``group`` when files are to be group-writable.
        storage_options: for the store's filesystem; never secrets.
        artifact: the name that the job's target promises; the default name for what it logs.
        key: the key of the build.
        parts: what the key was made of.
        explain: what the parts stand for.
        content: how the content of what it logs is identified.
        inputs: the pinned inputs by the key of the config's ``run`` section that names them.
        input_list: all inputs in order of declaration, joined ones too.
        missing: inputs that the job goes on without.
        output_dir: the folder that is the job's own to write to.
        run: facts for the manifests: user, host, commit, dirty, profile, bundle, recipe, address,
            nodes, gpus (of each node), job, started_at.
        element: ``index`` and ``value`` of the element that a fan-out job is for.
        records: the file that the job appends its :class:`JobRecord` lines to.
    """

    root: str | None = None
    shared: Literal["group"] | None = None
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    artifact: str | None = None
    key: str | None = None
    parts: Mapping[str, Any] | None = None
    explain: Mapping[str, Any] | None = None
    content: ContentMode = "hash"
    inputs: Mapping[str, JobInput] = field(default_factory=dict)
    input_list: tuple[JobInput, ...] = ()
    missing: tuple[MissingInput, ...] = ()
    output_dir: str | None = None
    run: Mapping[str, Any] = field(default_factory=dict)
    element: Mapping[str, Any] | None = None
    records: str | None = None

    def pinned(self, name: str) -> JobInput | None:
        """The input of this name, if the job has exactly one version of it."""
        found = {
            item.reference: item
            for item in (*self.input_list, *self.inputs.values())
            if item.name == name
        }
        return next(iter(found.values())) if len(found) == 1 else None

    def to_json(self) -> str:
        """The document, as :func:`read_job_context` reads it."""
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "store": {
                "root": self.root,
                "shared": self.shared,
                "storage_options": dict(self.storage_options),
            },
            "artifact": self.artifact,
            "key": self.key,
            "parts": self.parts,
            "explain": self.explain,
            "content": self.content,
            "inputs": {key: asdict(item) for key, item in self.inputs.items()},
            "input_list": [asdict(item) for item in self.input_list],
            "missing": [asdict(item) for item in self.missing],
            "output_dir": self.output_dir,
            "run": dict(self.run),
            "records": self.records,
        }
        if self.element is not None:
            document["element"] = dict(self.element)
        return json.dumps(document, indent=2, ensure_ascii=False)


def job_context(environ: Mapping[str, str] | None = None) -> JobContext | None:
    """The context of this job; None in a script that nobody planned.

    Raises:
        JobContextError: as :func:`read_job_context`.
    """
    path = (os.environ if environ is None else environ).get(VARIABLE)
    return read_job_context(path) if path else None


def read_job_context(path: str | Path) -> JobContext:
    """Read a job context; keys that this version does not know are ignored.

    Raises:
        JobContextError: the file cannot be read, is no such document, or is of a later schema.
    """
    origin = f"{path} ({VARIABLE})"
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise JobContextError(
            f"{origin}: cannot be read: {error.strerror}; start the job through its launcher, or "
            f"unset {VARIABLE}"
        ) from error
    except ValueError as error:
        raise JobContextError(f"{origin}: is no JSON: {error}") from error
    return _Reader(origin).context(document)


def append_record(path: str | Path, record: JobRecord) -> None:
    """Append a record, whole, whatever other processes of the job append.

    Raises:
        JobContextError: it cannot be written.
    """
    line = (json.dumps(asdict(record), ensure_ascii=False) + "\n").encode()
    try:
        # One write to a file opened for appending: lines of several processes do not mix.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            written = os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise JobContextError(f"{path}: cannot be written: {error.strerror}") from error
    if written != len(line):
        raise JobContextError(f"{path}: cannot be written: no space left")


def read_records(path: str | Path) -> list[JobRecord]:
    """The records of a job, in the order they were written; none when it wrote none.

    A last line without its end was cut off by a kill: its version is in the store, not here.

    Raises:
        JobContextError: the file cannot be read, or a line is no record.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise JobContextError(f"{path}: cannot be read: {error.strerror}") from error
    whole = text[: text.rfind("\n") + 1]
    return [_record(line, f"{path}:{n}") for n, line in enumerate(whole.splitlines(), 1)]


def _record(line: str, origin: str) -> JobRecord:
    reader = _Reader(origin)
    try:
        document = json.loads(line)
    except ValueError as error:
        raise JobContextError(f"{origin}: is no JSON: {error}") from error
    item = reader.mapping(document, "the line")
    return JobRecord(
        name=reader.text(item.get("name"), "name"),
        version=reader.number(item.get("version"), "version"),
        path=reader.text(item.get("path"), "path"),
        content=reader.optional_text(item.get("content"), "content"),
        checkpoint=bool(item.get("checkpoint", False)),
        identity=reader.text(item.get("identity"), "identity"),
        url=reader.optional_text(item.get("url"), "url"),
    )


@dataclass(frozen=True)
class _Reader:
    """Values out of a JSON document, checked; ``origin`` is what an error names."""

    origin: str

    def context(self, document: Any) -> JobContext:
        top = self.mapping(document, "the document")
        schema = str(top.get("schema"))
        if schema.partition(".")[0] != SCHEMA:
            raise JobContextError(
                f"{self.origin}: schema {schema!r} is not {SCHEMA!r}; use the version of "
                "nemo_runspec in the job that the launcher has"
            )
        store = self.mapping(top.get("store") or {}, "store")
        content = top.get("content", "hash")
        if content not in get_args(ContentMode):
            raise self._wrong("content", "hash, stat or none", content)
        shared = store.get("shared")
        if shared not in (None, "group"):
            raise self._wrong("store.shared", "group or null", shared)
        inputs = self.mapping(top.get("inputs") or {}, "inputs")
        element = top.get("element")
        parts, explain = top.get("parts"), top.get("explain")
        return JobContext(
            root=self.optional_text(store.get("root"), "store.root"),
            shared=shared,
            storage_options=self.mapping(
                store.get("storage_options") or {}, "store.storage_options"
            ),
            artifact=self.optional_text(top.get("artifact"), "artifact"),
            key=self.optional_text(top.get("key"), "key"),
            parts=None if parts is None else self.mapping(parts, "parts"),
            explain=None if explain is None else self.mapping(explain, "explain"),
            content=content,
            inputs={key: self.input(item, f"inputs.{key}") for key, item in inputs.items()},
            input_list=tuple(
                self.input(item, f"input_list[{n}]")
                for n, item in enumerate(self.items(top.get("input_list") or [], "input_list"))
            ),
            missing=tuple(
                self.missing(item, f"missing[{n}]")
                for n, item in enumerate(self.items(top.get("missing") or [], "missing"))
            ),
            output_dir=self.optional_text(top.get("output_dir"), "output_dir"),
            run=self.mapping(top.get("run") or {}, "run"),
            element=None if element is None else self.mapping(element, "element"),
            records=self.optional_text(top.get("records"), "records"),
        )

    def input(self, value: Any, where: str) -> JobInput:
        item = self.mapping(value, where)
        return JobInput(
            name=self.text(item.get("name"), f"{where}.name"),
            version=self.number(item.get("version"), f"{where}.version"),
            path=self.text(item.get("path"), f"{where}.path"),
            type=self.text(item.get("type", "Artifact"), f"{where}.type"),
            metadata=self.mapping(item.get("metadata") or {}, f"{where}.metadata"),
            identity=self.optional_text(item.get("identity"), f"{where}.identity"),
        )

    def missing(self, value: Any, where: str) -> MissingInput:
        item = self.mapping(value, where)
        return MissingInput(
            name=self.text(item.get("name"), f"{where}.name"),
            reason=self.text(item.get("reason"), f"{where}.reason"),
        )

    def mapping(self, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(where, "a mapping", value)
        return value

    def items(self, value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise self._wrong(where, "a list", value)
        return value

    def text(self, value: Any, where: str) -> str:
        if not isinstance(value, str):
            raise self._wrong(where, "a text", value)
        return value

    def optional_text(self, value: Any, where: str) -> str | None:
        return None if value is None else self.text(value, where)

    def number(self, value: Any, where: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(where, "a whole number", value)
        return value

    def _wrong(self, where: str, wanted: str, value: Any) -> JobContextError:
        return JobContextError(f"{self.origin}: {where} must be {wanted}, not {value!r}")
