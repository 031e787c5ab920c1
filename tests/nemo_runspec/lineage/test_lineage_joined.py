"""A plan joined with the store."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nemo_runspec.exceptions import UsageError
from nemo_runspec.lineage.joined import joined_lineage
from nemo_runspec.lineage.model import Kind, Lineage, State
from nemo_runspec.lineage.tree import render_tree
from nemo_runspec.pipeline.plan import make_plan
from nemo_runspec.store import KeyRecord, VersionDraft
from runspec.plan import PlanInput
from tests.nemo_runspec.pipeline.example_plan import Example


@pytest.fixture
def example(tmp_path: Path) -> Example:
    """words (of the store) and data -> model -> scores; data -> rival."""
    made = Example(tmp_path)
    made.store.add_version("words", VersionDraft(path=str(tmp_path), used_artifacts=("web:v1",)))
    made.add("data", config="count: 3\n", inputs=["words:v1"])
    made.add("model", config="lr: 0.1\n", inputs=[_input("data", "source")])
    made.add("scores", inputs=[_input("model", "model"), _input("data", "data")])
    made.add("rival", inputs=["data"])
    return made


def _input(name: str, key: str) -> PlanInput:
    return PlanInput(f"{name}:latest", key, address(name))


def address(name: str) -> str:
    return f"src/pipe:{name}-artifact"


def look(example: Example, *names: str, direction: str = "upstream") -> Lineage:
    world = example.world()
    return joined_lineage(world, make_plan(world), list(map(address, names)), direction)


def states(lineage: Lineage) -> dict[str, str]:
    return {node.id: node.state.value for node in lineage.nodes}


def test_before_anything_was_built(example: Example) -> None:
    lineage = look(example, "scores")
    assert lineage.roots == (f"target:{address('scores')}",)
    assert states(lineage) == {
        "web:v1": "missing",
        "words:v1": "recorded",
        f"target:{address('data')}": "missing",
        f"target:{address('model')}": "missing",
        f"target:{address('scores')}": "missing",
    }
    node = lineage.node(lineage.roots[0])
    assert (node.kind, node.name, node.version) == (Kind.TARGET, "scores", None)
    assert [each["text"] for each in node.reasons] == ["never built"]


def test_what_is_fresh_is_its_version(example: Example) -> None:
    example.build()
    lineage = look(example, "scores")
    assert states(lineage) == {
        "web:v1": "missing",
        "words:v1": "recorded",
        "data:v1": "fresh",
        "model:v1": "fresh",
        "scores:v1": "fresh",
    }
    keys = {(each.above, each.below): each.key for each in lineage.edges}
    assert keys == {
        ("web:v1", "words:v1"): None,
        ("words:v1", "data:v1"): None,
        ("data:v1", "model:v1"): "source",
        ("data:v1", "scores:v1"): "data",
        ("model:v1", "scores:v1"): "model",
    }
    node = lineage.node("model:v1")
    assert (node.address, node.type) == (address("model"), "Artifact")
    assert node.document["parts"]["config"] == {"lr": 0.1}
    assert node.spent.gpu_hours == 2.5


def test_what_is_stale_says_why(example: Example) -> None:
    example.outputs["data"] = "the same"
    example.build()
    example.configs["src/pipe/config/model.yaml"] = "lr: 0.3\n"
    lineage = look(example, "scores")
    target = lineage.node(f"target:{address('model')}")
    assert target.state is State.STALE
    assert [each["text"] for each in target.reasons] == ["lr: 0.1 -> 0.3"]
    assert target.reasons[0]["category"] == "config"
    # What there is to say of the newest version stands beside it.
    assert (target.version, target.document["version"], target.type) == (None, 1, "Artifact")
    assert target.document["parts"]["config"] == {"lr": 0.1}
    assert target.spent.gpu_hours == 2.5
    below = lineage.node(f"target:{address('scores')}")
    assert below.state is State.DEPENDS
    assert lineage.node("data:v1").state is State.FRESH
    text = render_tree(lineage)
    assert text.startswith("? scores  depends, Artifact\n│    input model may change\n")
    assert "├─ * model (run.model)  stale, Artifact\n│  │    lr: 0.1 -> 0.3\n" in text
    assert "└─ = data:v1 (run.source)  fresh, Artifact\n" in text
    assert re.search(r"\n│  │    newest is v1: 20[^\n]+, 2\.5 GPU-hours\n", text)
    assert "2 targets that are not fresh" in text


def test_many_reasons_are_counted(example: Example) -> None:
    example.build()
    path = "src/pipe/config/model.yaml"
    example.configs[path] = "".join(f"key{number}: 1\n" for number in range(9))
    lineage = look(example, "model")
    assert len(lineage.node(lineage.roots[0]).reasons) == 10
    first, why, *_ = render_tree(lineage).splitlines()
    assert first == "* model  stale, Artifact"
    assert why.endswith("key0: new, 1; key1: new, 1; key2: new, 1; and 7 more")


def test_directions(example: Example) -> None:
    example.build()
    below = look(example, "data", direction="downstream")
    assert set(states(below)) == {"data:v1", "model:v1", "scores:v1", "rival:v1"}
    both = look(example, "model", direction="both")
    assert set(states(both)) == {
        *("web:v1", "words:v1", "data:v1", "model:v1", "scores:v1"),
    }
    # Without a name, all that the plan is about.
    assert look(example).roots == ("scores:v1", "rival:v1")
    with pytest.raises(UsageError, match="the plan has no src/pipe:other"):
        look(example, "other")


def test_gone_accepted_and_blocked(example: Example) -> None:
    example.build()
    store = example.store
    store.mark_gone("data", 1, "freed by gc")
    example.configs["src/pipe/config/rival.yaml"] = "x: 2\n"
    key = example.look().node(address("rival")).key
    rival = store.manifest("rival", 1)
    said = {"by": "eve", "at": "2026-01-01T00:00:00+00:00", "reason": "renamed x"}
    assert key is not None
    record = KeyRecord(1, rival.identity, rival.path, rival.content, "now", said)
    store.set_key("rival", key, record)
    lineage = look(example)
    assert lineage.node("data:v1").state is State.GONE
    assert lineage.node("data:v1").gone == "freed by gc"
    accepted = lineage.node("rival:v1")
    assert accepted.state is State.FRESH and accepted.accepted is not None
    assert accepted.accepted.reason == "renamed x"

    store.revoke("words", 1, by="eve", reason="stolen")
    blocked = look(example, "model")
    node = blocked.node(f"target:{address('data')}")
    assert node.state is State.BLOCKED and "stolen" in str(node.reasons[0]["text"])
    missing = blocked.node("words:v1")
    assert missing.state is State.MISSING and "stolen" in str(missing.reasons[0]["text"])


def test_one_that_is_made_elsewhere(example: Example) -> None:
    key = example.look().node(address("data")).key
    lease = example.store.acquire(f"data/{key}", {"user": "eve", "host": "node7"})
    try:
        node = look(example, "data").node(f"target:{address('data')}")
    finally:
        lease.release()  # type: ignore[union-attr]
    assert node.state is State.RUNNING
    assert str(node.reasons[0]["text"]).startswith("held by eve@node7")


def test_data_that_no_artifact_holds(example: Example, tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir(exist_ok=True)
    (tmp_path / "raw.txt").write_text("words")
    uri = str(tmp_path / "raw.txt")
    example.change("data", external_inputs=(uri,))
    lineage = look(example, "data")
    node = lineage.node(f"external:{uri}")
    assert (node.kind, node.state, node.name) == (Kind.EXTERNAL, State.EXTERNAL, uri)
    assert (node.id, f"target:{address('data')}") in {
        (each.above, each.below) for each in lineage.edges
    }


def test_an_early_cutoff_shows_todays_input(example: Example) -> None:
    example.outputs["data"] = "the same"
    example.build()
    example.configs["src/pipe/config/data.yaml"] = "count: 4\n"
    example.build()
    lineage = look(example, "model")
    # The model was made from data:v1, and data:v2 came out the same.
    assert {"data:v2", "model:v1"} <= set(states(lineage))
    assert ("data:v2", "model:v1") in {(each.above, each.below) for each in lineage.edges}
    assert lineage.node("model:v1").document["used_artifacts"] == ["data:v1"]
