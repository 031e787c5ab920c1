"""What `pants tailor` proposes."""

from __future__ import annotations

import os.path

import pytest
from pants.core.goals.tailor import PutativeTargets
from pants.testutil.rule_runner import QueryRule

from pants_runspec.recipe.tailor import PutativeRecipesRequest
from tests.pants_runspec.harness import Files, make_runner, script

RULES = (QueryRule(PutativeTargets, (PutativeRecipesRequest,)),)


def proposals(files: Files, folders: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return each proposal as its folder, kind, name and what it is made for, sorted.

    Args:
        files: the build root.
        folders: where to look; by default everywhere, as `tailor ::` does.
    """
    runner = make_runner(files, rules=RULES)
    everywhere = tuple(sorted({os.path.dirname(path) for path in files}))
    request = PutativeRecipesRequest(folders or everywhere)
    found = runner.request(PutativeTargets, [request])
    return sorted(
        (
            each.path,
            each.type_alias,
            each.name,
            *([each.kwargs["script"]] if "script" in each.kwargs else each.triggering_sources),
        )
        for each in found
    )


def test_scripts_with_a_block_only() -> None:
    assert proposals(
        {
            "a/train.py": script(),
            "a/helper.py": "X = 1\n",
            "a/tool.py": '# /// script\n# dependencies = ["left"]\n# ///\n',
            "a b/tr-ain.py": script().replace("\n", "\r\n").encode(),
            "broken/train.py": "# /// script\n# [tool.runspec\n# ///\n",
            "latin/train.py": script().encode() + b"# \xff\n",
            "top.py": script(),
        }
    ) == [
        ("", "runspec_recipe", "top", "top.py"),
        ("a", "runspec_recipe", "train", "train.py"),
        ("a b", "runspec_recipe", "tr-ain", "tr-ain.py"),
        ("broken", "runspec_recipe", "train", "train.py"),
        ("latin", "runspec_recipe", "train", "train.py"),
    ]


def test_nothing_where_there_is_no_recipe() -> None:
    assert proposals({"a/helper.py": "X = 1\n", "a/config/default.yaml": ""}) == []


@pytest.mark.parametrize(
    ("path", "build"),
    [
        ("r/BUILD", "runspec_recipe(name='t', script='deep/er/train.py')"),
        ("r/deep/BUILD", "runspec_recipe(name='t', script='er/train.py')"),
        ("r/deep/er/BUILD", "runspec_recipe(name='t', script='./train.py')"),
        ("BUILD", "runspec_recipes(name='all')"),
        ("BUILD", "runspec_recipe(name='t', script='x/../r/deep/er/train.py')"),
    ],
)
def test_not_what_a_build_file_names_already(path: str, build: str) -> None:
    files = {"r/deep/er/train.py": script(), path: build}
    assert proposals(files) == []


def test_another_script_of_the_same_name_is_proposed() -> None:
    assert proposals(
        {
            "r/train.py": script(),
            "s/train.py": script(),
            "r/BUILD": "runspec_recipe(name='t', script='train.py')",
        }
    ) == [("s", "runspec_recipe", "train", "train.py")]


def test_configs_of_the_recipes() -> None:
    shared = script("[tool.runspec.config]\ndir = '../shared conf'")
    assert proposals(
        {
            "r/a/train.py": script(),
            "r/a/config/default.yaml": "",
            "r/a/config/more/deep.yml": "",
            "r/a/config/owned.yaml": "",
            "r/a/config/notes.txt": "",
            "r/b/train.py": shared,
            "r/c/train.py": shared,
            "r/shared conf/default.yaml": "",
            "elsewhere/default.yaml": "",
            "r/a/config/BUILD": """\
runspec_config(name="owned", source="owned.yaml")
resources(name="also", sources=["*.yaml"])
""",
        }
    ) == [
        ("r/a", "runspec_recipe", "train", "train.py"),
        ("r/a/config", "runspec_configs", "configs", "default.yaml"),
        ("r/a/config/more", "runspec_configs", "configs", "deep.yml"),
        ("r/b", "runspec_recipe", "train", "train.py"),
        ("r/c", "runspec_recipe", "train", "train.py"),
        ("r/shared conf", "runspec_configs", "configs", "default.yaml"),
    ]


def test_configs_of_a_recipe_that_has_its_target() -> None:
    assert proposals(
        {
            "r/train.py": script(),
            "r/config/default.yaml": "",
            "r/BUILD": "runspec_recipe(name='t', script='train.py')",
        }
    ) == [("r/config", "runspec_configs", "configs", "default.yaml")]


@pytest.mark.parametrize("folder", ["/opt/config", "../../..", "c[onfig", "c*", "**"])
def test_odd_config_folders(folder: str) -> None:
    content = script(f"[tool.runspec.config]\ndir = '{folder}'")
    assert proposals({"r/train.py": content, "r/cx/default.yaml": ""}) == [
        ("r", "runspec_recipe", "train", "train.py")
    ]


def test_only_where_it_is_asked_for() -> None:
    files = {"a/train.py": script(), "b/train.py": script()}
    assert proposals(files, folders=("b",)) == [("b", "runspec_recipe", "train", "train.py")]
