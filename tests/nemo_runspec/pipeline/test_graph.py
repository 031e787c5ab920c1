from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_runspec.exceptions import UsageError
from nemo_runspec.pipeline.graph import CycleError, DuplicateNameError, Graph
from runspec.plan import Plan, PlanArtifact, PlanInput


def _plan(edges: dict[str, list[str]]) -> Plan:
    return Plan(
        artifacts=tuple(
            PlanArtifact(
                address=f"src:{name}",
                name=name,
                recipe="src:recipe",
                inputs=tuple(PlanInput(f"{each}:latest", None, f"src:{each}") for each in inputs),
            )
            for name, inputs in edges.items()
        ),
        roots=tuple(f"src:{name}" for name in edges),
    )


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(
            st.permutations(range(n)),
            st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=30),
        )
    )
)
def test_inputs_come_first(drawn: tuple[list[int], list[tuple[int, int]]]) -> None:
    order, pairs = drawn
    edges: dict[str, list[str]] = {f"a{n}": [] for n in order}
    for one, other in pairs:
        if one != other:
            edges[f"a{max(one, other)}"].append(f"a{min(one, other)}")
    graph = Graph(_plan(edges))
    position = {artifact.name: n for n, artifact in enumerate(graph.order)}
    assert len(position) == len(edges)
    assert all(position[each] < position[name] for name in edges for each in edges[name])


def test_a_long_chain_needs_no_recursion() -> None:
    edges = {f"a{n}": [f"a{n - 1}"] if n else [] for n in reversed(range(20_000))}
    assert [each.name for each in Graph(_plan(edges)).order[:2]] == ["a0", "a1"]


def test_a_circle_is_told_whole() -> None:
    with pytest.raises(CycleError) as caught:
        Graph(_plan({"top": ["b"], "a": ["c"], "b": ["a"], "c": ["b"], "free": []}))
    cycle = caught.value.cycle
    assert cycle[0] == cycle[-1] and set(cycle) == {"src:a", "src:b", "src:c"}
    assert " <- " in str(caught.value) and "\n" not in str(caught.value)


def test_one_that_is_made_from_itself_is_a_circle() -> None:
    with pytest.raises(CycleError, match="src:a <- src:a"):
        Graph(_plan({"a": ["a"]}))


def test_two_targets_of_one_name_are_told() -> None:
    plan = _plan({"a": []})
    twice = Plan(
        artifacts=(
            *plan.artifacts,
            PlanArtifact(address="src:other", name="a", recipe="src:recipe"),
        )
    )
    with pytest.raises(DuplicateNameError, match="src:a and src:other both make .* 'a'"):
        Graph(twice)


def test_an_unknown_address_names_the_nearest() -> None:
    graph = Graph(_plan({"model": []}))
    with pytest.raises(UsageError, match="did you mean 'src:model'"):
        graph.artifact("src:modle")
    assert graph.consumers["src:model"] == []
