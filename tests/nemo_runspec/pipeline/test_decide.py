"""What the plan says is what runs, over random graphs and edits; see also test_oracle.py."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nemo_runspec.pipeline.decide import Absent, Made, Open, State, decide, outcome
from nemo_runspec.pipeline.elements import ForeachError, elements_of, foreach_input
from nemo_runspec.pipeline.key import KeyParts
from runspec.plan import PlanArtifact, PlanInput
from tests.nemo_runspec.pipeline.example_plan import Example

_GRAPHS = st.integers(2, 6).flatmap(
    lambda n: st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=2 * n).map(
        lambda pairs: (n, sorted({(max(p), min(p)) for p in pairs if p[0] != p[1]}))
    )
)
_EDITS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["config", "code", "gone", "same", "back", "revoke"]),
            st.integers(0, 5),
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=3,
    ),
    min_size=1,
    max_size=5,
)


def _edit(example: Example, kind: str, name: str, value: int) -> None:
    if kind == "config":
        example.configs[f"src/pipe/config/{name}.yaml"] = f"x: {value}\n"
    elif kind == "back":
        example.configs[f"src/pipe/config/{name}.yaml"] = "{}"
    elif kind == "code":
        example.sources[f"src/pipe/{name}.py"] = f"print({value})"
    elif kind == "same":
        # Its output no more depends on what it is made from, or does again.
        if example.outputs.pop(name, None) is None:
            example.outputs[name] = "the same"
    elif kind == "gone":
        for folder in (example.folder / "outputs" / name).glob("*"):
            shutil.rmtree(folder)
            folder.mkdir()
            folder.rename(example.folder / "outputs" / name / f"gone-{folder.name}")
    elif example.store.latest(name):
        example.store.revoke(name, example.store.latest(name) or 0, by="ann", reason="test")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_GRAPHS, _EDITS)
def test_what_is_said_is_what_runs(
    tmp_path_factory: pytest.TempPathFactory,
    graph: tuple[int, list[tuple[int, int]]],
    edits: list[list[tuple[str, int, int]]],
) -> None:
    count, edges = graph
    example = Example(tmp_path_factory.mktemp("decide"))
    for n in range(count):
        example.add(f"a{n}", inputs=[f"a{below}" for above, below in edges if above == n])
    for changes in [[], *edits]:
        for kind, n, value in changes:
            _edit(example, kind, f"a{n % count}", value)
        planned = example.states()
        ran = set(example.build())
        stale = {name for name, state in planned.items() if state == "stale"}
        depends = {name for name, state in planned.items() if state == "depends"}
        assert stale <= ran <= stale | depends, (planned, ran)
        assert set(example.states().values()) <= {"fresh", "gone"}
        assert example.build() == []


def test_outcomes_are_what_those_below_get(tmp_path: Path) -> None:
    example = Example(tmp_path)
    example.add("data")
    example.add("bad", inputs=["nothing:v1"], on_failure="skip")
    world = example.world()
    data = world.graph.artifact("src/pipe:data-artifact")
    bad = world.graph.artifact("src/pipe:bad-artifact")
    decision = decide(world, data, {})
    assert decision.state is State.STALE and isinstance(decision.parts, KeyParts)
    assert decision.explain["files"] == {
        "src/pipe/data.py": decision.explain["files"]["src/pipe/data.py"]
    }
    assert outcome(data, decision) == Open("data")
    missing = outcome(bad, decide(world, bad, {}))
    assert isinstance(missing, Absent) and missing.skip and "nothing" in missing.why
    example.build()
    made = outcome(data, decide(example.world(), data, {}))
    assert isinstance(made, Made)
    assert (made.reference, made.gone) == ("data:v1", False)


def test_a_lease_of_one_s_own_keeps_nothing_from_running(tmp_path: Path) -> None:
    example = Example(tmp_path)
    example.add("data")
    world = example.world()
    artifact = world.graph.order[0]
    key = decide(world, artifact, {}).key
    assert key is not None
    example.store.acquire(world.lease_id("data", key), {"user": "me"})
    assert decide(world, artifact, {}).state is State.RUNNING
    world.held.add(world.lease_id("data", key))
    assert decide(world, artifact, {}).state is State.STALE


def test_a_world_sees_what_others_wrote_once_it_forgets(tmp_path: Path) -> None:
    example = Example(tmp_path)
    example.add("data")
    world = example.world()
    artifact = world.graph.order[0]
    assert decide(world, artifact, {}).state is State.STALE
    example.build()
    world.forget()
    assert decide(world, artifact, {}, wanted=True).state is State.FRESH


def _foreach(text: str | None) -> PlanArtifact:
    inputs = (PlanInput("words/de:latest", "data", "src:words"), PlanInput("other:v3"))
    return PlanArtifact("src:stats", "stats", "src:recipe", inputs=inputs, foreach=text)


def test_elements_are_told_apart_by_what_they_are() -> None:
    fingerprints = {"/data/a.bin": "sha256:1", "/elsewhere/x": "sha256:2", "s3://b/y": "tags:3"}
    values = [
        "a.bin",
        "/data/a.bin",
        "/elsewhere/x",
        "s3://b/y",
        "de",
        3,
        {"path": "a.bin", "n": 1},
        {"lang": "de", "sha256": "9"},
        {"lang": "de"},
    ]
    tasks = elements_of(_foreach("data:shards"), {"shards": values}, "/data", fingerprints.get)
    assert [task.index for task in tasks] == list(range(len(values)))
    assert len({task.digest for task in tasks}) == len(values)
    assert [task.stands_for_input for task in tasks] == [True] * 4 + [False] * 2 + [True] * 2 + [
        False
    ]
    assert all(task.name == f"stats/{task.digest[:8]}" for task in tasks)
    moved = {path.replace("/data", "/other"): value for path, value in fingerprints.items()}
    again = [
        str(value).replace("/data", "/other") if value == "/data/a.bin" else value
        for value in values
    ]
    others = elements_of(
        _foreach("data:shards"), {"metadata": {"shards": again}}, "/other", moved.get
    )
    assert [task.evidence for task in others] == [task.evidence for task in tasks]


@pytest.mark.parametrize(
    ("foreach", "words"),
    [
        ("data", "KEY:FIELD"),
        ("date:shards", "did you mean 'data'"),
        ("data:shard", "did you mean 'shards'"),
        ("data:total", "is no list but int"),
    ],
)
def test_a_bad_foreach_is_one_line(foreach: str, words: str) -> None:
    artifact = _foreach(foreach)
    with pytest.raises(ForeachError, match=words):
        foreach_input(artifact)
        elements_of(artifact, {"shards": [], "total": 3}, "/data", lambda _: None)


def test_the_list_s_input_goes_by_key_or_name() -> None:
    assert foreach_input(_foreach("data:x")).key == "data"
    assert foreach_input(_foreach("words/de:x")).key == "data"
    assert foreach_input(_foreach("other:x")).reference == "other:v3"
