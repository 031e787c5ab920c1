"""The wall between the build side and the run side: who imports what, read off the sources.

It runs on the library's Python, which knows its standard library's names and newer syntax.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What the library needs and Pants' own interpreter does not have, and what the library is itself.
RUN_SIDE = {
    "nemo_runspec",
    "numpy",
    "omegaconf",
    "pydantic",
    "recipes",
    "rich",
    "typer",
}
BUILD_SIDE = {"pants", "pants_runspec"}
# What the interpreter of Pants has beside its standard library, and what the library's have.
OF_THE_PLUGIN = {"packaging", "pants", "pants_runspec", "runspec", "tomli", "yaml"}
OF_THE_PARSER = {"runspec", "tomli"}


def sources(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, f"no sources in {folder}: they are missing among the dependencies of this test"
    return found


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the top-level package of every import, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield node.lineno, (node.module or "").partition(".")[0]


def offenders(folder: str, forbidden: set[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line}: {package}"
        for path in sources(folder)
        for line, package in imports(path)
        if package in forbidden
    ]


def strangers(folder: str, allowed: set[str]) -> list[str]:
    """Return the imports that are neither allowed nor of the standard library."""
    everything = {package for path in sources(folder) for _, package in imports(path)}
    return offenders(folder, everything - allowed - sys.stdlib_module_names)


def test_the_build_side_imports_nothing_of_the_run_side() -> None:
    assert offenders("pants-plugins", RUN_SIDE) == []


@pytest.mark.parametrize("folder", ["src/nemo_runspec", "src/recipes", "src/runspec"])
def test_the_run_side_imports_nothing_of_the_build_side(folder: str) -> None:
    assert offenders(folder, BUILD_SIDE) == []


def test_the_plugin_needs_what_pants_has() -> None:
    assert strangers("pants-plugins", OF_THE_PLUGIN) == []


def test_the_shared_parser_needs_the_standard_library_and_tomli_only() -> None:
    assert strangers("src/runspec", OF_THE_PARSER) == []


def test_an_offence_is_seen(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("import os\n\ndef f():\n    from omegaconf.base import x, y\n")
    assert list(imports(source)) == [(1, "os"), (4, "omegaconf")]
