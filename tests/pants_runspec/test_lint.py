"""What `pants lint` says of recipes, one line each, with the way out."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from pants.core.goals.lint import LintResult
from pants.testutil.rule_runner import QueryRule

from pants_runspec.recipe.lint import RunspecLintRequest
from tests.pants_runspec.harness import Files, field_set, make_runner, script

BUILD = """\
python_sources()
runspec_recipe(name="t", script="train.py")
runspec_configs(name="configs", sources=["config/*.yaml"])
"""

SOUND: Files = {
    "r/train.py": script(standard='dependencies = ["left>=1"]'),
    "r/config/default.yaml": "defaults: base\na: ${b}\nhome: ${oc.env:HOME}\n",
    "r/config/base.yaml": "b: 1\n",
    "r/BUILD": BUILD,
}


def lint(files: Files, recipes: Iterable[str] = ("r:t",)) -> LintResult:
    runner = make_runner(
        {**SOUND, **files}, rules=[QueryRule(LintResult, (RunspecLintRequest.Batch,))]
    )
    elements = tuple(field_set(runner, spec) for spec in recipes)
    batch = RunspecLintRequest.Batch("", elements, partition_metadata=None)
    result = runner.request(LintResult, [batch])
    assert (result.stderr, result.linter_name) == ("", "runspec")
    return result


def only_line(files: Files) -> str:
    """Return the one error of a recipe that has no other."""
    result = lint(files)
    (line,) = result.stdout.splitlines()
    assert result.exit_code == 1, line
    assert line.startswith("error: "), line
    return line[len("error: ") :]


def test_a_sound_recipe_is_silent() -> None:
    result = lint({})
    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("name", "hint"), [("slurn", "did you mean 'slurm'? it has: "), ("sky", "it has: dgxcloud, ")]
)
def test_an_executor_that_the_library_does_not_have(name: str, hint: str) -> None:
    """It may be somebody else's, so that is no error."""
    build = BUILD.replace('"train.py"', f'"train.py", executors=["slurm", "{name}"]')
    result = lint({"r/BUILD": build})
    assert result.exit_code == 0
    said = f"warning: r:t: `executors` names '{name}', which the library does not have; {hint}"
    assert result.stdout.startswith(said), result.stdout
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "# /// script\n# [tool.runspec\n# ///\n",
            "r/train.py:2: the block is no TOML: ",
        ),
        (
            script("[tool.runspec.run]\nlauch = 'ray'"),
            'r/train.py:4: [tool.runspec.run] has no field "lauch"; did you mean `launch`? '
            "There are cmd, launch, workdir",
        ),
        ("x = 1\n", "r/train.py:1: the script has no PEP 723 block; "),
        (
            script().encode() + b"x = '\xff'\n",
            "r/train.py:4: the script is not UTF-8: it holds the byte 0xff; save it as UTF-8",
        ),
        (
            script(standard="dependencies = ['a b']"),
            "r/train.py:2: dependencies: 'a b' is no requirement (",
        ),
        (
            script("[tool.runspec.config]\ndir = '../../x'"),
            "r/train.py: config.dir = '../../x' leads out of the repository; ",
        ),
        (
            script(standard="requires-python = '3.11'"),
            "r/train.py: requires-python = '3.11' cannot be met: it is no version specifier; ",
        ),
    ],
)
def test_a_broken_script(content: str, message: str) -> None:
    assert only_line({"r/train.py": content}).startswith(message)


@pytest.mark.parametrize(
    ("default", "message"),
    [
        (
            "defalt",
            "r/train.py: the default config r/config/defalt.yaml does not exist; "
            "did you mean 'default'? There are: base, default",
        ),
        (
            "zzz",
            "r/train.py: the default config r/config/zzz.yaml does not exist; "
            "there are: base, default",
        ),
    ],
)
def test_the_default_config_is_missing(default: str, message: str) -> None:
    content = script(f"[tool.runspec.config]\ndefault = '{default}'")
    assert only_line({"r/train.py": content}) == message


def test_the_config_folder_is_missing() -> None:
    content = script("[tool.runspec.config]\ndir = 'conf'")
    assert only_line({"r/train.py": content}) == (
        "r/train.py: the default config r/conf/default.yaml does not exist; write it, or name the "
        "script's config folder in config.dir (now 'conf')"
    )


@pytest.mark.parametrize("default", ["base", "base.yaml", "./base"])
def test_the_default_config_by_other_names(default: str) -> None:
    content = script(f"[tool.runspec.config]\ndefault = '{default}'")
    assert lint({"r/train.py": content}).stdout == ""


