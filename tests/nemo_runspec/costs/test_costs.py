"""`nemo-runspec costs`: the files of the repository by what editing them makes run again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nemo_runspec.cli import main
from nemo_runspec.costs.past import Cost
from nemo_runspec.costs.ranking import rank_files
from nemo_runspec.pipeline.graph import Graph
from runspec.plan import Plan, PlanArtifact, PlanInput, PlanNode
from tests.nemo_runspec.pipeline.example_plan import Example

HOURS = 2.5


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    """data -> model -> eval, and one of its own; two of them share a file."""
    example = Example(tmp_path)
    shared = {"src/lib/shared.py": "SHARED = 1"}
    model = example.add_recipe("model", {"src/pipe/model.py": "print('model')", **shared})
    evaluate = example.add_recipe("eval", {"src/pipe/eval.py": "print('eval')", **shared})
    example.add("data")
    example.add("model", recipe=model, inputs=["data"])
    example.add("eval", recipe=evaluate, inputs=["model"])
    example.add("other")
    example.build()
    example.enter(monkeypatch)
    return example


def test_the_ranking(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(example.write())
    assert main(["costs", folder, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    ranking = {
        each["path"]: (
            each["certain"]["gpu_hours"],
            each["at_most"]["gpu_hours"],
            each["artifacts"],
        )
        for each in document["ranking"]
    }
    assert ranking == {
        "src/pipe/config/data.yaml": (HOURS, 3 * HOURS, ["data", "model", "eval"]),
        "src/pipe/data.py": (HOURS, 3 * HOURS, ["data", "model", "eval"]),
        "src/lib/shared.py": (2 * HOURS, 2 * HOURS, ["model", "eval"]),
        "src/pipe/config/model.yaml": (HOURS, 2 * HOURS, ["model", "eval"]),
        "src/pipe/model.py": (HOURS, 2 * HOURS, ["model", "eval"]),
        "src/pipe/config/eval.yaml": (HOURS, HOURS, ["eval"]),
        "src/pipe/config/other.yaml": (HOURS, HOURS, ["other"]),
        "src/pipe/eval.py": (HOURS, HOURS, ["eval"]),
        "src/pipe/other.py": (HOURS, HOURS, ["other"]),
    }
    # The dearest first, and what is alike by name.
    assert [each["path"] for each in document["ranking"]] == list(ranking)
    assert document["files"] == 9 and document["total"]["gpu_hours"] == 4 * HOURS


def test_what_it_says_is_what_an_edit_then_makes_run(example: Example) -> None:
    costs = {address: Cost(HOURS) for address in example.artifacts}
    ranked = {each.path: each for each in rank_files(Graph(example.plan()), costs)}
    for path in list(example.sources):
        before = example.sources[path]
        example.sources[path] = f"{before}\nprint('edited')"
        runs = [node.name for node in example.look().nodes if node.state.value != "fresh"]
        example.sources[path] = before
        assert list(ranked[path].artifacts) == runs


def test_the_table(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(example.write())
    assert main(["costs", folder, "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "AT MOST        CERTAIN        ARTIFACTS  FILE",
        "7.5 GPU-hours  2.5 GPU-hours          3  src/pipe/config/data.yaml",
        "7.5 GPU-hours  2.5 GPU-hours          3  src/pipe/data.py",
        "",
        "the first 2 of 9 files; all 4 artifacts of the plan took 10.0 GPU-hours",
    ]


@pytest.mark.parametrize(
    ("patterns", "files"),
    [
        (["src/lib"], ["src/lib/shared.py"]),
        (["src/lib/", "src/pipe/eval.py"], ["src/lib/shared.py", "src/pipe/eval.py"]),
        (["*/model.*"], ["src/pipe/config/model.yaml", "src/pipe/model.py"]),
    ],
)
def test_only_some_files(
    example: Example, patterns: list[str], files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["costs", str(example.write()), *patterns, "--format=json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["path"] for each in document["ranking"]] == files


def test_files_that_nothing_depends_on(
    example: Example, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["costs", str(example.write()), "docs"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: no file of ") and "is docs" in err and err.count("\n") == 1


def test_what_was_never_built_is_unknown(
    example: Example, capsys: pytest.CaptureFixture[str]
) -> None:
    example.add("report", inputs=["eval"])
    assert main(["costs", str(example.write()), "src/pipe/eval.py", "src/pipe/report.py"]) == 0
    out = capsys.readouterr().out
    assert "2.5 GPU-hours + 1 unknown  2.5 GPU-hours          2  src/pipe/eval.py" in out
    assert "unknown                    unknown                1  src/pipe/report.py" in out


def test_code_that_many_share_counts_along_every_path(example: Example) -> None:
    """A diamond of modules below two recipes, and a file that no recipe reaches."""
    plan = example.plan()
    files = tuple((f"{name}.py", "0" * 64) for name in ("top", "left", "right", "base", "unused"))
    nodes = (
        PlanNode((0,), (1, 2)),
        PlanNode((1,), (3,)),
        PlanNode((2,), (3,)),
        PlanNode((3,), ()),
        PlanNode((4,), (3,)),
    )
    recipes = {
        "r:top": replace(plan.recipes["src/pipe:data"], node=0),
        "r:left": replace(plan.recipes["src/pipe:data"], node=1),
    }
    artifacts = (
        PlanArtifact(address="a:one", name="one", recipe="r:top"),
        PlanArtifact(address="a:two", name="two", recipe="r:left"),
        PlanArtifact(
            address="a:three",
            name="three",
            recipe="r:left",
            inputs=(PlanInput("one", None, "a:one"),),
        ),
    )
    shared = Plan(files, nodes, recipes, artifacts, ("a:two", "a:three"))
    costs = {"a:one": Cost(1.0), "a:two": Cost(10.0), "a:three": None}
    found = {each.path: each for each in rank_files(Graph(shared), costs)}
    hours = {path: each.at_most.gpu_hours for path, each in found.items()}
    assert hours == {"base.py": 11.0, "left.py": 11.0, "top.py": 1.0, "right.py": 1.0}
    assert found["top.py"].artifacts == ("one", "three")
    assert (found["top.py"].certain.unknown, found["top.py"].at_most.unknown) == (0, 1)
    assert set(shared.files_of("r:top")) == set(hours)
