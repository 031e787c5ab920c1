"""`nemo-runspec import data|model`: existing data as versions of the class that it plainly is.

`store add` records anything and has to be told what it is; these read it off the files that data
preparation and training leave, and record it in the same way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nemo_runspec.artifacts.content import METADATA_FILE
from nemo_runspec.command_line import PROFILE, Command, Flag, Given, run_group, run_parsed
from nemo_runspec.exceptions import UsageError
from nemo_runspec.store.names import check_name
from nemo_runspec.store_admin.adding import (
    CONTENT,
    METADATA,
    Found,
    absolute,
    metadata_of,
    record_data,
)

IMPORT_HELP = """\
usage: nemo-runspec import COMMAND …

commands:
  data NAME PATH      prepared data: a folder with blend.json or manifest.json
  model NAME PATH     a checkpoint

The data stays where it is. `store add NAME PATH --type T` records what has no
such files. `nemo-runspec import COMMAND --help` tells more.
"""

_BLEND = "blend.json"
_SPLITS = "manifest.json"
# Megatron: the last iteration as text, "release" for converted ones; and its folders.
_TRACKER = "latest_checkpointed_iteration.txt"
_ITERATION = re.compile(r"(?:iter|step)[_-]?(\d+)")
_MODEL = "ModelArtifact"

DATA = Command(
    "import data",
    "NAME PATH",
    (
        "Records prepared data as the next version of NAME. A blend.json makes it a "
        "DataBlendsArtifact, a manifest.json of splits a SplitJsonlDataArtifact; a metadata.json "
        "beside it says its class and fields itself, and --type and -m say the rest.",
    ),
    (
        Flag(("--type", "-t"), "its class, if the files do not show it or show another", "TYPE"),
        METADATA,
        CONTENT,
        PROFILE,
    ),
    at_least=2,
    at_most=2,
    examples=(
        "import data nano3-pretrain-data /data/blends/blend.json -m total_tokens=3000000",
        "import data nano3-sft-data /data/sft -t SFTDataArtifact -m pack_size=4096",
    ),
)
MODEL = Command(
    "import model",
    "NAME PATH",
    (
        "Records a checkpoint as the next version of NAME, a ModelArtifact. The step is read from "
        "latest_checkpointed_iteration.txt or from a folder's name such as iter_0005000, unless "
        "--step says it.",
    ),
    (
        Flag(("--step", "-s"), "the training step", "N"),
        Flag(("--loss",), "the loss at the end", "LOSS"),
        METADATA,
        CONTENT,
        PROFILE,
    ),
    at_least=2,
    at_most=2,
    examples=("import model nano3-base /lustre/checkpoints/iter_0010000 --content stat",),
)


def run_import(arguments: Sequence[str]) -> int:
    """`nemo-runspec import data|model`; returns the exit code.

    Raises:
        NemoRunspecError: something is wrong with the command line, the data or the store.
    """

    def run(name: str, rest: Sequence[str]) -> int:
        return (
            run_parsed(MODEL, _model, rest) if name == MODEL.name else run_parsed(DATA, _data, rest)
        )

    return run_group("import", IMPORT_HELP, ("data", "model"), arguments, run)


def _data(given: Given) -> int:
    name, path = check_name(given.arguments[0]), _place_of(given.arguments[1])
    known = _saved(path)
    metadata = {**_fields(known), **metadata_of(given.values.get(METADATA.names[0], ()))}
    kind = given.value("--type") or _class_of(known) or _kind_of(path)
    if kind == "DataBlendsArtifact":
        # Counts that nobody took down; the class needs them.
        metadata = {"total_tokens": 0, "total_sequences": 0, **metadata}
    return record_data(given, name, Found(kind, _file_of(path), metadata, "nemo-runspec import"))


def _model(given: Given) -> int:
    name, path = check_name(given.arguments[0]), _place_of(given.arguments[1])
    metadata = {**_fields(_saved(path)), **metadata_of(given.values.get(METADATA.names[0], ()))}
    if given.has("--step"):
        metadata["step"] = given.number("--step", 0)
    elif "step" not in metadata and "iteration" not in metadata:
        metadata["step"] = _step_of(path)
    if given.has("--loss"):
        metadata["final_loss"] = _loss(str(given.value("--loss")))
    return record_data(given, name, Found(_MODEL, path, metadata, "nemo-runspec import"))


def _place_of(argument: str) -> str:
    """A path or URL as it is recorded.

    Raises:
        UsageError: nothing is there.
    """
    path = absolute(argument)
    if "://" not in path and not Path(path).exists():
        raise UsageError(f"{path}: nothing there; name the folder or file of the data")
    return path


def _kind_of(path: str) -> str:
    """The class that the files of data show.

    Raises:
        UsageError: they show none.
    """
    place = Path(path)
    names = {place.name} if place.is_file() else {_BLEND, _SPLITS}
    folder = place.parent if place.is_file() else place
    if _BLEND in names and (folder / _BLEND).is_file():
        return "DataBlendsArtifact"
    if _SPLITS in names and (folder / _SPLITS).is_file():
        return "SplitJsonlDataArtifact"
    raise UsageError(
        f"{path}: what data is it? It has no {_BLEND}, {_SPLITS} or {METADATA_FILE}; say it with "
        "--type PretrainDataArtifact, SFTDataArtifact, Artifact …"
    )


def _file_of(path: str) -> str:
    """What is recorded: the ``blend.json`` or ``manifest.json`` itself, as data preparation has it,
    or the folder where there is none."""
    files = [Path(path) / name for name in (_BLEND, _SPLITS)]
    return next((str(file) for file in files if file.is_file()), path)


def _saved(path: str) -> Mapping[str, Any]:
    """The ``metadata.json`` beside the data; empty without one."""
    place = Path(path)
    file = (place if place.is_dir() else place.parent) / METADATA_FILE
    if "://" in path or not file.is_file():
        return {}
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{file}: no JSON: {error}; mend it or move it away") from error
    return document if isinstance(document, dict) else {}


def _class_of(document: Mapping[str, Any]) -> str | None:
    kind = document.get("type")
    return kind if isinstance(kind, str) and kind.isidentifier() and kind != "artifact" else None


def _fields(document: Mapping[str, Any]) -> dict[str, Any]:
    fields = document.get("metadata")
    return dict(fields) if isinstance(fields, Mapping) else {}


def _step_of(path: str) -> int:
    tracker = Path(path) / _TRACKER
    if "://" not in path and tracker.is_file():
        text = tracker.read_text(encoding="utf-8").strip()
        if text.isdecimal():
            return int(text)
    found = _ITERATION.search(path.rstrip("/").rpartition("/")[2])
    if found is None:
        raise UsageError(
            f"{path}: which training step is it? It has no {_TRACKER} with a number; write --step N"
        )
    return int(found[1])


def _loss(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"--loss needs a number, not {text!r}") from error
