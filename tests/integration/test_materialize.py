"""`pants plan`, `materialize`, `run` and `package` of a small pipeline, with the real launcher."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.integration.repository import Repository

STAGE = """\
# /// script
# [tool.runspec]
# name = "line/NAME"
# [tool.runspec.run]
# launch = "direct"
# [tool.runspec.config]
# dir = "config/NAME"
# ///
import json
import os
import sys
from pathlib import Path

from line.helper import shifted


config = Path(sys.argv[sys.argv.index("--config") + 1]).read_text()
above = ""
for line in config.splitlines():
    key, _, text = line.partition(": ")
    if key == "value":
        value = shifted(int(text))
    elif key == "source":
        above = Path(text, "out.txt").read_text()
Path(os.environ["RUNSPEC_OUTPUT_DIR"], "out.txt").write_text(f"{above}{value} ")
"""

BUILD = """\
python_sources()
runspec_configs(name="configs", sources=["config/**/*.yaml"])
runspec_recipe(name="one", script="one.py")
runspec_recipe(name="two", script="two.py")
artifact(name="first", recipe=":one", output=".")
artifact(name="second", recipe=":two", output=".")
artifact(name="many", recipe=":one", output=".", sweep={"value": ["7", "8"]})
"""


def second_config(value: int) -> str:
    return f"run: {{above: line-first:latest}}\nvalue: {value}\nsource: ${{art:above,path}}\n"


@pytest.fixture(scope="module")
def line(repository: Repository) -> Repository:
    """A repository with a line of two stages in it."""
    repository.write("line/BUILD", BUILD)
    repository.write("line/helper.py", "def shifted(value: int) -> int:\n    return value + 10\n")
    for name in ("one", "two"):
        repository.write(f"line/{name}.py", STAGE.replace("NAME", name))
    repository.write("line/config/one/default.yaml", "value: 1\n")
    repository.write("line/config/two/default.yaml", second_config(2))
    return repository


def plan(repository: Repository, *arguments: str) -> Mapping[str, Any]:
    shown = repository.pants("plan", "--format=json", *arguments)
    nodes: Mapping[str, Any] = {each["address"]: each for each in json.loads(shown)["nodes"]}
    return nodes


def states(repository: Repository, *arguments: str) -> Mapping[str, str]:
    return {address: node["state"] for address, node in plan(repository, *arguments).items()}


def test_a_plan_writes_nothing(line: Repository) -> None:
    before = line.files()
    assert states(line, "line:second") == {"line:first": "stale", "line:second": "stale"}
    shown = line.pants("plan", "line::")
    assert "line-many/value-7" in shown
    assert line.files() == before


def test_what_is_stale_runs_and_nothing_else(line: Repository) -> None:
    line.pants("materialize", "line:second")
    assert len(line.jobs()) == 2
    assert states(line, "line:second") == {"line:first": "fresh", "line:second": "fresh"}
    output = plan(line, "line:second")["line:second"]["path"]
    with open(f"{output}/out.txt", encoding="utf-8") as file:
        assert file.read() == "11 12 "
    assert line.pants("materialize", "line:second") == "nothing to do: all 2 artifacts are fresh\n"

    line.write("line/config/two/default.yaml", second_config(3))
    reason = plan(line, "line:second")["line:second"]
    assert reason["state"] == "stale" and "value" in reason["why"]
    line.pants("materialize", "line:second")
    assert len(line.jobs()) == 3

    # A comment is no change.
    helper = line.root / "line/helper.py"
    helper.write_text("# why\n" + helper.read_text())
    assert set(states(line, "line:second").values()) == {"fresh"}


def test_what_an_edit_costs(line: Repository) -> None:
    line.write("line/config/two/default.yaml", second_config(4))
    comment = line.pants("plan", "--format=markdown", "--max-gpu-hours=1", "line:second")
    assert comment.startswith("<!-- runspec-plan -->\n### 1 artifact runs: at most ")
    assert "| `value`: 3 -\\> 4 | `line-second` |" in comment
    ranked = json.loads(line.pants("plan", "--costs", "--format=json", "line:second"))["ranking"]
    artifacts = {each["path"]: each["artifacts"] for each in ranked}
    assert artifacts["line/one.py"] == ["line-first", "line-second"]
    assert artifacts["line/two.py"] == ["line-second"]
    line.write("line/config/two/default.yaml", second_config(3))


def test_a_sweep_is_named_as_a_whole(line: Repository) -> None:
    assert states(line, "line:many") == {
        "line:many#value-7": "stale",
        "line:many#value-8": "stale",
    }
    line.pants("materialize", "line:many")
    assert set(states(line, "line:many").values()) == {"fresh"}


def test_a_run_brings_its_inputs_up_to_date(line: Repository) -> None:
    line.write("line/config/one/default.yaml", "value: 5\n")
    assert states(line, "line:first") == {"line:first": "stale"}
    jobs = len(line.jobs())
    line.pants("run", "line:two")
    assert len(line.jobs()) == jobs + 2
    assert states(line, "line:first") == {"line:first": "fresh"}


def test_a_fresh_artifact_is_packaged_and_a_stale_one_is_not(line: Repository) -> None:
    line.pants("materialize", "line:second")
    line.pants("package", "line:second")
    manifest = json.loads((line.root / "dist/line/second/manifest.json").read_text())
    assert manifest["name"] == "line-second"
    assert (line.root / "dist/line/second/metadata.json").exists()

    line.write("line/config/two/default.yaml", second_config(9))
    jobs = len(line.jobs())
    result = line.try_pants("package", "line:second")
    assert result.returncode == 0
    assert "materialize line:second" in result.stderr
    result = line.try_pants("--artifact-package-stale=error", "package", "line:second")
    assert result.returncode != 0
    assert "materialize line:second" in result.stderr
    assert len(line.jobs()) == jobs


@pytest.mark.parametrize(
    ("build", "goal", "message"),
    [
        ('artifact(name="x", recipe=":oen")', "line:x", "did you mean line:one?"),
        ('artifact(name="x", recipe=":one", config="tiny")', "line:x", "no config 'tiny'"),
        ('artifact(name="x", recipe=":one", inputs=[":x"])', "line:x", "made from itself"),
        ("", "line:one", "line:one is a recipe; name what it makes: line:first"),
    ],
)
def test_bad_input_is_one_line(line: Repository, build: str, goal: str, message: str) -> None:
    line.write("line/BUILD", f"{BUILD}{build}\n")
    before = line.files()
    for command in ("plan", "materialize"):
        result = line.try_pants(command, goal)
        assert result.returncode != 0
        assert sum(message in each for each in result.stderr.splitlines()) == 1
        assert "Traceback" not in result.stderr
    line.pants("list", "line::")
    line.pants("dependents", "--transitive", "line/helper.py")
    assert line.files() == before
    line.write("line/BUILD", BUILD)


def test_the_command_line_of_the_launcher(line: Repository) -> None:
    line.pants("materialize", "line:first")
    assert "line-first" in line.pants("nemo-runspec", "--", "store", "ls", "line-*")
    line.pants("nemo-runspec", "--", "promote", "line-first:v1", "prod")
    assert "line-first:v1" in line.pants("nemo-runspec", "--", "store", "show", "line-first:prod")
    result = line.try_pants("nemo-runspec", "--", "promote", "line-frst:v1", "prod")
    assert result.returncode == 2
    assert result.stderr.startswith("error: no artifact 'line-frst'")
