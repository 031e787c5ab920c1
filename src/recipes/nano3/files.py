"""Files that are whole or not there: what a killed job leaves behind is never half a file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from recipes.nano3.errors import InputError

# The file of an output folder that tells what the artifact is that the folder becomes.
METADATA = "metadata.json"


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a new file that takes the place of ``path`` once its block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, because a rename is atomic only within one filesystem.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp lets nobody but the owner read
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    # POSIX has no way to read the mask but to set it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    with replace_file(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, document: object) -> None:
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def read_text(path: Path) -> str:
    """Raises InputError if the file is not there or is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error


def read_json(path: Path) -> dict[str, Any]:
    """Raises InputError if the file is not there or holds no JSON object."""
    try:
        document = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: no valid JSON: {error.msg}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: a JSON object is needed, not {type(document).__name__}")
    return document


def write_json_lines(path: Path, documents: Iterable[object]) -> None:
    lines = (json.dumps(document, ensure_ascii=False) for document in documents)
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Raises InputError if the file is not there or a line holds no JSON object."""
    documents = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line:
            continue
        try:
            document = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}:{number}: no valid JSON: {error.msg}") from error
        if not isinstance(document, dict):
            kind = type(document).__name__
            raise InputError(f"{path}:{number}: a JSON object is needed, not {kind}")
        documents.append(document)
    return documents


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
