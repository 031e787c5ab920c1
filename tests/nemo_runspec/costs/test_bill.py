"""The bill of a plan: what an edit costs, by artifact and by what causes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.cli import main
from nemo_runspec.costs.bill import MOST_LISTED, Bill, bill_of, to_document
from nemo_runspec.costs.limit import not_in_limit, over_limit
from nemo_runspec.pipeline.render import render
from nemo_runspec.store import VersionDraft
from tests.nemo_runspec.pipeline.example_plan import Example

# Each build of the example took this much.
HOURS = 2.5


@pytest.fixture
def example(tmp_path: Path) -> Example:
    """data -> model -> eval, and one of its own; two of them share a file."""
    example = Example(tmp_path)
    shared = {"src/lib/shared.py": "SHARED = 1"}
    data = example.add_recipe("data", {"src/pipe/data.py": "print('data')"})
    model = example.add_recipe("model", {"src/pipe/model.py": "print('model')", **shared})
    evaluate = example.add_recipe("eval", {"src/pipe/eval.py": "print('eval')", **shared})
    example.add("data", recipe=data, config="count: 3\n")
    example.add("model", recipe=model, config="train: {lr: 0.1}\n", inputs=["data"])
    example.add("eval", recipe=evaluate, inputs=["model"])
    example.add("other")
    return example


def charges(bill: Bill) -> dict[str, tuple[float, float, float]]:
    """GPU-hours of each cause: for certain, at most, and what nothing else causes."""
    return {
        each.cause.text: (
            each.certain.gpu_hours,
            each.at_most.gpu_hours,
            each.alone.gpu_hours,
        )
        for each in bill.charges
    }


def test_what_was_never_built_costs_what_nobody_knows(example: Example) -> None:
    bill = bill_of(example.look())
    assert (bill.at_most.artifacts, bill.at_most.unknown) == (4, 4)
    assert bill.at_most.text() == "unknown"
    assert bill.text() == "What it costs is not known: 4 artifacts of unknown cost."
    assert [each.cause.text for each in bill.charges] == ["never built"]
    # A limit is not kept just because nothing is known.
    assert over_limit(bill, 1.0) is None
    assert "what 4 artifacts cost is not known (data, other, model, …)" in str(
        not_in_limit(bill, 1.0)
    )


def test_what_is_fresh_costs_nothing(example: Example) -> None:
    example.build()
    bill = bill_of(example.look())
    assert (bill.items, bill.charges, bill.text()) == ((), (), "")


def test_an_edited_file_is_charged_with_all_that_comes_after_it(example: Example) -> None:
    example.build()
    example.sources["src/pipe/data.py"] = "print('new')"
    bill = bill_of(example.look())
    # The data runs; model and eval do unless the data comes out the same.
    assert charges(bill) == {"src/pipe/data.py changed": (HOURS, 3 * HOURS, 3 * HOURS)}
    assert bill.charges[0].artifacts == ("data", "model", "eval")
    assert bill.text() == "2.5 GPU-hours for certain, 7.5 GPU-hours at most, as the last time."
    assert bill.at_most.seconds == 3 * 9000


def test_each_cause_is_charged_with_what_it_makes_run(example: Example) -> None:
    example.build()
    example.sources["src/lib/shared.py"] = "SHARED = 2"
    example.configs["src/pipe/config/data.yaml"] = "count: 4\n"
    example.change_recipe("eval", requirements={"numpy": "2.0"})
    bill = bill_of(example.look())
    found = charges(bill)
    # What the two have in common counts for each, what is theirs alone is said.
    assert found["count: 3 -> 4"] == (HOURS, 3 * HOURS, HOURS)
    assert found["src/lib/shared.py changed"] == (0.0, 2 * HOURS, 0.0)
    assert bill.at_most.gpu_hours == 3 * HOURS
    by_name = {item.name: {cause.text for cause in item.causes} for item in bill.items}
    assert by_name["data"] == {"count: 3 -> 4"}
    assert by_name["eval"] >= {"count: 3 -> 4", "src/lib/shared.py changed"}
    # The dearest comes first.
    hours = [each.at_most.gpu_hours for each in bill.charges]
    assert hours == sorted(hours, reverse=True)


def test_a_requirement_is_a_cause(example: Example) -> None:
    example.build()
    recipe = example.recipes["src/pipe:model"]
    changed = {**recipe.requirements, "numpy": "2.0.0"}
    prints = type(recipe.fingerprints)("", "another", "")
    example.change_recipe("model", requirements=changed, fingerprints=prints)
    bill = bill_of(example.look())
    assert charges(bill) == {"requirement numpy: 1.26.4 -> 2.0.0": (HOURS, 2 * HOURS, 2 * HOURS)}


def test_data_that_is_made_again_is_charged_to_what_needs_it(example: Example) -> None:
    example.build()
    manifest = example.store.manifest("data", 1)
    example.store.mark_gone("data", 1, "deleted to make room")
    assert bill_of(example.look()).items == ()
    example.sources["src/pipe/model.py"] = "print('edited')"
    bill = bill_of(example.look())
    found = charges(bill)
    # The edit of the model makes its data again.
    assert found["src/pipe/model.py changed"] == (2 * HOURS, 3 * HOURS, 2 * HOURS)
    (gone,) = (text for text in found if text != "src/pipe/model.py changed")
    assert manifest.reference in gone and "deleted to make room" in gone


def test_a_fan_out_costs_what_its_elements_do(tmp_path: Path) -> None:
    example = Example(tmp_path)
    example.add("shards")
    example.metadata["shards"] = {"files": {"a": "1", "b": "2", "c": "3"}, "list": ["a", "b", "c"]}
    example.add(
        "stats", inputs=[_input("shards")], foreach="shards:list", config="run: {shards: shards}\n"
    )
    assert sorted(example.build())[:1] == ["shards"]
    # What gathers takes no time; its elements took theirs.
    latest = example.store.manifest("stats", 1)
    elements = [name for name in example.store.names() if name.startswith("stats/")]
    assert len(elements) == 3
    example.store.add_version(
        "stats",
        VersionDraft(
            path=latest.path,
            used_artifacts=tuple(f"{name}:v1" for name in elements),
            run={"gpu_hours": 0.0, "seconds": 0.001},
        ),
    )
    example.sources["src/pipe/stats.py"] = "print('edited')"
    bill = bill_of(example.look())
    assert bill.at_most.gpu_hours == pytest.approx(3 * HOURS)
    assert bill.items[0].name == "stats"
    assert [each.cause.text for each in bill.charges] == ["src/pipe/stats.py changed"]


def _input(name: str) -> Any:
    from runspec.plan import PlanInput

    return PlanInput(f"{name}:latest", name, f"src/pipe:{name}-artifact")


def test_nodes_without_gpus_cost_node_hours(example: Example) -> None:
    example.build()
    old = example.store.manifest("other", 1)
    run: Mapping[str, Any] = {"gpu_hours": 0.0, "gpus": 0, "nodes": 16, "seconds": 7200.0}
    example.store.add_version("other", VersionDraft(path=old.path, run=run))
    example.sources["src/pipe/other.py"] = "print(2)"
    (charge,) = bill_of(example.look()).charges
    assert charge.at_most.text() == "32.0 node-hours"
    assert charge.at_most.to_json() == {
        "artifacts": 1,
        "unknown": 0,
        "gpu_hours": 0.0,
        "node_hours": 32.0,
        "seconds": 7200.0,
    }


def test_the_document_names_causes_by_position(example: Example) -> None:
    example.build()
    example.sources["src/lib/shared.py"] = "SHARED = 2"
    example.sources["src/pipe/data.py"] = "print('new')"
    document = to_document(bill_of(example.look()))
    assert document == json.loads(render(example.look(), "json"))["bill"]
    causes = [each["text"] for each in document["by_cause"]]
    named = {
        each["name"]: [causes[position] for position in each["causes"]]
        for each in document["by_artifact"]
    }
    assert named == {
        "data": ["src/pipe/data.py changed"],
        "model": ["src/pipe/data.py changed", "src/lib/shared.py changed"],
        "eval": ["src/pipe/data.py changed", "src/lib/shared.py changed"],
    }
    assert document["by_artifact"][0]["cost"] == {
        "gpu_hours": HOURS,
        "seconds": 9000.0,
        "node_hours": None,
    }


def test_the_document_of_a_long_chain_stays_short(example: Example) -> None:
    length = MOST_LISTED + 5
    for number in range(length):
        above = [f"link-{number - 1}"] if number else ["other"]
        example.add(f"link-{number}", config="lr: 1\n", inputs=above)
    example.build()
    for number in range(length):
        example.configs[f"src/pipe/config/link-{number}.yaml"] = f"lr-{number}: 2\n"
    document = to_document(bill_of(example.look()))
    # The dearest cause is that of the first: all others are made from it.
    first, last = document["by_cause"][0], document["by_artifact"][-1]
    assert first["at_most"]["artifacts"] == length
    assert first["artifacts"] == [f"link-{number}" for number in range(MOST_LISTED)]
    assert last["name"] == f"link-{length - 1}" and last["cause_count"] >= length
    assert last["causes"] == sorted(last["causes"]) and len(last["causes"]) == MOST_LISTED


def test_the_comment_of_a_pull_request(example: Example) -> None:
    example.build()
    example.sources["src/pipe/data.py"] = "print('new')"
    example.add("report", inputs=["eval"])
    text = render(example.look(), "markdown")
    assert text.splitlines()[:8] == [
        "<!-- runspec-plan -->",
        "### 2 artifacts run, 2 more may: at most 7.5 GPU-hours + 1 unknown",
        "",
        "2.5 GPU-hours for certain, 7.5 GPU-hours at most, as the last time; not in it: 1 artifact "
        "of unknown cost.",
        "",
        "| what causes it | what it makes run | for certain | at most |",
        "|---|---|---:|---:|",
        "| `src/pipe/data.py` changed | `data`, `model`, `eval` | 2.5 GPU-hours | 7.5 GPU-hours |",
    ]
    assert "| never built | `report` | unknown | unknown |" in text
    assert "<details><summary>2 stale, 2 depends</summary>\n\n| | artifact |" in text
    assert "| stale | `report` | never built | unknown |" in text
    assert "<details><summary>1 fresh</summary>\n\n`other` v1\n\n</details>" in text


@pytest.fixture
def folder(example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The example's plan, in a repository whose `env.toml` names its store."""
    example.build()
    example.enter(monkeypatch)
    example.sources["src/pipe/data.py"] = "print('new')"
    return str(example.write())


