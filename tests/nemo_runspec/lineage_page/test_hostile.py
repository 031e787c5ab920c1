"""What stands in a store is data: none of it becomes markup or script of the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.nemo_runspec.lineage_page import samples
from tests.nemo_runspec.lineage_page.browser import Shown, show


def visit_everything(shown: Shown) -> None:
    """Opens every node with every tab, the list and a comparison."""
    for row in range(len(samples.nasty().nodes)):
        shown.role("button", "List").click()
        shown.page.locator("#list-view tbody th button").nth(row).click()
        for tab in shown.panel.get_by_role("tab").all():
            tab.click()
    shown.search.fill("img")
    shown.role("button", "Filter").click()
    shown.role("button", "Graph").click()
    shown.page.locator("#filters-close").click()
    shown.open("very-long")
    shown.panel.get_by_role("button", name="Compare with…").click()
    shown.open("naïve")
    shown.page.get_by_label("Show what is equal too").check()
    shown.page.keyboard.press("Escape")


def test_nothing_of_it_runs_or_asks_for_anything(
    browser: Browser, pages: Callable[[str], Path]
) -> None:
    with show(browser, pages("nasty")) as shown:
        visit_everything(shown)
        shown.open("very-long")
        frame = shown.tab("Cards").frame_locator("iframe")
        expect(frame.get_by_text("harmless words")).to_be_visible()
        frame.get_by_text("away").click()
        expect(frame.get_by_text("harmless words")).to_be_visible()

        assert shown.page.evaluate("window.hits") == []
        assert shown.page.locator("body img, body script[src], body b").count() == 0
        assert shown.requests == []
        # The browser says what the policy kept a card from; there is nothing else to complain of.
        assert [each for each in shown.complaints if "Content Security Policy" not in each] == []
        assert shown.page.evaluate("({}).polluted === undefined")


def test_it_is_shown_as_it_is(browser: Browser, pages: Callable[[str], Path]) -> None:
    with show(browser, pages("nasty")) as shown:
        shown.open("very-long")
        heading = shown.panel.get_by_role("heading", name=samples.LONG_NAME)

        expect(heading).to_have_attribute("title", samples.LONG_NAME)
        box = heading.bounding_box()
        assert box is not None
        assert box["height"] < 60  # two lines, then an ellipsis
        for what in ("reason", "gone", "log"):
            expect(shown.panel).to_contain_text(samples.ATTACK.format(what))
        expect(shown.panel).to_contain_text("12345678901234567891")
        expect(shown.panel).to_contain_text("hub_token")
        metrics = shown.tab("Metrics")
        expect(metrics.get_by_role("row", name="up not finite")).to_be_visible()
        expect(metrics).to_contain_text("2 not finite")
        expect(metrics).to_contain_text("1 value, none of them a number")
        shown.tab("Cards")
        expect(shown.panel.locator(".card-text")).to_contain_text("[image: x]")
        assert shown.panel.locator(".card-text a").count() == 0
        shown.open("🚀")
        expect(shown.panel.get_by_role("heading", name="naïve-模型-🚀")).to_be_visible()


def test_a_commit_that_is_none_makes_no_command(
    browser: Browser, pages: Callable[[str], Path]
) -> None:
    with show(browser, pages("nasty")) as shown:
        shown.open("very-long")
        shown.panel.get_by_role("button", name="Compare with…").click()
        shown.search.fill("naïve")
        shown.search.press("Enter")

        dialog = shown.role("dialog", "Compare")
        expect(dialog.get_by_role("heading", name="Code")).to_be_visible()
        expect(dialog.get_by_text("git diff")).to_have_count(0)
