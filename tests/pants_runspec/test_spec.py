"""A recipe: what its script says, what its target overrides, on which Pythons it runs."""

from __future__ import annotations

from typing import Optional

import pytest
from pants.engine.internals.scheduler import ExecutionError
from pants.testutil.rule_runner import QueryRule

from pants_runspec.paths import leaves_build_root
from pants_runspec.recipe.spec import (
    BrokenScriptError,
    InterpreterConstraintsError,
    MissingScriptError,
    ParsedScript,
    ScriptRequest,
)
from tests.pants_runspec.harness import make_runner, only_error, recipe, script

SPEC = """\
name = "demo/train"
image = "registry.example/image:1"
[tool.runspec.run]
launch = "ray"
cmd = "bash {script} --config {config}"
workdir = "/opt/a b"
[tool.runspec.config]
dir = "../shared config"
default = "small"
[tool.runspec.resources]
nodes = 4
gpus_per_node = "gpu"
[tool.runspec.env]
A = "1"
B = 'its "2"'
"""


def test_everything_comes_from_the_script() -> None:
    runner = make_runner(
        {
            "src/r/stage/train.py": script(SPEC, standard='dependencies = ["left>=1"]'),
            "src/r/BUILD": "runspec_recipe(name='t', script='stage/train.py')",
        }
    )
    found = recipe(runner, "src/r:t")
    assert found.script == "src/r/stage/train.py"
    assert found.config_dir == "src/r/shared config"
    assert found.resolve == "default"
    assert found.provided == ()
    assert found.python_versions == ("3.11", "3.12", "3.13")
    spec = found.spec
    assert (spec.name, spec.image) == ("demo/train", "registry.example/image:1")
    assert (spec.run.launch, spec.run.workdir) == ("ray", "/opt/a b")
    assert spec.run.cmd == "bash {script} --config {config}"
    assert (spec.config.default, spec.resources.nodes) == ("small", 4)
    assert spec.resources.gpus_per_node == "gpu"
    assert dict(spec.env) == {"A": "1", "B": 'its "2"'}
    assert spec.dependencies == ("left>=1",)


def test_fields_override() -> None:
    runner = make_runner(
        {
            "r/train.py": script(SPEC),
            "r/BUILD": """\
runspec_recipe(
    name="t", script="train.py", resolve="other", provided=["Left_Leaf"], python="3.12",
    image="other:2", launch="python", cmd="sh {script}", workdir="/w", default_config="tiny",
    nodes=1, env={"B": "é\\n'", "C": "3"},
)
""",
        }
    )
    found = recipe(runner, "r:t")
    assert (found.resolve, found.provided, found.python) == ("other", ("Left_Leaf",), "3.12")
    assert found.python_versions == ("3.12",)
    spec = found.spec
    assert (spec.image, spec.run.launch, spec.run.kind) == ("other:2", "python", "direct")
    assert (spec.run.cmd, spec.run.workdir) == ("sh {script}", "/w")
    assert (spec.config.default, spec.config.dir) == ("tiny", "../shared config")
    assert (spec.resources.nodes, spec.resources.gpus_per_node) == (1, "gpu")
    assert dict(spec.env) == {"A": "1", "B": "é\n'", "C": "3"}
    assert spec.name == "demo/train"


@pytest.mark.parametrize(
    ("python", "requires", "of_resolve", "constraints", "versions"),
    [
        (None, None, None, ["CPython<3.14,>=3.11"], ("3.11", "3.12", "3.13")),
        (None, ">=3.12", None, ["CPython>=3.12"], ("3.12", "3.13")),
        (None, " >=3.9 , <3.11 ", None, ["CPython<3.11,>=3.9"], ("3.9", "3.10")),
        ("3.10", ">=3.12", None, ["CPython==3.10.*"], ("3.10",)),
        ("3.12.4", None, None, ["CPython==3.12.4.*"], ("3.12",)),
        (">=3.12", None, None, ["CPython>=3.12"], ("3.12", "3.13")),
        (
            None,
            ">=3.11",
            "CPython>=3.11,<3.13",
            ["CPython<3.13,>=3.11,>=3.11"],
            ("3.11", "3.12"),
        ),
    ],
)
def test_interpreter_constraints(
    python: Optional[str],
    requires: Optional[str],
    of_resolve: Optional[str],
    constraints: list[str],
    versions: tuple[str, ...],
) -> None:
    standard = f'requires-python = "{requires}"' if requires else ""
    runner = make_runner(
        {
            "r/train.py": script(standard=standard),
            "r/BUILD": f"runspec_recipe(name='t', script='train.py', python={python!r})",
        },
        options=["--python-resolves-to-interpreter-constraints=" + repr({"default": [of_resolve]})]
        if of_resolve
        else [],
    )
    found = recipe(runner, "r:t")
    specifiers = [
        sorted(str(constraint.specifier).split(",")) for constraint in found.interpreter_constraints
    ]
    expected = [sorted(set(each.replace("CPython", "").split(","))) for each in constraints]
    assert specifiers == expected
    assert found.python_versions == versions


