"""A tree of 80 recipe scripts from the field, without a BUILD file, serves as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.integration.foreign_tree import ForeignScript, write_foreign_tree
from tests.integration.repository import Repository, contents


@pytest.fixture(scope="module")
def scripts(repository: Repository) -> tuple[ForeignScript, ...]:
    """The tree's scripts, as they were written."""
    return write_foreign_tree(repository.root)


@pytest.fixture(scope="module")
def written(repository: Repository, scripts: tuple[ForeignScript, ...]) -> Mapping[str, str]:
    """What the tree held before Pants saw it."""
    return contents(repository.root / "recipes")


@pytest.fixture(scope="module")
def recipes(
    repository: Repository, scripts: tuple[ForeignScript, ...], written: Mapping[str, str]
) -> Mapping[str, str]:
    """The address of each script's recipe, as `tailor` proposes it, by the script's path."""
    repository.pants("tailor", "::")
    peeked = json.loads(
        repository.pants("peek", "--filter-target-type=runspec_recipe", "recipes::")
    )
    return {
        f"{target['address'].partition(':')[0]}/{target['script']}": target["address"]
        for target in peeked
    }


def test_every_script_and_nothing_else_becomes_a_recipe(
    scripts: tuple[ForeignScript, ...], recipes: Mapping[str, str]
) -> None:
    assert sorted(recipes) == [script.path for script in scripts]


def test_lint_accepts_the_tree_and_warns_of_what_the_lock_lacks(
    repository: Repository, recipes: Mapping[str, str]
) -> None:
    result = repository.try_pants("lint", "::")
    assert result.returncode == 0, result.stdout + result.stderr
    said = result.stdout + result.stderr
    assert "error:" not in said
    assert "warning: recipes/family0/" in said
    assert "megatron-core" in said


def test_goals_on_targets_work(
    repository: Repository, scripts: tuple[ForeignScript, ...], recipes: Mapping[str, str]
) -> None:
    assert len(json.loads(repository.pants("peek", "::"))) > 2 * len(scripts)
    assert set(recipes.values()) <= set(repository.pants("list", "::").splitlines())
    assert repository.pants("dependencies", "::")
    for script in scripts[:: len(scripts) // 3]:
        found = repository.pants("dependencies", recipes[script.path]).splitlines()
        assert any(Path(script.config).name in address for address in found)


def test_each_script_dry_runs(
    repository: Repository, scripts: tuple[ForeignScript, ...], recipes: Mapping[str, str]
) -> None:
    failed = {}
    for script in scripts:
        result = repository.try_pants("run", recipes[script.path], "--", "--dry-run")
        shown = script.name in result.stdout and script.path in result.stdout
        if result.returncode or not shown:
            failed[script.path] = result.stdout + result.stderr
    assert not failed
    assert not repository.jobs()


def test_no_file_was_edited(
    repository: Repository, recipes: Mapping[str, str], written: Mapping[str, str]
) -> None:
    now = contents(repository.root / "recipes")
    assert {path: what for path, what in now.items() if Path(path).name != "BUILD"} == written
