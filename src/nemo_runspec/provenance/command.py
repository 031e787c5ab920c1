"""``nemo-runspec provenance``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from nemo_runspec.command_line import Command, Flag, Given, run_parsed
from nemo_runspec.exceptions import UsageError
from nemo_runspec.provenance.statement import statement
from nemo_runspec.store.lineage import made_from
from nemo_runspec.store_admin.opening import find_readable, open_place
from nemo_runspec.utils import write_atomically

COMMAND = Command(
    "provenance",
    "NAME[:vN|:ALIAS]",
    (
        "Prints how a version came to be, as an in-toto statement (v1) with an SLSA provenance "
        "predicate (v1): what it was made of, by which recipe, config and commit, with digests.",
        "It is a claim, not signed: sign it with a tool such as cosign or in-toto. "
        "docs/provenance.md explains its fields.",
    ),
    (Flag(("--output",), "write to a file", "FILE"),),
    at_least=1,
    at_most=1,
    examples=("provenance sft-model:v3 --output sft-model.intoto.json",),
)


def run_provenance(arguments: Sequence[str]) -> int:
    """``nemo-runspec provenance``; returns the exit code."""
    return run_parsed(COMMAND, _run, arguments)


def _run(given: Given) -> int:
    place = open_place(given)
    manifest = find_readable(place, given.arguments[0])
    inputs = place.store.manifests(made_from(manifest))
    attached = place.store.attached(manifest.name, manifest.version)
    text = json.dumps(statement(manifest, inputs, attached), indent=2) + "\n"
    output = given.value("--output")
    if output is None:
        print(text, end="")
        return 0
    path = Path(output)
    try:
        write_atomically(path, text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    print(path)
    return 0
