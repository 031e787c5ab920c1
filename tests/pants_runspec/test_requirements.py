"""Which locked packages a recipe's job gets, and what is said of those that are missing."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from pants.testutil.rule_runner import QueryRule, RuleRunner

from pants_runspec.recipe.requirements import (
    Requirements,
    ResolveLock,
    ResolveLockRequest,
    UnlockedRequirementsError,
    how_to_add,
    requirement_strings,
    select_requirements,
)
from tests.pants_runspec.harness import LOCK, address_of, make_runner, recipe, script

COMPILE = (
    "add it to the resolve's requirements file IN and run `uv pip compile --universal "
    "--generate-hashes --no-emit-index-url IN -o default.lock`"
)


def runner_of(standard: str, arguments: str = "", options: Iterable[str] = ()) -> RuleRunner:
    return make_runner(
        {
            "r/train.py": script(standard=standard),
            "r/BUILD": f"runspec_recipe(name='t', script='train.py'{arguments})",
        },
        rules=[QueryRule(ResolveLock, (ResolveLockRequest,))],
        options=options,
    )


def lock_of(runner: RuleRunner, resolve: str = "default") -> ResolveLock:
    return runner.request(ResolveLock, [ResolveLockRequest(resolve)])


def selected(standard: str, arguments: str = "", imported: tuple[str, ...] = ()) -> Requirements:
    runner = runner_of(standard, arguments)
    return select_requirements(recipe(runner, "r:t"), imported, lock_of(runner))


def names(requirements: Requirements) -> list[str]:
    return [package.name for package in requirements.locked]


def test_the_block_and_the_imports() -> None:
    found = selected('dependencies = ["left>=1"]', imported=("right",))
    assert found.wanted == ("left>=1", "right")
    assert names(found) == ["left", "left-leaf", "right"]
    assert (found.unlocked, found.problems) == ((), ())


def test_an_image_provides_what_is_imported() -> None:
    found = selected('dependencies = ["left>=1"]', ", image='i:1'", ("right",))
    assert found.wanted == ("left>=1",)
    assert names(found) == ["left", "left-leaf"]


def test_what_is_provided_is_left_out() -> None:
    found = selected('dependencies = ["left>=1", "torch"]', ", provided=['Left_LEAF', 'torch']")
    assert found.wanted == ("left>=1",)
    assert names(found) == ["left"]
    assert found.problems == ()


@pytest.mark.parametrize(
    ("dependency", "lack"),
    [
        ("torch>=2.5", "torch>=2.5"),
        ("lefft", "lefft (did you mean left?)"),
        ("left<1", "left<1 (left 1.0 is locked)"),
        ("right[gpu]==3; python_version >= '3.11'", None),
    ],
)
def test_what_the_lock_lacks(dependency: str, lack: str) -> None:
    found = selected(f'dependencies = ["{dependency}"]')
    assert found.unlocked == (dependency,)
    lack = lack or f"{dependency} (right 2.0 is locked)"
    assert found.problems == (f"r/train.py: {lack} (default.lock, resolve default); {COMPILE}",)
    assert str(UnlockedRequirementsError(found.problems * 2)) == "; ".join(found.problems * 2)


@pytest.mark.parametrize(
    ("marker", "is_needed"),
    [
        ("python_version < '3.12'", True),
        ("python_version < '3.11'", False),
        ("python_full_version >= '3.13'", True),
    ],
)
def test_a_dependency_for_other_interpreters_is_not_needed(marker: str, is_needed: bool) -> None:
    found = selected(f'dependencies = ["torch; {marker}"]')
    assert bool(found.problems) is is_needed


def test_lockfiles_that_pants_generates() -> None:
    runner = runner_of("", options=["--python-resolves-generate-lockfiles=true"])
    advice = how_to_add(lock_of(runner, "other"))
    assert advice.startswith("add it to a `python_requirement` of the resolve other and run `")
    assert advice.endswith(" generate-lockfiles --resolve=other`")


def test_without_resolves_and_without_the_lockfile() -> None:
    runner = runner_of('dependencies = ["left"]', options=["--no-python-enable-resolves"])
    lock = lock_of(runner)
    assert lock.path is None
    (problem,) = select_requirements(recipe(runner, "r:t"), (), lock).problems
    assert problem == (
        "r/train.py: left (default); set `[python].enable_resolves` and give the resolve a lockfile"
    )
    runner = runner_of(
        'dependencies = ["left"]', options=["--python-resolves={'default': 'nope.lock'}"]
    )
    (problem,) = select_requirements(recipe(runner, "r:t"), (), lock_of(runner)).problems
    assert problem.startswith("r/train.py: left (nope.lock, resolve default); add it to ")


def test_the_lockfile_of_a_resolve() -> None:
    runner = runner_of("")
    lock = lock_of(runner)
    assert (lock.resolve, lock.path) == ("default", "default.lock")
    assert lock.lock.versions("left") == ("1.0",)
    runner.write_files({"default.lock": LOCK.replace("left==1.0", "left==1.5")})
    assert lock_of(runner).lock.versions("left") == ("1.5",)


def test_requirement_targets_as_strings() -> None:
    runner = make_runner(
        {
            "BUILD": """\
python_requirement(name="two", requirements=["right[x]>=2", "left ; python_version<'3.12'"])
python_requirement(name="one", requirements=["left ; python_version<'3.12'"])
files(name="none", sources=["*.lock"])
"""
        }
    )
    targets = tuple(runner.get_target(address_of(runner, f"//:{name}")) for name in ("two", "one"))
    none = runner.get_target(address_of(runner, "//:none"))
    assert requirement_strings((*targets, none)) == (
        'left; python_version < "3.12"',
        "right[x]>=2",
    )
