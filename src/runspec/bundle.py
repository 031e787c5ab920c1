"""`bundle.json`: what a job bundle says about itself, schema "1".

The build side writes it, the run side reads it; it is one of the two documents they share.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Optional

from runspec import fields
from runspec.errors import InvalidBundleError, PathLike
from runspec.fields import FieldProblem
from runspec.mapping import FrozenMapping
from runspec.models import Runspec

SCHEMA = "1"

_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Fingerprints:
    """SHA-256 digests, in hexadecimal, of what decides what a job computes.

    Args:
        code: the first-party sources.
        environment: the locked requirements and the interpreter constraints.
        config: the configs.
    """

    code: str
    environment: str
    config: str


@dataclass(frozen=True)
class Bundle:
    """What a job bundle says about itself. Paths are relative to the bundle, with slashes.

    Args:
        recipe: address of the recipe's target.
        spec: the recipe's runspec with the overrides of its target; its `script_path` is `script`
            below the bundle.
        script: the script.
        source_roots: folders that imports start from.
        fingerprints: of what decides what the job computes.
        files: first-party files and their source digests, by path in the build root.
        digest: SHA-256, in hexadecimal, over this document and all else of the bundle, or what
            that is made from: its identity.
        contents: SHA-256, in hexadecimal, of the bytes of each file below `code`, by path in the
            bundle; empty in a bundle whose build did not say.
        job_pex: the third-party requirements; None when there are none.
        inherit_path: whether packages that the interpreter has count too, as in an image.
        interpreter_constraints: the interpreters it runs on, such as `CPython>=3.11,<3.14`.
        requirements: version of each locked third-party distribution, by name.
        schema: version of the document.
    """

    recipe: str
    spec: Runspec
    script: str
    source_roots: tuple[str, ...]
    fingerprints: Fingerprints
    files: Mapping[str, str]
    digest: str
    contents: Mapping[str, str] = FrozenMapping()
    job_pex: Optional[str] = None
    inherit_path: bool = False
    interpreter_constraints: tuple[str, ...] = ()
    requirements: Mapping[str, str] = FrozenMapping()
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        for name in ("contents", "files", "requirements"):
            value = getattr(self, name)
            if not isinstance(value, FrozenMapping):
                object.__setattr__(self, name, FrozenMapping(value))


def to_json(bundle: Bundle) -> str:
    """Return the document, the same text for the same bundle on every machine."""
    document = {
        "schema": bundle.schema,
        "recipe": bundle.recipe,
        "spec": bundle.spec.to_dict(),
        "script": bundle.script,
        "source_roots": list(bundle.source_roots),
        "job_pex": bundle.job_pex,
        "inherit_path": bundle.inherit_path,
        "interpreter_constraints": list(bundle.interpreter_constraints),
        "requirements": dict(bundle.requirements),
        "fingerprints": {
            "code": bundle.fingerprints.code,
            "environment": bundle.fingerprints.environment,
            "config": bundle.fingerprints.config,
        },
        "files": dict(bundle.files),
        "contents": dict(bundle.contents),
        "digest": bundle.digest,
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def from_json(text: str, path: PathLike) -> Bundle:
    """Return the bundle that a document describes; unknown keys, of a later version, are ignored.

    Args:
        text: the document.
        path: its file, for messages, and the folder that the spec's `script_path` stands below.

    Raises:
        InvalidBundleError: another major schema, no JSON, a missing key or a wrong value.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidBundleError(
            path, error.lineno, f"the bundle is no JSON: {error.msg}", "make it anew"
        ) from None
    except RecursionError:
        raise InvalidBundleError(
            path, None, "the bundle is nested too deep", "make it anew"
        ) from None
    try:
        if not isinstance(document, dict):
            raise FieldProblem((), "the bundle is no JSON object", "make it anew")
        return _bundle(document, Path(path).parent)
    except FieldProblem as problem:
        name = f"{'.'.join(problem.keys)} " if problem.keys else ""
        raise InvalidBundleError(path, None, f"{name}{problem.problem}", problem.fix) from None


def _bundle(document: Mapping[str, Any], folder: Path) -> Bundle:
    schema = fields.string(document, ("schema",), "")
    if schema.partition(".")[0] != SCHEMA:
        raise FieldProblem(
            ("schema",),
            f"is {fields.show(schema)}, and this version reads {fields.show(SCHEMA)}",
            "use the launcher that the bundle was made with, or make the bundle anew",
        )
    for key in ("recipe", "spec", "script", "source_roots", "fingerprints", "files", "digest"):
        if key not in document:
            raise FieldProblem((key,), "is missing", "make the bundle anew")
    for key in ("code", "environment", "config"):
        if key not in fields.table(document, ("fingerprints",)):
            raise FieldProblem(("fingerprints", key), "is missing", "make the bundle anew")
    script = _inside(fields.string(document, ("script",), ""), ("script",))
    prints = fields.table(document, ("fingerprints",))
    job_pex = fields.optional_string(document, ("job_pex",))
    return Bundle(
        schema=schema,
        recipe=fields.string(document, ("recipe",), ""),
        spec=_spec(fields.table(document, ("spec",)), folder / script),
        script=script,
        source_roots=tuple(
            _inside(root, ("source_roots",)) for root in fields.strings(document, ("source_roots",))
        ),
        job_pex=None if job_pex is None else _inside(job_pex, ("job_pex",)),
        inherit_path=fields.boolean(document, ("inherit_path",), False),
        interpreter_constraints=fields.strings(document, ("interpreter_constraints",)),
        requirements=FrozenMapping(fields.string_table(document, ("requirements",))),
        fingerprints=Fingerprints(
            code=fields.string(prints, ("fingerprints", "code"), ""),
            environment=fields.string(prints, ("fingerprints", "environment"), ""),
            config=fields.string(prints, ("fingerprints", "config"), ""),
        ),
        files=FrozenMapping(fields.string_table(document, ("files",))),
        contents=FrozenMapping(
            {
                _inside(path, ("contents",)): value
                for path, value in fields.string_table(document, ("contents",)).items()
            }
        ),
        digest=_digest(fields.string(document, ("digest",), "")),
    )


def _spec(table: Mapping[str, Any], script_path: Path) -> Runspec:
    try:
        return Runspec.from_dict(table, script_path)
    except FieldProblem as problem:
        raise FieldProblem(("spec", *problem.keys), problem.problem, problem.fix) from None


def _digest(value: str) -> str:
    """Return a digest, which names a folder."""
    if not _DIGEST.fullmatch(value):
        raise FieldProblem(
            ("digest",),
            f"is {fields.show(value)}, not a SHA-256 in hexadecimal",
            "make the bundle anew",
        )
    return value


def _inside(path: str, keys: tuple[str, ...]) -> str:
    """Return a path that stays inside the bundle."""
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts:
        raise FieldProblem(
            keys, f"is {fields.show(path)}, outside the bundle", "make the bundle anew"
        )
    return path
