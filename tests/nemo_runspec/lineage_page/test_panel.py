"""What the page says of a node, and of two beside each other."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from nemo_runspec.lineage.model import to_document
from tests.nemo_runspec.lineage_page import samples
from tests.nemo_runspec.lineage_page.conftest import Open

MODEL = "nano3-sft-model"


def document(lineage: Any, id_: str) -> Any:
    nodes = to_document(lineage)["nodes"]
    return next(node["document"] for node in nodes if node["id"] == id_)


def test_a_click_on_a_node_opens_its_manifest(opened: Open) -> None:
    shown = opened("pipeline")
    shown.click(f"{MODEL}:v2")

    expect(shown.panel.get_by_role("heading", name=MODEL)).to_be_visible()
    assert shown.manifest() == document(samples.pipeline(), f"{MODEL}:v2")

    shown.click("nano3-pretrain-data:v1")
    expect(shown.panel.get_by_role("heading", name="nano3-pretrain-data")).to_be_visible()
    assert shown.manifest() == document(samples.pipeline(), "nano3-pretrain-data:v1")


def test_the_panel_says_why_who_and_what_it_took(opened: Open) -> None:
    shown = opened("pipeline")
    shown.open("sft-data v1")

    for text in (
        "two evaluation sets leaked into it",
        "prepare.max_documents: 800 -> 1200",
        "src/recipes/nano3/stage1_sft/data_prep.py changed",
        "mira",
        "node-17",
        "prod",
        "9a4f6c0ff1b2",
        "12.8",
        "48 min 1 s",
    ):
        expect(shown.panel).to_contain_text(text)
    shown.open(f"{MODEL}:v2")
    for text in ("candidate", "latest", "uncommitted changes", "33408482f894"):
        expect(shown.panel).to_contain_text(text)
    log = "/lustre/team/jobs/20261121-140828-nano3-sft-model/logs/job.log"
    expect(shown.role("link", log)).to_have_attribute("href", f"file://{log}")
    shown.open(f"{MODEL}:v1")
    expect(shown.panel).to_contain_text("is not there any more")
    shown.open("pretrain-model")
    expect(shown.panel).to_contain_text("only log lines changed")
    expect(shown.panel).to_contain_text("production")
    shown.open("rl-model")
    expect(shown.panel).to_contain_text("Cost, last time")
    expect(shown.panel).to_contain_text("2 d 12 h")
    # Of a target it tells what its newest version was.
    expect(shown.panel.get_by_role("heading", name="Newest version: v4")).to_be_visible()
    expect(shown.panel).to_contain_text("wei")
    shown.open("eval-results")
    expect(shown.panel.get_by_role("heading", name="Facts")).to_be_visible()
    expect(shown.panel.get_by_role("tab")).to_have_count(1)


def test_config_key_and_metrics_are_tables(opened: Open) -> None:
    shown = opened("pipeline")
    shown.open(f"{MODEL}:v2")

    config = shown.tab("Config")
    expect(config.get_by_role("row", name="optimizer.learning_rate 0.001")).to_be_visible()
    expect(config.get_by_role("row", name="data ${art:data,path}")).to_be_visible()
    key = shown.tab("Key")
    expect(key.get_by_role("row", name="numpy 2.5.5")).to_be_visible()
    expect(key.get_by_role("row", name="OMP_NUM_THREADS 1")).to_be_visible()
    expect(key.get_by_role("row", name="src/recipes/nano3/new.py e3b0c44298fc…")).to_be_visible()
    expect(key.get_by_role("row", name="model=nano3-pretrain-model v1 sha256:")).to_be_visible()
    metrics = shown.tab("Metrics")
    expect(metrics.get_by_role("row", name="success 0.6125")).to_be_visible()
    chart = metrics.get_by_role("img", name=re.compile(r"loss: 120 values from .* at step 0"))
    expect(chart).to_be_visible()
    assert chart.locator("polyline").get_attribute("points").count(",") == 120
    expect(
        metrics.get_by_role("img", name=re.compile(r"^reward: 1 value from 0.5"))
    ).to_be_visible()


def test_cards_are_shown_in_frames_of_their_own(opened: Open) -> None:
    shown = opened("pipeline")
    shown.open(f"{MODEL}:v2")
    cards = shown.tab("Cards")

    frame = cards.frame_locator("iframe[title='Card: Evaluation']")
    expect(frame.get_by_role("heading", name="Evaluation")).to_have_css(
        "color", "rgb(68, 170, 102)"
    )
    assert cards.locator("iframe").get_attribute("sandbox") == ""
    expect(cards.get_by_role("heading", name="Training report", level=4)).to_be_visible()
    expect(cards.get_by_role("row", name="valid 0.251")).to_be_visible()
    expect(cards.get_by_role("link", name="the notes")).to_have_attribute(
        "href", "https://example.org/notes"
    )
    shown.role("button", "Enlarge card Training report").click()
    expect(shown.role("dialog", "Training report").get_by_role("listitem")).to_have_count(2)


def test_neighbours_in_the_panel_lead_on(opened: Open) -> None:
    shown = opened("pipeline")
    shown.open(f"{MODEL}:v2")

    shown.panel.get_by_role("button", name="nano3-sft-data:v1").click()
    expect(shown.panel.get_by_role("heading", name="nano3-sft-data")).to_be_visible()
    expect(shown.panel.get_by_role("heading", name="Used by (2)")).to_be_visible()


def compared(shown: Any) -> Any:
    return shown.role("dialog", "Compare")


def test_two_versions_stand_side_by_side(opened: Open) -> None:
    shown = opened("pipeline")
    shown.click(f"{MODEL}:v2")
    shown.panel.get_by_role("button", name="Compare with v1").click()
    dialog = compared(shown)

    for row in (
        "changed optimizer.learning_rate 0.003 0.001",
        "added precision — bf16",
        "changed success 0.5188 0.6125 +0.09375 (+18.1 %)",
        "changed by mira jonas",
        "added src/recipes/nano3/new.py — e3b0c44298fc…",
    ):
        expect(dialog.get_by_role("row", name=row, exact=True)).to_be_visible()
    expect(dialog.get_by_text("No difference in: inputs, requirements")).to_be_visible()
    expect(dialog.get_by_role("row", name="seed 1 1")).to_be_hidden()
    files = "src/recipes/nano3/training.py src/recipes/nano3/new.py"
    command = f"git diff 9a4f6c0ff1b2..33408482f894 -- {files}"
    expect(dialog.get_by_text(command)).to_be_visible()
    expect(dialog).to_contain_text("uncommitted changes, which no commit shows: nano3-sft-model:v2")

    dialog.get_by_role("button", name="Copy command").click()
    expect(dialog.get_by_role("button", name="Copy command")).to_have_text("Copied")
    dialog.get_by_label("Show what is equal too").check()
    expect(dialog.get_by_role("row", name="seed 1 1")).to_be_visible()
    dialog.get_by_role("button", name="Swap").click()
    expect(dialog.get_by_role("row", name="changed by jonas mira", exact=True)).to_be_visible()
    shown.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()

    shown.search.focus()
    shown.page.keyboard.press("Control+V")
    expect(shown.search).to_have_value(command)


def test_any_two_nodes_can_be_compared(opened: Open) -> None:
    shown = opened("pipeline")
    shown.click("nano3-pretrain-model:v1")
    x, y = shown.place("nano3-sft-data:v1")
    shown.page.keyboard.down("Shift")
    shown.page.mouse.click(x, y)
    shown.page.keyboard.up("Shift")
    expect(compared(shown).get_by_text("nano3-sft-data", exact=True)).to_be_visible()
    shown.page.keyboard.press("Escape")

    shown.panel.get_by_role("button", name="Compare with…").click()
    expect(shown.page.locator("#picking")).to_contain_text("Escape cancels")
    shown.page.keyboard.press("Escape")
    expect(shown.page.locator("#picking")).to_be_hidden()
    shown.panel.get_by_role("button", name="Compare with…").click()
    shown.click("nano3-rl-data:v1")
    expect(compared(shown).get_by_text("nano3-rl-data", exact=True)).to_be_visible()
