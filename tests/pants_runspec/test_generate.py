"""`runspec_recipes` and `runspec_configs`: which targets they generate."""

from __future__ import annotations

from typing import Any

import pytest
from pants.engine.target import AllTargets, Tags, Target
from pants.testutil.rule_runner import RuleRunner

from pants_runspec.recipe.generate import globs_in
from pants_runspec.target_types import RunspecConfig, RunspecRecipe
from tests.pants_runspec.harness import make_runner, script


def generated(runner: RuleRunner, kind: type[Target]) -> dict[str, Target]:
    targets = runner.request(AllTargets, [])
    return {target.address.spec: target for target in targets if isinstance(target, kind)}


def values(target: Target) -> dict[str, Any]:
    """Return what `peek` shows of a target, without what has no value."""
    return {
        field.alias: field.value
        for field in target.field_values.values()
        if field.value is not None
    }


FILES = {
    "r/a/train.py": script('name = "a"'),
    "r/a/old_train.py": script('name = "old"'),
    "r/a/deep/er/train.py": script('name = "deeper"'),
    "r/a/helper.py": "X = 1\n",
    "r/a/tool.py": '# /// script\n# dependencies = ["left"]\n# ///\n',
    "r/sp ace.py": script(),
}


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("", ["a/deep/er/train", "a/old_train", "a/train", "sp ace"]),
        (", scripts=['a/*.py']", ["a/old_train", "a/train"]),
        (", scripts=['**/*.py', '!**/old_*.py']", ["a/deep/er/train", "a/train", "sp ace"]),
        (", scripts=['*/train.py', 'sp ace.py']", ["a/train", "sp ace"]),
        (", scripts=[]", []),
        (", scripts=['a/helper.py']", []),
    ],
)
def test_one_per_script_that_carries_a_block(field: str, names: list[str]) -> None:
    runner = make_runner({**FILES, "r/BUILD": f"runspec_recipes(name='all'{field})"})
    assert sorted(generated(runner, RunspecRecipe)) == [f"r:all#{name}" for name in names]


def test_in_the_build_root_itself() -> None:
    runner = make_runner({"train.py": script(), "BUILD": "runspec_recipes(name='all')"})
    assert list(generated(runner, RunspecRecipe)) == ["//:all#train"]


def test_globs_are_those_of_the_build_files_folder() -> None:
    assert globs_in("a/b", ("*.py", "!old/**")) == ("a/b/*.py", "!a/b/old/**")
    assert globs_in("", ("*.py", "!old/**")) == ("*.py", "!old/**")


def test_parsed_fields_are_shown() -> None:
    runner = make_runner(
        {
            "r/train.py": script(
                """\
                image = "image:1"
                [tool.runspec.run]
                launch = "ray"
                cmd = "bash {script}"
                workdir = "/opt/x"
                [tool.runspec.config]
                default = "tiny"
                [tool.runspec.resources]
                nodes = 3
                [tool.runspec.env]
                A = "b c"
                """
            ),
            "r/BUILD": "runspec_recipes(name='all', tags=['t'], python='3.12', provided=['torch'])",
        }
    )
    (target,) = generated(runner, RunspecRecipe).values()
    shown = values(target)
    assert shown["script"] == "train.py"
    assert (shown["image"], shown["launch"], shown["nodes"]) == ("image:1", "ray", 3)
    assert (shown["cmd"], shown["workdir"]) == ("bash {script}", "/opt/x")
    assert (shown["default_config"], dict(shown["env"])) == ("tiny", {"A": "b c"})
    assert (shown["python"], shown["provided"]) == ("3.12", ("torch",))
    assert target[Tags].value == ("t",)


@pytest.mark.parametrize(
    "content",
    [
        script('nam = "typo"'),
        "# /// script\n# [tool.runspec\n# ///\n",
        script().encode() + b"# \xff\n",
        script("[tool.runspec.resources]\nnodes = 0"),
    ],
)
def test_a_broken_block_makes_a_target_all_the_same(content: str) -> None:
    runner = make_runner({"r/train.py": content, "r/BUILD": "runspec_recipes(name='all')"})
    (target,) = generated(runner, RunspecRecipe).values()
    assert target.address.spec == "r:all#train"
    assert values(target).get("launch") is None


def test_an_override_and_a_parametrisation_of_the_generator() -> None:
    runner = make_runner(
        {
            "r/train.py": script(),
            "r/BUILD": "runspec_recipes(name='all', resolve=parametrize('default', 'other'))",
        }
    )
    found = generated(runner, RunspecRecipe)
    assert {spec: values(target)["resolve"] for spec, target in found.items()} == {
        "r:all#train@resolve=default": "default",
        "r:all#train@resolve=other": "other",
    }


def test_configs_are_one_a_file() -> None:
    runner = make_runner(
        {
            "r/config/a.yaml": "a: 1",
            "r/config/deep/b.yml": "b: 1",
            "r/config/c.json": "{}",
            "r/BUILD": "runspec_configs(name='c', sources=['config/**/*.yaml', 'config/**/*.yml'])",
        }
    )
    assert sorted(generated(runner, RunspecConfig)) == [
        "r/config/a.yaml:../c",
        "r/config/deep/b.yml:../../c",
    ]
