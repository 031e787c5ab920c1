from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from nemo_runspec.cli import main
from nemo_runspec.costs.past import Cost
from nemo_runspec.pipeline.decide import State
from nemo_runspec.pipeline.markdown import MARKER
from nemo_runspec.pipeline.plan import Elements, PlannedNode, PlanResult
from nemo_runspec.pipeline.reason import Category, Reason
from nemo_runspec.pipeline.render import render, to_document
from runspec.plan import PlanArtifact
from tests.nemo_runspec.pipeline.example_plan import Example


def _node(name: str, state: State, **values: object) -> PlannedNode:
    artifact = PlanArtifact(address=f"src/pipe:{name}", name=name, recipe="src/pipe:recipe")
    return PlannedNode(artifact=artifact, state=state, **values)  # type: ignore[arg-type]


_RESULT = PlanResult(
    nodes=(
        _node("words", State.FRESH, version="v3", key="k", path="/data/words"),
        _node("old", State.GONE, version="v1", reasons=(Reason(Category.GONE, "deleted"),)),
        _node(
            "pretrain-model",
            State.STALE,
            cost=Cost(12.34, 3600.0),
            reasons=tuple(
                Reason(Category.CONFIG, f"train.optimizer.learning_rate_{n}", "0.0001", "0.0003")
                for n in range(5)
            ),
        ),
        _node("sft", State.DEPENDS, reasons=(Reason(Category.UPSTREAM, "input x | y may change"),)),
        _node("rl", State.RUNNING, holder={"user": "ann", "host": "dgx", "since": "12:00"}),
        _node("eval", State.BLOCKED, reasons=(Reason(Category.BLOCKED, "input z: missing"),)),
        _node("stats", State.STALE, elements=Elements(9, 2), cost=Cost(None, 75.0)),
        _node("raw", State.FRESH, version="v1", unchecked=("unchecked:ftp://x",)),
    ),
    needs_bundles=("src/pipe:recipe",),
    store="/store",
)


def test_the_table_fits_in_80_columns() -> None:
    text = render(_RESULT, "table")
    assert max(map(len, text.splitlines())) <= 80
    assert "\033" not in text
    assert "= fresh    words  v3" in text
    assert "* stale    pretrain-model  12.3 GPU-hours last time" in text
    assert "and 2 more" in text
    assert "> running  rl\n    held by ann@dgx since 12:00" in text
    assert "stats  9 elements, 75.0 s last time" in text
    assert "not looked at: unchecked:ftp://x" in text
    assert "2 fresh, 2 stale, 1 depends, 1 running, 1 blocked, 1 gone." in text
    assert "12.3 GPU-hours, as the last time; not in it: 2 artifacts of unknown cost." in text
    assert (
        "  12.3 GPU-hours  train.optimizer.learning_rate_0: 0.0001 -> 0.0003 (1 artifact)" in text
    )
    assert "and 2 more causes" in text


def test_colour_is_only_there_when_asked_for() -> None:
    colored = render(_RESULT, "table", color=True)
    assert "\033[33m* stale" in colored
    assert re.sub(r"\033\[[0-9]*m", "", colored) == render(_RESULT, "table")


def test_nothing_to_do_says_so() -> None:
    fresh = replace(_RESULT, nodes=_RESULT.nodes[:1])
    assert render(fresh, "table").endswith("All 1 are fresh: nothing to do.\n")
    assert render(fresh, "markdown") == f"{MARKER}\n### Nothing runs: 1 artifact up to date\n"
    assert render(replace(_RESULT, nodes=()), "table") == "Nothing to plan.\n"


def test_markdown_is_a_table_for_a_comment() -> None:
    text = render(_RESULT, "markdown")
    # Whoever posts it finds the one of the last time by its first line.
    assert text.splitlines()[0] == MARKER
    assert "### 2 artifacts run, 1 more may: at most 12.3 GPU-hours + 2 unknown; 1 artifact" in text
    assert "| stale | `pretrain-model` | train.optimizer" in text
    assert "input x \\| y may change" in text
    assert "<details><summary>2 fresh</summary>" in text
    causes, artifacts = (
        [line for line in part.splitlines() if line.startswith("|")]
        for part in text.split("<details>")[:2]
    )
    assert len(causes) == 2 + 5 + 2 and len(artifacts) == 2 + 6
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in (*causes, *artifacts)} == {5}


