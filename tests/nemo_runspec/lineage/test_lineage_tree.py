"""Lineage as text for people, and as a flowchart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nemo_runspec.lineage.mermaid import render_mermaid
from nemo_runspec.lineage.model import Kind, Lineage, LineageEdge, LineageNode, State
from nemo_runspec.lineage.recorded import recorded_lineage
from nemo_runspec.lineage.tree import Style, render_tree
from nemo_runspec.store import VersionDraft, open_store
from tests.nemo_runspec.lineage.family import Family

NASTY = 'a "b" <script>alert(1)</script> #quot; `x` [y] {z} |w| -->\nend; é 日本 & \\\x1b[31m\r'


def plain(text: str) -> str:
    """A tree without its times, which differ."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", text)


def test_a_tree(family: Family) -> None:
    family.store.set_alias("model", "prod", 2, by="ada")
    family.store.revoke("books", 1, by="eve", reason="the test set is in it")
    lineage = recorded_lineage(family.store, [("scores", 1)])
    assert (
        plain(render_tree(lineage))
        == f"""\
scores:v1  revoked, EvalArtifact
│    made from books:v1, which was revoked by eve, TIME: the test set is in it
│    TIME by ada@node1, commit c0ffee0000, profile prod, 2.0 GPU-hours
├─ model:v2 (run.model)  revoked, ModelArtifact, alias prod
│  │    made from books:v1, which was revoked by eve, TIME: the test set is in it
│  │    TIME by ada@node1, commit c0ffee0000, profile prod, 2.0 GPU-hours
│  │    loss 0.2, n.tokens 7
│  └─ tokens:v1 (run.data)  revoked, DataArtifact
│     │    made from books:v1, which was revoked by eve, TIME: the test set is in it
│     │    TIME by ada@node1, commit c0ffee0000, profile prod, 2.0 GPU-hours
│     ├─ books:v1 (run.books)  revoked, DataArtifact
│     │       revoked by eve, TIME: the test set is in it
│     │       TIME by bob
│     └─ s3://open/rules.json  external
└─ tokens:v1 (run.data)  (see above)

4 versions, 1 input from outside (4 revoked, 6.0 GPU-hours) in {family.store.root}
"""
    )


def test_a_tree_in_both_directions(family: Family) -> None:
    text = plain(render_tree(recorded_lineage(family.store, [("model", 2)], "both")))
    above, below = text.split("What was made from it:\n")
    assert above.startswith("Made from:\nmodel:v2  ModelArtifact\n")
    assert "└─ tokens:v1" in above and "scores" not in above
    assert below.startswith("model:v2") and "└─ scores:v1 (run.model)  EvalArtifact" in below


def test_no_line_is_wider_than_the_terminal(family: Family) -> None:
    lineage = recorded_lineage(family.store, [("scores", 1)])
    text = render_tree(lineage, Style(width=50))
    # A path of the store is more use whole.
    tree, _, _ = text.rpartition("\n\n")
    assert max(map(len, tree.splitlines())) <= 50
    assert "GPU-hours" in text


def test_colours_are_asked_for(family: Family) -> None:
    family.store.revoke("books", 1, by="eve", reason="bad")
    lineage = recorded_lineage(family.store, [("tokens", 1)])
    assert "\033" not in render_tree(lineage)
    colored = render_tree(lineage, Style(color=True))
    assert "\033[31mtokens:v1\033[0m" in colored
    assert re.sub(r"\033\[\d+m", "", colored) == render_tree(lineage)


def test_what_keys_were_made_of(family: Family) -> None:
    lineage = recorded_lineage(family.store, [("model", 2)])
    text = render_tree(lineage, Style(with_keys=True))
    key = family.made["model:v2"].key
    assert key is not None
    assert f"key {key[:12]}\n" in text
    assert "config lr: 0.2\n" in text and "recipe: src:model\n" in text
    assert key[:20] not in text


