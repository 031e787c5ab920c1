"""Two thousand nodes: everything still does what it does with nine."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from nemo_runspec.lineage.model import to_document
from tests.nemo_runspec.lineage_page import samples
from tests.nemo_runspec.lineage_page.conftest import Open

CHOSEN = "model-1500"


def test_two_thousand_nodes_stay_usable(opened: Open) -> None:
    lineage = samples.large()
    shown = opened("large")
    level = shown.page.get_by_label("Zoom level")

    expect(shown.page.get_by_role("contentinfo")).to_contain_text("2,000 nodes")
    assert shown.colours() >= 5
    shown.search.fill("model")
    expect(shown.page.locator("#hit-count")).to_have_text("1,580 matches")
    shown.search.fill(CHOSEN)
    shown.search.press("Enter")
    expect(shown.panel.get_by_role("heading", name=CHOSEN)).to_be_visible()
    found = next(node for node in to_document(lineage)["nodes"] if node["name"] == CHOSEN)
    assert shown.manifest() == found["document"]

    # The drawing went there, near enough to read it, and a click finds it.
    assert int(level.inner_text()[:-1]) >= 42
    shown.page.keyboard.press("Escape")
    shown.click(f"{CHOSEN}:v1")
    expect(shown.panel.get_by_role("heading", name=CHOSEN)).to_be_visible()
    shown.page.mouse.move(500, 400)
    shown.page.mouse.wheel(0, 1200)
    shown.page.mouse.down()
    shown.page.mouse.move(620, 460, steps=6)
    shown.page.mouse.up()
    expect(shown.panel.get_by_role("heading", name=CHOSEN)).to_be_visible()
    assert shown.colours() >= 5


def test_two_thousand_nodes_can_be_filtered_and_listed(opened: Open) -> None:
    shown = opened("large")
    stale = sum(node.state == "stale" for node in samples.large().nodes)
    shown.role("button", "List").click()
    rows = shown.page.locator("#list-view tbody tr:not([hidden])")

    expect(rows).to_have_count(samples.LARGE)
    shown.page.locator("#filters-button").click()
    # Not by role: that looks at the name of every button there is, and here are thousands.
    for state in ("fresh", "recorded", "depends"):
        shown.page.locator("#filters label", has_text=state).locator("input").uncheck()
    expect(rows).to_have_count(stale)
    shown.page.locator("#list-view .sort").first.click()
    shown.page.locator("#list-view .sort").first.click()
    first = rows.first.locator("button")
    name = first.inner_text()
    assert name == max(node.name for node in samples.large().nodes if node.state == "stale")
    first.click()
    expect(shown.page.locator("#panel-title")).to_have_text(name)


@pytest.mark.parametrize("shape", ["chain", "fan"])
def test_extreme_shapes_can_be_searched_and_clicked(opened: Open, shape: str) -> None:
    shown = opened(shape)
    shown.open("part-1234")
    shown.page.keyboard.press("Escape")

    shown.click("part-1234:v1")
    expect(shown.panel.get_by_role("heading", name="part-1234")).to_be_visible()
