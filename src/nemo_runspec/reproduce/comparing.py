"""Whether a version that was made again holds the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nemo_runspec.artifacts.content import (
    OUTPUT_TOKEN,
    VOLATILE,
    ContentError,
    content_digest,
    content_files,
)
from nemo_runspec.pipeline.reason import Reason, diff_parts
from nemo_runspec.store import Manifest, Store
from nemo_runspec.store_admin.opening import Place

_SHOWN = 20


@dataclass(frozen=True)
class Outcome:
    """What came out.

    Attributes:
        reference: the version that was made again, ``name:vN``.
        is_same: whether the content is the same; None where nobody can tell.
        why: what is otherwise, or why nobody can tell; empty where it is the same.
        files: how each file differs, by path: ``changed``, ``not made again`` or ``new``.
        fields: the fields of the metadata that differ: as they were and as they are now.
        reasons: with what it was made otherwise; none where it has the same key.
        kept: the folder that was left; None where it was removed.
    """

    reference: str
    is_same: bool | None
    why: str
    files: Mapping[str, str]
    fields: Mapping[str, tuple[Any, Any]]
    reasons: tuple[Reason, ...] = ()
    kept: str | None = None

    def text(self) -> str:
        """What came out, for people: a line, and what differs below it."""
        if self.is_same:
            lines = [f"{self.reference} was made again: the content is the same"]
        elif self.is_same is None:
            lines = [f"{self.reference} was made again; nobody can tell whether it is the same"]
        else:
            lines = [f"{self.reference} was made again, and the content differs"]
        if self.why:
            lines.append(f"  {self.why}")
        lines += [f"  made otherwise: {reason.text()}" for reason in self.reasons]
        told = [f"  {path or 'the file'}: {how}" for path, how in self.files.items()]
        told += [f"  field {name}: {old} -> {new}" for name, (old, new) in self.fields.items()]
        lines += told[:_SHOWN]
        if len(told) > _SHOWN:
            lines.append(f"  and {len(told) - _SHOWN:,} more, which --format=json lists")
        if self.kept:
            lines.append(f"left to look at: {self.kept}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The attributes as plain data."""
        return {
            "reference": self.reference,
            "is_same": self.is_same,
            "why": self.why,
            "files": dict(self.files),
            "fields": {name: list(both) for name, both in self.fields.items()},
            "reasons": [reason.to_json() for reason in self.reasons],
            "kept": self.kept,
        }


def compare(place: Place, old: Manifest, scratch: Store, new: Manifest) -> Outcome:
    """Compare the content of two versions, one in each store.

    Args:
        place: where the older one is.
        old: the older one.
        scratch: where the newer one is.
        new: the newer one.
    """
    was, now = _metadata(place.store, old), _metadata(scratch, new)
    reasons = tuple(
        diff_parts(
            old.parts or {}, new.parts or {}, old_explain=old.explain, new_explain=new.explain
        )
    )

    def outcome(is_same: bool | None, why: str = "", **values: Any) -> Outcome:
        told: dict[str, Any] = {"files": {}, "fields": {}, **values}
        return Outcome(old.reference, is_same, why, reasons=reasons, **told)

    options = place.options_for(old.path)
    try:
        after = _digest(new, now, {})
        before = _digest(old, was, options)
    except ContentError as error:
        return outcome(None, f"no digest was taken of its content, and now {error}")
    if before == after:
        return outcome(True)
    fields = {
        name: (was.get(name), now.get(name))
        for name in sorted({*was, *now})
        if was.get(name) != now.get(name)
    }
    try:
        files = _differing(
            content_files(old.path, base=_base(old), storage_options=options),
            content_files(new.path, base=_base(new)),
        )
    except ContentError as error:
        return outcome(False, f"which files differ cannot be told: {error}", fields=fields)
    if not files and not fields:
        return outcome(False, "its files are the same now: they were changed since it was made")
    return outcome(False, files=files, fields=fields)


def _digest(manifest: Manifest, metadata: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    if manifest.content is not None and manifest.content.startswith("sha256:"):
        return manifest.content
    digest = content_digest(
        manifest.path, metadata, "hash", base=_base(manifest), storage_options=options
    )
    return str(digest)


def _base(manifest: Manifest) -> str | None:
    """The output folder, as far as the manifest says it."""
    facts = manifest.extra.get("digested")
    base = facts.get("base") if isinstance(facts, Mapping) else None
    return None if base is None else str(base)


def _metadata(store: Store, manifest: Manifest) -> dict[str, Any]:
    """The fields that count, with the output folder's path taken out."""
    document = store.metadata(manifest.name, manifest.version)
    inner = document.get("metadata")
    fields = {**document, **(inner if isinstance(inner, Mapping) else {})}
    left_out = {*VOLATILE, "metadata", "path", "type"}
    folders = sorted({manifest.path, _base(manifest) or manifest.path}, key=len, reverse=True)
    return {key: _without(value, folders) for key, value in fields.items() if key not in left_out}


def _without(value: Any, folders: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(each, folders) for key, each in value.items()}
    if isinstance(value, list):
        return [_without(each, folders) for each in value]
    if isinstance(value, str):
        for folder in folders:
            value = value.replace(folder, OUTPUT_TOKEN)
    return value


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for path in sorted({*before, *after}):
        if path not in after:
            found[path] = "not made again"
        elif path not in before:
            found[path] = "new"
        elif before[path] != after[path]:
            found[path] = "changed"
    return found