def test_a_chain_deeper_than_the_terminal_goes_on_below(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    used: tuple[str, ...] = ()
    for number in range(1, 61):
        store.add_version("link", VersionDraft(path="/x", used_artifacts=used))
        used = (f"link:v{number}",)
    text = render_tree(recorded_lineage(store, [("link", 60)]), Style(width=80))
    lines = text.splitlines()
    assert max(map(len, lines[:-1])) <= 80
    for number in range(1, 61):
        shown = [line for line in lines if re.search(rf"\blink:v{number}\b(?!.*see)", line)]
        assert len(shown) == 1, number
    assert "(see below)" in text


def test_a_circle_ends(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.add_version("a", VersionDraft(path="/x", used_artifacts=("b:v1",)))
    store.add_version("b", VersionDraft(path="/x", used_artifacts=("a:v1",)))
    text = render_tree(recorded_lineage(store, [("a", 1)], "both"))
    assert text.count("a:v1 (run") == 0 and text.count("a:v1  (see above)") == 2


def nasty_lineage() -> Lineage:
    nodes = [LineageNode(f"external:{NASTY}", Kind.EXTERNAL, NASTY, State.EXTERNAL)]
    for number, state in enumerate(State):
        document = {"type": NASTY, "created_at": "2026-01-02T03:04:05+00:00"}
        run = {"user": NASTY, "commit": NASTY}
        kind = Kind.TARGET if state is State.STALE else Kind.VERSION
        nodes.append(
            LineageNode(
                f"end:{number}",
                kind,
                f"end/{number}",
                state,
                version=number,
                aliases=(NASTY,),
                document={**document, "run": run},
                metrics={NASTY: 1.0},
            )
        )
    edges = tuple(LineageEdge(nodes[0].id, node.id, NASTY) for node in nodes[1:])
    return Lineage((nodes[4].id,), tuple(nodes), edges, "/store")


def test_nasty_names_stay_on_their_line() -> None:
    text = render_tree(nasty_lineage())
    assert all(char.isprintable() or char == "\n" for char in text)
    # The root, a line for what it says of itself, and the input: none is broken in two.
    root, made, metrics, above, empty, summary = text.splitlines()
    assert root.startswith("> end/3:v3  running") and "日本" in made and "日本" in metrics
    assert above.startswith('└─ a "b" <script>') and not empty and "version" in summary
    assert render_tree(nasty_lineage(), Style(width=60)).count("(run.") == 1


_LABEL = r'"(?:[\w .,:/+=@()-]|#\d+;|<br/>|…)*"'
_NODE = re.compile(rf"  n\d+(?:\[{_LABEL}\]|\[/{_LABEL}/\]|\(\[{_LABEL}\]\))")
_EDGE = re.compile(rf"  n\d+ -->(?:\|{_LABEL}\|)? n\d+")
_CLASS = re.compile(r"  classDef [a-z]+ [a-z0-9#:, -]+|  class n\d+(?:,n\d+)* [a-z]+")


@pytest.mark.parametrize("kind", ["nasty", "family"])
def test_a_flowchart_says_nothing_but_its_grammar(kind: str, family: Family) -> None:
    family.store.revoke("books", 1, by="eve", reason="bad")
    lineage = nasty_lineage()
    if kind == "family":
        lineage = recorded_lineage(family.store, [("scores", 1)])
    first, *lines = render_mermaid(lineage).splitlines()
    assert first == "flowchart LR"
    for line in lines:
        assert any(pattern.fullmatch(line) for pattern in (_NODE, _EDGE, _CLASS)), line
    assert sum(bool(_NODE.fullmatch(line)) for line in lines) == len(lineage.nodes)
    assert sum(bool(_EDGE.fullmatch(line)) for line in lines) == len(lineage.edges)


def test_a_flowchart_has_a_class_for_each_state(family: Family) -> None:
    family.store.revoke("model", 2, by="eve", reason="bad")
    text = render_mermaid(recorded_lineage(family.store, [("scores", 1)]))
    classes = re.findall(r"  class (\S+) (\w+)", text)
    assert {name: len(ids.split(",")) for ids, name in classes} == {
        "revoked": 2,
        "recorded": 2,
        "external": 1,
    }
    assert 'n0["books:v1<br/>DataArtifact<br/>' in text
