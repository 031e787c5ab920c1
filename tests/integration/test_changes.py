"""`--changed-since` names the recipes and artifacts that an edit touches; `peek` and `dependents`
know them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import pytest

from tests.integration.repository import Repository

SCRIPT = """\
# /// script
# [tool.runspec]
# name = "changes/{name}"
# [tool.runspec.run]
# launch = "direct"
# [tool.runspec.config]
# dir = "config/{name}"
# ///
import sys
from changes.helpers import {name}
print({name}.NAME, sys.argv)
"""

BUILD = """\
python_sources()
runspec_configs(name="configs", sources=["config/**/*.yaml"])
runspec_recipes(name="recipes", scripts=["*.py"])
artifact(name="first", recipe=":recipes#one")
artifact(name="second", recipe=":recipes#two", inputs=[":first"])
artifact(name="third", recipe=":recipes#three", sweep={"name": ["x", "y"]})
"""

RECIPES = ("one", "two", "three")


@pytest.fixture(scope="module")
def changes(repository: Repository) -> Repository:
    """A committed folder with three recipes, which share a base config and a helper's helper."""
    repository.write("changes/BUILD", BUILD)
    repository.write("changes/helpers/BUILD", "python_sources()\n")
    repository.write("changes/config/base.yaml", "seed: 1\n")
    repository.write("changes/helpers/common.py", "SEED = 1\n")
    for name in RECIPES:
        repository.write(f"changes/{name}.py", SCRIPT.format(name=name))
        shares = name != "three"
        imports = "from changes.helpers.common import SEED\n" if shares else ""
        repository.write(f"changes/helpers/{name}.py", f"{imports}NAME = 'a {name}'\n")
        defaults = "defaults: ../base\n" if shares else ""
        repository.write(f"changes/config/{name}/default.yaml", f"{defaults}name: {name}\n")
        repository.write(f"changes/config/{name}/tiny.yaml", "name: tiny\n")
    repository.commit()
    return repository


SINCE = ("--changed-since=HEAD", "--changed-dependents=transitive")


def touched(repository: Repository) -> Collection[str]:
    """Return the names of the recipes that changes since the last commit touch."""
    listed = repository.pants(*SINCE, "--filter-target-type=runspec_recipe", "list")
    return {address.partition("#")[2] for address in listed.splitlines()}


def touched_artifacts(repository: Repository) -> Collection[str]:
    """Return the names of the artifacts that changes since the last commit may touch."""
    types = "--filter-target-type=artifact,artifact_variant"
    listed = repository.pants(*SINCE, types, "list")
    return {address.partition(":")[2] for address in listed.splitlines()}


@contextmanager
def edited(changes: Repository, path: str) -> Iterator[None]:
    """A line more in a file, which is made where there is none, until the context ends."""
    file = changes.root / path
    before = file.read_text() if file.exists() else None
    changes.write(path, f"{before or ''}\n# edited\n")
    try:
        yield
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("changes/one.py", {"one"}),
        ("changes/helpers/three.py", {"three"}),
        ("changes/helpers/common.py", {"one", "two"}),
        ("changes/config/two/default.yaml", {"two"}),
        ("changes/config/base.yaml", {"one", "two"}),
        ("README.md", set()),
    ],
)
def test_an_edit_names_the_recipes_that_it_touches(
    changes: Repository, path: str, expected: Collection[str]
) -> None:
    with edited(changes, path):
        assert touched(changes) == expected


THIRD = {"third", "third#name-x", "third#name-y"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("changes/one.py", {"first", "second"}),
        ("changes/two.py", {"second"}),
        ("changes/helpers/three.py", THIRD),
        ("changes/config/two/default.yaml", {"second"}),
        ("changes/config/base.yaml", {"first", "second"}),
        # By way of the recipe, which has all its configs; `plan` tells that it stays fresh.
        ("changes/config/two/tiny.yaml", {"second"}),
        ("changes/BUILD", {"first", "second", *THIRD} - {"third"}),
        ("README.md", set()),
    ],
)
def test_an_edit_names_the_artifacts_that_it_may_touch(
    changes: Repository, path: str, expected: Collection[str]
) -> None:
    with edited(changes, path):
        assert touched_artifacts(changes) == expected


def test_a_plan_of_what_changed(changes: Repository) -> None:
    file = changes.root / "changes/helpers/one.py"
    before = file.read_text()
    file.write_text(f"{before}X = 1\n")
    try:
        shown = changes.pants(*SINCE, "plan", "--format=json")
        nodes = [each["address"] for each in json.loads(shown)["nodes"]]
        assert nodes == ["changes:first", "changes:second"]
    finally:
        file.write_text(before)
    result = changes.try_pants(*SINCE, "plan")
    assert (result.returncode, result.stdout) == (0, "")
    assert "no artifact targets; " in result.stderr


def test_pants_own_goals_know_artifacts(changes: Repository) -> None:
    (shown,) = json.loads(changes.pants("peek", "changes:second"))
    assert (shown["target_type"], shown["recipe"]) == ("artifact", ":recipes#two")
    assert "changes:first" in shown["dependencies"]
    assert "changes:recipes#two" in shown["dependencies"]
    (variant,) = json.loads(changes.pants("peek", "changes:third#name-x"))
    assert variant["variant"] == {"name": "x"} and variant["overrides"] == ["name=x"]
    assert changes.pants("dependents", "changes:first").splitlines() == ["changes:second"]
    assert "changes:first" in changes.pants("dependents", "changes:recipes#one").splitlines()


def test_a_broken_script_fails_nothing_but_lint_and_its_own_goals(changes: Repository) -> None:
    file = changes.root / "changes/two.py"
    before = file.read_text()
    file.write_text(before.replace('launch = "direct"', 'launch = "torchrn"'))
    try:
        assert "changes:recipes#two" in changes.pants("list", "::")
        assert touched(changes) == {"two"}
        assert "common.py" in changes.pants("dependencies", "--transitive", "changes::")
        problem = "changes/two.py:5: "
        for goal in (("lint",), ("run",), ("package",)):
            result = changes.try_pants(*goal, "changes:recipes#two")
            said = result.stdout + result.stderr
            assert result.returncode != 0
            lines = [line for line in said.splitlines() if problem in line]
            assert len(lines) == 1 and "torchrun" in lines[0], said
            assert "Traceback" not in said
        assert changes.try_pants("run", "changes:recipes#one", "--", "-d").returncode == 0
    finally:
        file.write_text(before)