def test_a_broken_interpolation() -> None:
    yaml = "optimizer:\n  lr: 1\nwarm: ${optimizer.lrr}\n"
    assert only_line({"r/config/default.yaml": yaml}) == (
        "r/config/default.yaml:3: `${optimizer.lrr}` does not resolve: there is no "
        "`optimizer.lrr`; did you mean `optimizer.lr`?"
    )


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("a: [1\n", "r/config/default.yaml:2: broken YAML: "),
        (
            "defaults: bas\n",
            "r/config/default.yaml:1: the base `bas` is missing: there is no r/config/bas.yaml; "
            "did you mean r/config/base.yaml?",
        ),
        (
            "defaults: default\n",
            "r/config/default.yaml:1: `defaults` runs in a circle: r/config/default.yaml -> "
            "r/config/default.yaml",
        ),
        (
            b"a: 1\nb: '\xff'\n",
            "r/config/default.yaml:2: the file is not UTF-8; save it as UTF-8",
        ),
    ],
)
def test_a_broken_config(yaml: str, message: str) -> None:
    assert only_line({"r/config/default.yaml": yaml}).startswith(message)


def test_nobody_owns_the_script() -> None:
    build = BUILD.replace("python_sources()", "")
    assert only_line({"r/BUILD": build}) == (
        "r/train.py: no python_sources target owns it, so r:t cannot run; run `pants tailor ::`"
    )


def test_nobody_owns_a_config() -> None:
    build = BUILD.replace("config/*.yaml", "config/default.yaml")
    assert only_line({"r/BUILD": build}) == (
        "r/config/base.yaml: no runspec_configs target owns it; run `pants tailor ::`"
    )


def test_what_the_lock_lacks_is_a_warning() -> None:
    result = lint({"r/train.py": script(standard="dependencies = ['torch>=2', 'lefft']")})
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first.startswith(
        "warning: r/train.py: lefft (did you mean left?) (default.lock, resolve default); add it "
    )
    assert second.startswith("warning: r/train.py: torch>=2 (default.lock, resolve default); ")


def test_what_an_image_provides_is_no_warning() -> None:
    content = script("image = 'i:1'") + "import torch\n"
    assert lint({"r/train.py": content}).stdout == ""


def test_resolvers_of_the_script_are_listed_once() -> None:
    result = lint(
        {
            "r/config/default.yaml": "a: ${mul:2,3}\nb: ${mul:4,5}\nc: ${div:1,2}\n",
            "r/config/base.yaml": "a: ${mul:2,3}\n",
        }
    )
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "warning: r/config/base.yaml:1: not checked: the script itself must register the "
        "resolvers `div`, `mul`"
    ]


def test_artifacts_and_run_time_resolvers_are_known() -> None:
    yaml = (
        "run:\n  data: nano3-data:latest\n"
        "path: ${art:data,path}\n"
        "repo: ${auto_mount:git+https://example.com/x.git@main}\n"
        "user: ${oc.env:USER,nobody}\n"
    )
    assert lint({"r/config/default.yaml": yaml}).stdout == ""


def test_bases_outside_of_the_config_folder() -> None:
    files = {
        "r/config/default.yaml": "defaults: ../../shared/base\na: ${seed}\n",
        "shared/base.yaml": "seed: 1\n",
        "shared/BUILD": "runspec_configs()",
    }
    assert lint(files).stdout == ""
    assert only_line({**files, "shared/base.yaml": "seeds: 1\n"}).startswith(
        "r/config/default.yaml:2: `${seed}` does not resolve: "
    )


def test_recipes_that_share_a_folder_say_it_once() -> None:
    files = {
        "r/second.py": script(),
        "r/BUILD": f"{BUILD}runspec_recipe(name='s', script='second.py')",
        "r/config/default.yaml": "a: ${nope}\n",
    }
    result = lint(files, ("r:t", "r:s"))
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 1


def test_one_broken_recipe_does_not_hide_another() -> None:
    files = {
        "r/second.py": script("nam = 1"),
        "r/third.py": script(standard="requires-python = 'x'"),
        "r/BUILD": f"{BUILD}runspec_recipes(name='all', scripts=['second.py', 'third.py'])",
        "r/config/default.yaml": "a: ${nope}\n",
    }
    result = lint(files, ("r:t", "r:all#second", "r:all#third"))
    assert [line.split(":")[1].strip() for line in result.stdout.splitlines()] == [
        "r/config/default.yaml",
        "r/second.py",
        "r/third.py",
    ]


def test_overrides_of_the_target_count() -> None:
    build = BUILD.replace('"train.py"', '"train.py", default_config="bse"')
    assert "did you mean 'base'?" in only_line({"r/BUILD": build})