def test_json_has_the_documented_keys() -> None:
    document = json.loads(render(_RESULT, "json"))
    assert document == to_document(_RESULT)
    assert document["schema"] == "1" and document["is_fresh"] is False
    assert document["needs_bundles"] == ["src/pipe:recipe"]
    assert document["gpu_hours"] == 12.34
    assert set(document["nodes"][2]) == {
        *("address", "name", "recipe", "state", "reasons", "why", "key", "version", "path"),
        *("cost", "holder", "elements", "unchecked", "inputs"),
    }
    assert document["nodes"][2]["reasons"][0] == {
        "category": "config",
        "what": "train.optimizer.learning_rate_0",
        "old": "0.0001",
        "new": "0.0003",
        "text": "train.optimizer.learning_rate_0: 0.0001 -> 0.0003",
    }


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    example = Example(tmp_path)
    example.environ = {}
    example.add("data", config="count: 3\n")
    example.add("model", inputs=["data"])
    example.enter(monkeypatch, '[laptop]\nexecutor = "local"\n')
    return example


def test_the_plan_command(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(example.write())
    assert main(["plan", folder, "--profile", "laptop"]) == 0
    assert "* stale    data" in capsys.readouterr().out
    example.build()
    assert main(["plan", "--format=json", folder]) == 0
    assert json.loads(capsys.readouterr().out)["is_fresh"] is True
    assert main(["plan", folder, "--width", "60", "--color"]) == 0
    assert "\033[32m= fresh" in capsys.readouterr().out
    assert main(["plan", "--help"]) == 0
    assert "usage: nemo-runspec plan FOLDER" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan"], "plan needs FOLDER"),
        (["plan", "{folder}", "--format=jsn"], "did you mean 'json'"),
        (["plan", "{folder}", "--profile", "laptp"], "laptop"),
        (["plan", "{folder}/nothing"], "plan.json"),
        (["export", "{folder}", "src/pipe:model-artifact"], "needs --output DIR"),
        (["export", "{folder}", "src/pipe:modl", "--output", "x"], "src/pipe:modl"),
    ],
)
def test_bad_input_is_one_line(
    example: Example, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(example.write())
    assert main([each.replace("{folder}", folder) for each in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("error: ") and words in captured.err


def test_without_a_store_nothing_can_be_fresh(
    example: Example, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("env.toml").write_text("[artifacts]\nroot = false\n")
    assert main(["plan", str(example.write())]) == 2
    capsys.readouterr()


def test_a_fresh_version_is_exported(
    example: Example, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example.metadata["data"] = {"total": 3, "name": "Søren"}
    example.build()
    folder, output = str(example.write()), tmp_path / "dist" / "data"
    arguments = ["export", folder, "src/pipe:data-artifact", "--output", str(output)]
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("data:v1 -> ")
    assert sorted(each.name for each in output.iterdir()) == ["manifest.json", "metadata.json"]
    manifest = json.loads((output / "manifest.json").read_text())
    stored = json.loads((tmp_path / "store" / "data" / "v1" / "manifest.json").read_text())
    # Who wrote it is the store's own business.
    assert manifest == {key: value for key, value in stored.items() if key != "writer"}
    assert json.loads((output / "metadata.json").read_text())["name"] == "Søren"
    assert main(arguments) == 0


def test_a_stale_version_is_not_exported(
    example: Example, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example.build()
    example.configs["src/pipe/config/data.yaml"] = "count: 4\n"
    folder, output = str(example.write()), tmp_path / "dist"
    arguments = ["export", folder, "src/pipe:data-artifact", "--output", str(output)]
    assert main(arguments) == 0
    warning = capsys.readouterr().err
    assert warning.startswith("warning: src/pipe:data-artifact: nothing was written: it is stale")
    assert "count: 3 -> 4" in warning
    assert "`pants materialize src/pipe:data-artifact`" in warning
    assert not output.exists()
    assert main([*arguments, "--stale=error", "--profile", "laptop"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "--profile=laptop" in error
    assert not output.exists()