def test_a_plan_over_the_limit_fails(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", folder, "--max-gpu-hours", "7.5"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "  7.5 GPU-hours  src/pipe/data.py changed (3 artifacts)" in out
    assert max(map(len, out.splitlines())) <= 80
    assert main(["plan", folder, "--max-gpu-hours=7.4", "--format=markdown"]) == 1
    out, err = capsys.readouterr()
    # The comment is made all the same.
    assert out.startswith("<!-- runspec-plan -->\n")
    assert err == (
        "error: this would take about 7.50 GPU-hours (3 artifacts, by what they took the last "
        "time), more than --max-gpu-hours 7.4; what causes it: src/pipe/data.py changed (7.5)\n"
    )


def test_what_nobody_knows_is_said_beside_the_limit(
    example: Example, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    example.add("report", inputs=["eval"])
    example.write()
    assert main(["plan", folder, "--max-gpu-hours", "10"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("warning: what 1 artifact cost is not known (report)")
    assert err.count("\n") == 1


@pytest.mark.parametrize("value", ["x", "-1", "inf", "nan"])
def test_a_limit_that_is_none(folder: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", folder, f"--max-gpu-hours={value}"]) == 2
    assert capsys.readouterr().err == f"error: --max-gpu-hours needs a number, not {value!r}\n"
