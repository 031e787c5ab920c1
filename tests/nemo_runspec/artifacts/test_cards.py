"""Cards: written by a job, attached to its versions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from nemo_runspec.artifacts import Artifact, card, cards, log_artifact, setup_artifact_tracking
from nemo_runspec.artifacts.cards import Card, CardError, cards_of, read_cards
from nemo_runspec.store import Store, open_store
from tests.nemo_runspec.artifacts.processes import output, start

PAGE = """<!doctype html>
<script>const token = "x"; let pass = {a: 1}; document.write("<p>" + token)</script>
<p>--> ünï ☃</p>\r
"""


def log_version(tmp_path: Path) -> Store:
    config = OmegaConf.create({"artifacts": {"manifest": {"root": str(tmp_path / "store")}}})
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    log_artifact(Artifact(path=out), setup_artifact_tracking(config), name="data")
    assert os.listdir(out) in ([], ["metadata.json"])
    return open_store(str(tmp_path / "store"))


def written(tmp_path: Path) -> tuple[Card, ...]:
    store = log_version(tmp_path)
    return read_cards(store, "data", store.versions("data")[-1])


def test_html_is_kept_as_it_is(tmp_path: Path) -> None:
    card(PAGE, title="Loss")
    assert written(tmp_path) == (Card("Loss", "html", PAGE),)


def test_markdown(tmp_path: Path) -> None:
    card("# Data\n\n| a | b |\n|---|---|\n| <b>1</b> | 2 |\n")
    card("<b>1</b> is bold", title="Not HTML", kind="markdown")
    card("plain", kind="html")
    assert written(tmp_path) == (
        Card("Card 1", "markdown", "# Data\n\n| a | b |\n|---|---|\n| <b>1</b> | 2 |\n"),
        Card("Not HTML", "markdown", "<b>1</b> is bold"),
        Card("Card 3", "html", "plain"),
    )


@pytest.mark.parametrize(
    "title",
    ["a b", "-->", "<!-- x -->", '{"title": 1} "', "new\nline", "ünï\U0001f600", "--", "; x"],
)
def test_nasty_titles(title: str, tmp_path: Path) -> None:
    card("first", title=title)
    card("text", title=title)
    assert written(tmp_path) == (Card(title, "markdown", "text"),)


def test_a_card_takes_the_place_of_its_older_self(tmp_path: Path) -> None:
    card("<p>1", title="Loss")
    card("one", title="Data")
    log_version(tmp_path)
    card("<p>2", title="Loss")
    card("two", title="Loss")
    assert written(tmp_path) == (
        Card("Loss", "html", "<p>2"),
        Card("Data", "markdown", "one"),
        Card("Loss", "markdown", "two"),
    )
    store = open_store(str(tmp_path / "store"))
    assert [each.body for each in read_cards(store, "data", 1)] == ["<p>1", "one"]


def test_ten_cards_stay_in_order(tmp_path: Path) -> None:
    for number in range(12):
        card(str(number))
    assert [each.body for each in written(tmp_path)] == [str(number) for number in range(12)]


class Table:
    def _repr_html_(self) -> str:
        return "<table></table>"


class Broken:
    def _repr_html_(self) -> None:
        return None

    def _repr_markdown_(self) -> str:
        return "*text*"


def test_what_shows_itself(tmp_path: Path) -> None:
    card(Table())
    card(Broken())
    assert [(each.kind, each.body) for each in written(tmp_path)] == [
        ("html", "<table></table>"),
        ("markdown", "*text*"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"body": 7}, "int cannot be a card; give HTML or Markdown"),
        ({"body": None}, "NoneType cannot be a card"),
        ({"body": Table(), "kind": "markdown"}, "Table cannot be a card"),
        ({"body": "x", "kind": "pdf"}, "of kind 'pdf'; write html or markdown"),
        ({"body": "x", "title": 7}, "7 cannot be the title"),
    ],
)
def test_what_is_no_card(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(CardError, match=message):
        card(**arguments)


def test_secrets_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_<verysecret>")
    card("<p>hf_<verysecret> hf_&lt;verysecret&gt; password=kept</p>", title="hf_<verysecret>")
    card("hf_<verysecret>\nexport WANDB_API_KEY=abcdef123\nplain: text")
    page, text = written(tmp_path)
    assert (page.title, page.body) == ("******", "<p>****** ****** password=kept</p>")
    assert text.body == "******\nexport WANDB_API_KEY=******\nplain: text"
    assert all(b"verysecret" not in path.read_bytes() for path in tmp_path.rglob("card-*"))


def test_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cards, "MOST_BYTES", 100)
    monkeypatch.setattr(cards, "MOST_CARDS", 3)
    card("ü" * 51, title="Long")
    for number in range(5):
        card(str(number))
    assert [each.body for each in written(tmp_path)] == ["0", "1", "2"]
    assert caplog.messages == [
        "the card 'Long' is longer than 100 bytes, and left out; write it to the artifact's own "
        "folder",
        "a job may have 3 cards; those after them are left out",
    ]


def test_rank_0_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("NEMO_RUN_DIR", str(tmp_path))
    card("x")
    assert not (tmp_path / "cards").exists()


def test_processes_of_one_job_take_numbers_of_their_own(tmp_path: Path) -> None:
    code = """
import sys
from nemo_runspec.artifacts import card
for number in range(10):
    card(sys.argv[1])
card(sys.argv[1], title="Shared")
"""
    letters = "abc"
    processes = [start(code, each, env={"NEMO_RUN_DIR": str(tmp_path)}) for each in letters]
    for process in processes:
        output(process)
    files = sorted((tmp_path / "cards").iterdir())
    found = cards_of({path.name: path.read_bytes() for path in files})
    assert all(path.name.startswith("card-") for path in files)
    untitled = sorted(each.body for each in found if each.title != "Shared")
    assert untitled == sorted(letters * 10)
    assert {each.body for each in found if each.title == "Shared"} <= set(letters)


def test_a_place_that_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cards").write_text("no folder")
    monkeypatch.setenv("NEMO_RUN_DIR", str(tmp_path))
    card("x")
    card("y")
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("a card cannot be kept: ")


def test_what_others_attached() -> None:
    attached = {
        "card-2.html": b"<p>no head",
        "card-1.md": b'<!-- card {"title": 7} -->\nbody',
        "card-x.md": b"x",
        "metrics.jsonl": b"",
        "card-3.md": b"<!-- card {broken} -->\n\xff",
    }
    assert cards_of(attached) == (
        Card("card-1.md", "markdown", '<!-- card {"title": 7} -->\nbody'),
        Card("card-2.html", "html", "<p>no head"),
        Card("card-3.md", "markdown", "<!-- card {broken} -->\n\ufffd"),
    )
