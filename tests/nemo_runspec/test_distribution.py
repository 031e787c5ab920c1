"""The wheel: what src/pyproject.toml says of it is true."""

from __future__ import annotations

import ast
import fnmatch
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nemo_runspec
from nemo_runspec import cli, filesystem, torchx_tracker

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SOURCES = Path(nemo_runspec.__file__).parent.parent
# What is imported by another name than it is installed by.
DISTRIBUTIONS = {"yaml": "pyyaml"}


def document() -> dict[str, Any]:
    return tomllib.loads((SOURCES / "pyproject.toml").read_text("utf-8"))


def test_its_commands_and_entry_points_are_there() -> None:
    project = document()["project"]
    groups = project["entry-points"]
    assert pkgutil.resolve_name(project["scripts"]["nemo-runspec"]) is cli.main
    assert pkgutil.resolve_name(groups["fsspec.specs"]["art"]) is filesystem.ArtifactFileSystem
    tracker = groups["torchx.tracker"]["nemo_runspec"]
    assert pkgutil.resolve_name(tracker) is torchx_tracker.create_tracker


def test_it_holds_every_file_that_is_no_python() -> None:
    patterns = document()["tool"]["setuptools"]["package-data"]["*"]
    others = [
        path
        for package in ("nemo_runspec", "runspec")
        for path in (SOURCES / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and path.name != "BUILD"
    ]
    assert {"page.html", "py.typed"} <= {path.name for path in others}
    left_out = [path for path in others if not any(fnmatch.fnmatch(path.name, p) for p in patterns)]
    assert left_out == []


def imported_at_once(body: list[ast.stmt]) -> Iterator[str]:
    """The packages that a module's import needs: none of those in functions or for types alone."""
    for statement in body:
        if isinstance(statement, ast.Import):
            yield from (each.name.partition(".")[0] for each in statement.names)
        elif isinstance(statement, ast.ImportFrom) and not statement.level:
            yield str(statement.module).partition(".")[0]
        elif isinstance(statement, ast.If) and "TYPE_CHECKING" not in ast.unparse(statement.test):
            yield from imported_at_once([*statement.body, *statement.orelse])


def test_it_requires_what_its_modules_import() -> None:
    project = document()["project"]
    listed = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    required = {re.split(r"[<>=!~;\[ ]", each)[0].replace("_", "-") for each in listed}
    needed = {
        name
        for package in ("nemo_runspec", "runspec")
        for path in (SOURCES / package).rglob("*.py")
        for name in imported_at_once(ast.parse(path.read_text("utf-8")).body)
        if name not in sys.stdlib_module_names and name not in ("nemo_runspec", "runspec")
    }
    assert "pydantic" in needed
    # Python's own from 3.11 on; before that its place is taken.
    needed.discard("tomllib")
    assert {DISTRIBUTIONS.get(each, each) for each in needed} <= required
