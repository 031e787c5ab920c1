"""What a recipe that logs artifacts depends on: its code's fingerprint holds all of it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import nemo_runspec
from nemo_runspec import artifacts

SOURCES = Path(nemo_runspec.__file__).parent.parent
# An edit there must not make every artifact stale.
NOT_A_RECIPES_BUSINESS = (
    "nemo_runspec.bundles",
    "nemo_runspec.cli",
    "nemo_runspec.cli_context",
    "nemo_runspec.command_line",
    "nemo_runspec.command_table",
    "nemo_runspec.commands",
    "nemo_runspec.completion",
    "nemo_runspec.config",
    "nemo_runspec.dispatch",
    "nemo_runspec.display",
    "nemo_runspec.execution",
    "nemo_runspec.jobs",
    "nemo_runspec.pipeline",
    "nemo_runspec.recipe",
    "nemo_runspec.recipe_report",
    "nemo_runspec.recipe_run",
    "nemo_runspec.store_admin",
)
# What every recipe may be made to rebuild by: a new release of anything else leaves it alone.
REQUIREMENTS = {"omegaconf", "pydantic", "tomli"}


def imported(module: Path) -> set[str]:
    """The modules that a file imports, anywhere in it, as Pants infers them."""
    text = module.read_text("utf-8")
    lines = text.splitlines()
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        if "pants: no-infer-dep" in lines[node.lineno - 1]:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif node.module is not None:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def file_of(name: str) -> Path | None:
    """The file of a module, or of the one that a name comes from."""
    parts = name.split(".")
    while parts:
        path = SOURCES.joinpath(*parts)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
        parts.pop()
    return None


def closure(start: Path) -> tuple[set[str], set[str]]:
    """The modules of ours that a file depends on, and the other top-level names it imports."""
    ours, others = {start}, set()
    queue = [start]
    while queue:
        for name in imported(queue.pop()):
            file = file_of(name)
            if file is None:
                others.add(name.partition(".")[0])
                continue
            packages = [p / "__init__.py" for p in file.parents if SOURCES in p.parents]
            for found in (file, *(p for p in packages if p.is_file())):
                if found not in ours:
                    ours.add(found)
                    queue.append(found)
    names = {
        ".".join(file.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")
        for file in ours
    }
    return names, others - sys.stdlib_module_names


def test_a_recipe_depends_on_little() -> None:
    ours, others = closure(Path(artifacts.__file__))
    unwanted = {
        name
        for name in ours
        if any(name == room or name.startswith(f"{room}.") for room in NOT_A_RECIPES_BUSINESS)
    }
    assert unwanted == set()
    assert others <= REQUIREMENTS


def test_importing_brings_nothing_heavy() -> None:
    code = (
        "import sys, nemo_runspec.artifacts as a\n"
        "heavy = 'omegaconf pydantic numpy pandas pyarrow torch fsspec'.split()\n"
        "heavy += 's3fs wandb yaml rich'.split()\n"
        "print(*[m for m in heavy if m in sys.modules])\n"
        "a.setup_artifact_tracking, a.log_artifact\n"
        "print(*[m for m in heavy if m in sys.modules])\n"
        "a.save_value, a.load_value, a.Artifact\n"
        "print(*[m for m in heavy if m in sys.modules])\n"
    )
    path = ":".join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={"PYTHONPATH": path},
    )
    first, tracking, values = done.stdout.split("\n")[:3]
    assert first == ""
    assert set(tracking.split()) <= {"omegaconf", "yaml"}
    assert set(values.split()) <= {"omegaconf", "pydantic", "yaml"}


def test_every_name_is_there() -> None:
    assert sorted(artifacts._HOME) == sorted(artifacts.__all__)
    for name in artifacts.__all__:
        assert getattr(artifacts, name) is not None
