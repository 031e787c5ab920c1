from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runspec.bundle import Fingerprints
from runspec.errors import InvalidPlanError
from runspec.models import Runspec, RunspecRun
from runspec.plan import (
    Plan,
    PlanArtifact,
    PlanInput,
    PlanNode,
    PlanRecipe,
    from_json,
    read_plan,
    to_json,
)

_PLAN = Plan(
    files=(("src/words.py", "1" * 64), ("src/data.py", "2" * 64), ("src/config/a.yaml", "3" * 64)),
    nodes=(PlanNode((0,), ()), PlanNode((1,), (0,)), PlanNode((), (1, 0))),
    recipes={
        "src:data": PlanRecipe(
            spec=Runspec(
                name="nano3/data",
                image="/home/${oc.env:USER}/x.sqsh",
                run=RunspecRun(launch="direct"),
                env={"A": "1"},
                script_path=Path("src/data.py"),
            ),
            script="src/data.py",
            node=2,
            fingerprints=Fingerprints("a" * 64, "b" * 64, "c" * 64),
            requirements={"numpy": "1.26.4"},
            interpreter_constraints=("CPython>=3.11",),
            inherit_path=True,
        )
    },
    artifacts=(
        PlanArtifact(
            address="src:words",
            name="words/de",
            recipe="src:data",
            config="a",
            chain=("src/config/a.yaml",),
            overrides=("train.lr=1e-4", "x='ü'"),
            output="model",
            type="ModelArtifact",
            on_failure="skip",
            external_inputs=("raw/x", "s3://b/x"),
            key_ignores=("logging",),
            content="stat",
        ),
        PlanArtifact(
            address="src:model#lr-1e-4",
            name="model",
            recipe="src:data",
            inputs=(
                PlanInput("words/de:latest", "data", "src:words"),
                PlanInput("other:v3", "other"),
                PlanInput("third", None, None),
            ),
            foreach="data:shards",
        ),
    ),
    roots=("src:model#lr-1e-4",),
)


def _document() -> Any:
    return json.loads(to_json(_PLAN))


def test_what_is_written_is_read() -> None:
    text = to_json(_PLAN)
    assert from_json(text, "plan.json") == _PLAN
    assert to_json(from_json(text, "plan.json")) == text
    assert from_json(to_json(Plan()), "plan.json") == Plan()


def test_the_order_of_tables_does_not_count() -> None:
    recipe = _PLAN.recipes["src:data"]
    one = replace(_PLAN, recipes={"src:data": recipe, "src:x": recipe})
    other = replace(_PLAN, recipes={"src:x": recipe, "src:data": recipe})
    assert to_json(one) == to_json(other)


def test_unknown_keys_of_a_later_version_are_ignored() -> None:
    document = _document()
    document["later"] = document["artifacts"][0]["later"] = document["nodes"][0]["later"] = 1
    document["schema"] = "1.7"
    assert from_json(json.dumps(document), "plan.json") == replace(_PLAN, schema="1.7")


def test_the_files_of_a_recipe_are_those_below_it() -> None:
    assert _PLAN.files_of("src:data") == {"src/words.py": "1" * 64, "src/data.py": "2" * 64}


def test_a_deep_graph_needs_no_recursion() -> None:
    nodes = tuple(PlanNode((0,), (n - 1,) if n else ()) for n in range(5000))
    recipe = replace(_PLAN.recipes["src:data"], node=4999)
    plan = Plan(files=(("a.py", "1"),), nodes=nodes, recipes={"src:data": recipe})
    assert from_json(to_json(plan), "plan.json").files_of("src:data") == {"a.py": "1"}


def _change(path: str, value: Any) -> Any:
    document = _document()
    here = document
    *above, last = [int(part) if part.isdecimal() else part for part in path.split("/")]
    for part in above:
        here = here[part]
    if value is None:
        del here[last]
    else:
        here[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("schema", "2", 'schema is "2"'),
        ("files", None, "not whole"),
        ("files/0", ["one"], "not whole"),
        ("nodes/1/files", [9], "9, which is no position"),
        ("nodes/1/below", [3], "3, which is no position"),
        ("nodes/1/below", [True], "true, which is no position"),
        ("recipes/src:data/node", 7, "7, which is no position"),
        ("recipes/src:data/fingerprints/code", None, "not whole"),
        ("recipes/src:data/spec/run/launch", "torch", "launch"),
        ("artifacts/0/recipe", "src:nothing", "src:nothing, which the plan does not hold"),
        ("artifacts/1/inputs/0/artifact", "src:none", "src:none, which the plan does not hold"),
        ("artifacts/1/inputs/0/key", 3, "inputs.key"),
        ("artifacts/1/address", "src:words", "holds an address twice"),
        ("artifacts/0/chain", ["../x.yaml"], "outside the build root"),
        ("artifacts/0/on_failure", "stop", "use one of fail, skip"),
        ("artifacts/0/content", "md5", "use one of hash, stat, none"),
        ("roots", ["src:none"], "src:none, which the plan does not hold"),
    ],
)
def test_a_wrong_document_is_one_line(path: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidPlanError) as caught:
        from_json(json.dumps(_change(path, value)), "some/plan.json")
    message = str(caught.value)
    assert message.startswith("some/plan.json") and words in message and "\n" not in message


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_what_is_no_document_is_one_line(text: str) -> None:
    with pytest.raises(InvalidPlanError, match="plan.json"):
        from_json(text, "plan.json")


def test_a_folder_without_a_plan_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidPlanError, match="`pants plan` makes one"):
        read_plan(tmp_path)
    (tmp_path / "plan.json").write_text(to_json(_PLAN))
    assert read_plan(tmp_path) == _PLAN