@pytest.mark.parametrize(
    ("arguments", "requires", "message"),
    [
        (
            "",
            "3.11",
            "r/train.py: requires-python = '3.11' cannot be met: it is no version specifier; "
            "write it as in `>=3.11,<3.14`",
        ),
        (
            ", python='3.x'",
            ">=3.11",
            "r/train.py: python = '3.x' cannot be met: it is no version specifier; "
            "write it as in `>=3.11,<3.14`",
        ),
        (
            "",
            ">=3.14",
            "r/train.py: requires-python = '>=3.14' cannot be met: none of 3.9, 3.10, 3.11, 3.12, "
            "3.13 (`[python].interpreter_versions_universe`) is one of its versions",
        ),
        (
            ", resolve='other'",
            ">=3.13",
            "r/train.py: requires-python = '>=3.13' cannot be met: none of 3.9, 3.10, 3.11, 3.12, "
            "3.13 (`[python].interpreter_versions_universe`) is one of its versions and of the "
            "resolve other (CPython<3.13)",
        ),
    ],
)
def test_impossible_python(arguments: str, requires: str, message: str) -> None:
    runner = make_runner(
        {
            "r/train.py": script(standard=f'requires-python = "{requires}"'),
            "r/BUILD": f"runspec_recipe(name='t', script='train.py'{arguments})",
        },
        options=["--python-resolves-to-interpreter-constraints={'other': ['CPython<3.13']}"],
    )
    with pytest.raises(ExecutionError) as caught:
        recipe(runner, "r:t")
    error = only_error(caught.value)
    assert isinstance(error, InterpreterConstraintsError)
    assert str(error) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "print('hello')\n",
            "r/a b.py:1: the script has no PEP 723 block; describe it in comment lines from "
            "`# /// script` to `# ///` with a [tool.runspec]",
        ),
        (
            script('[tool.runspec.run]\nlaunch = "torchrum"'),
            'r/a b.py:4: tool.runspec.run.launch is "torchrum", which is no launcher; did you '
            'mean "torchrun"? There are "torchrun", "ray", "direct", "python"',
        ),
        (
            script(standard='dependencies = ["left>=1", "not one"]'),
            "r/a b.py:2: dependencies: 'not one' is no requirement (",
        ),
        (
            script('[tool.runspec.config]\ndir = "../../config"'),
            "r/a b.py: config.dir = '../../config' leads out of the repository; name a folder "
            "inside it, relative to the script",
        ),
        (
            script('[tool.runspec.config]\ndir = "/opt/config"'),
            "r/a b.py: config.dir = '/opt/config' leads out of the repository; name a folder "
            "inside it, relative to the script",
        ),
        (
            script().encode() + b"# \xff\n",
            "r/a b.py:4: the script is not UTF-8: it holds the byte 0xff; save it as UTF-8",
        ),
    ],
)
def test_a_broken_script_is_a_value(content: str, message: str) -> None:
    runner = make_runner(
        {"r/a b.py": content, "r/BUILD": "runspec_recipe(name='t', script='a b.py')"},
        rules=[QueryRule(ParsedScript, (ScriptRequest,))],
    )
    parsed = runner.request(ParsedScript, [ScriptRequest("r/a b.py")])
    assert parsed.spec is None
    assert parsed.problem is not None and parsed.problem.startswith(message)
    with pytest.raises(ExecutionError) as caught:
        recipe(runner, "r:t")
    error = only_error(caught.value)
    assert isinstance(error, BrokenScriptError)
    assert str(error) == f"r:t: {parsed.problem}"


def test_an_edit_is_seen() -> None:
    runner = make_runner(
        {
            "r/train.py": script('name = "one"'),
            "r/BUILD": "runspec_recipe(name='t', script='train.py')",
        }
    )
    assert recipe(runner, "r:t").spec.name == "one"
    runner.write_files({"r/train.py": script('name = "two"')})
    assert recipe(runner, "r:t").spec.name == "two"


@pytest.mark.parametrize("name", ["nope.py", "sub/nope.py", "n[o.py", "."])
def test_missing_script(name: str) -> None:
    runner = make_runner({"r/BUILD": f"runspec_recipe(name='t', script={name!r})"})
    with pytest.raises(ExecutionError) as caught:
        recipe(runner, "r:t")
    error = only_error(caught.value)
    assert isinstance(error, MissingScriptError)
    path = "r" if name == "." else f"r/{name}"
    assert str(error) == (
        f"r:t: the `script` field names {name!r}, but there is no file {path}; give the "
        "script's path relative to the BUILD file"
    )


@pytest.mark.parametrize("name", ["../../train.py", "/train.py"])
def test_script_outside_the_build_root(name: str) -> None:
    runner = make_runner({"r/BUILD": f"runspec_recipe(name='t', script={name!r})"})
    with pytest.raises(ExecutionError) as caught:
        recipe(runner, "r:t")
    assert (
        f"r:t: the `script` field names {name!r}, which leads out of the repository; give the "
        "script's path relative to the BUILD file"
    ) in str(caught.value)


@pytest.mark.parametrize(
    ("path", "leaves"),
    [
        ("a/b.py", False),
        ("..a/b.py", False),
        ("a/../b.py", False),
        ("", False),
        ("a/../../b.py", True),
        ("..", True),
        ("/a", True),
    ],
)
def test_leaves_build_root(path: str, leaves: bool) -> None:
    assert leaves_build_root(path) is leaves
