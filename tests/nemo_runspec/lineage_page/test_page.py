"""The page in a browser, as its readers use it: by mouse, by keyboard, and read out to them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.nemo_runspec.lineage_page import samples
from tests.nemo_runspec.lineage_page.conftest import Open

MODEL = "nano3-sft-model"


NAMELESS = """() => [...document.querySelectorAll("button, input, [role=img], iframe")]
  .filter((each) => !each.textContent.trim() && !each.getAttribute("aria-label"))
  .filter((each) => !each.labels?.length)
  .map((each) => each.outerHTML)"""


def test_its_parts_have_roles_and_names(opened: Open) -> None:
    shown = opened("pipeline")

    expect(shown.page).to_have_title("Lineage of src/recipes/nano3:eval-results")
    expect(shown.role("heading", "Lineage of src/recipes/nano3:eval-results")).to_be_visible()
    expect(shown.search).to_be_visible()
    expect(shown.role("application", "Lineage of 9 nodes and 11 edges")).to_be_visible()
    for name in ("Filter", "Graph", "List", "Dark theme", "Keyboard shortcuts", "Zoom in"):
        expect(shown.role("button", name)).to_be_visible()
    expect(shown.role("toolbar", "Zoom")).to_be_visible()
    expect(shown.role("group", "States").get_by_role("button")).to_have_count(7)
    expect(shown.page.get_by_role("contentinfo")).to_contain_text(samples.STORE)
    assert shown.page.evaluate(NAMELESS) == []


def test_the_drawing_moves_and_zooms(opened: Open) -> None:
    shown = opened("pipeline")
    mouse, level = shown.page.mouse, shown.page.get_by_label("Zoom level")
    x, y = shown.place(f"{MODEL}:v2")

    mouse.move(200, 700)
    mouse.down()
    mouse.move(260, 640, steps=4)
    mouse.up()
    moved = shown.place(f"{MODEL}:v2")
    assert moved == pytest.approx((x + 60, y - 60), abs=12)
    expect(shown.panel).to_be_hidden()

    before = level.inner_text()
    mouse.move(*moved)
    mouse.wheel(0, -400)
    expect(level).not_to_have_text(before)
    # What is under the pointer stays there.
    assert shown.place(f"{MODEL}:v2") == pytest.approx(moved, abs=12)
    assert int(level.inner_text()[:-1]) > int(before[:-1])

    shown.role("button", "Fit all").click()
    expect(level).to_have_text(before)
    shown.role("button", "Zoom in").click()
    expect(level).to_have_text(f"{round(int(before[:-1]) * 1.25)}%")
    shown.role("button", "Zoom out").click()
    expect(level).to_have_text(before)


FOUND_BY = {
    "nano3-sft-model:v2": [f"{MODEL}:v2"],
    "sft-model v1": [f"{MODEL}:v1"],
    "jonas": [f"{MODEL}:v2", "nano3-sft-data:v1"],
    samples.NEW_COMMIT[:10]: [f"{MODEL}:v2"],
    "candidate": [f"{MODEL}:v2"],
    "src/recipes/nano3:eval-results": ["nano3-eval-results"],
    "corpora": ["s3://corpora/web-2026.jsonl"],
    "revoked": ["nano3-sft-data:v1"],
    "RLDATA": ["nano3-rl-data:v1"],
}


def test_search_finds_by_whatever_is_known(opened: Open) -> None:
    shown = opened("pipeline")
    options = shown.role("listbox", "Found nodes").get_by_role("option")

    for query, found in FOUND_BY.items():
        shown.search.fill(query)
        expect(shown.page.locator("#hit-count")).to_have_text(
            "1 match" if len(found) == 1 else f"{len(found)} matches"
        )
        assert sorted(options.locator(".hit-name").all_inner_texts()) == sorted(found), query


def test_search_says_that_it_found_nothing(opened: Open) -> None:
    shown = opened("pipeline")
    shown.search.fill("sft nowhere")

    expect(shown.page.locator("#hit-count")).to_have_text("0 matches")
    expect(shown.role("listbox", "Found nodes")).to_contain_text("Nothing has all of these words.")
    shown.search.press("Enter")
    expect(shown.panel).to_be_hidden()


def rows(shown: Any) -> Any:
    return shown.page.locator("#list-view tbody tr:not([hidden])")


def test_the_list_holds_every_node(opened: Open) -> None:
    shown = opened("pipeline")
    shown.role("button", "List").click()

    expect(rows(shown)).to_have_count(9)
    row = shown.page.get_by_role("row", name=re.compile("nano3-sft-data.*revoked"))
    expect(row).to_contain_text("stale")
    header = shown.page.get_by_role("columnheader", name="GPU-hours")
    header.get_by_role("button").click()
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    expect(rows(shown).first).to_contain_text("nano3-rl-model")
    row.get_by_role("button").click()
    expect(shown.panel.get_by_role("heading", name="nano3-sft-data")).to_be_visible()
    shown.search.fill(MODEL)
    expect(rows(shown)).to_have_count(2)


def test_filters_leave_out_states_types_and_kinds(opened: Open) -> None:
    shown = opened("pipeline")
    shown.role("button", "List").click()
    shown.role("button", "Filter").click()
    filters = shown.role("complementary", "Filters")

    filters.get_by_label("fresh").uncheck()
    expect(rows(shown)).to_have_count(6)
    filters.get_by_label("ModelArtifact").uncheck()
    expect(rows(shown)).to_have_count(4)
    filters.get_by_label("Target").uncheck()
    expect(rows(shown)).to_have_count(2)
    expect(shown.role("button", "Filter, 3 set")).to_be_visible()
    expect(shown.page.locator("#live")).to_have_text("2 nodes shown")
    expect(filters).to_contain_text("2 of 9 nodes shown")
    filters.get_by_role("button", name="Reset").click()
    expect(rows(shown)).to_have_count(9)


def test_the_filter_keeps_to_the_line_of_the_selection(opened: Open) -> None:
    shown = opened("pipeline")
    shown.open(f"{MODEL}:v1")
    shown.role("button", "Filter").click()
    shown.page.get_by_label("Only the line of the selection").check()

    # Nobody uses v1: what it was made from, and itself.
    shown.role("button", "List").click()
    shown.search.fill("")
    expect(rows(shown)).to_have_count(5)
    expect(shown.page.get_by_role("row", name=re.compile("eval-results"))).to_be_hidden()
    shown.role("button", "Close details").click()
    expect(rows(shown)).to_have_count(9)


def test_the_legend_hides_a_state_in_the_drawing(opened: Open) -> None:
    shown = opened("pipeline")
    label = "nano3-rl-model"
    x, y = shown.place(label)
    shown.role("group", "States").get_by_role("button", name="running").click()

    expect(shown.page.locator("#legend-running")).to_have_attribute("aria-pressed", "false")
    shown.page.mouse.click(x, y)
    expect(shown.panel).to_be_hidden()
    shown.page.locator("#legend-running").click()
    shown.page.mouse.click(x, y)
    expect(shown.panel.get_by_role("heading", name=label)).to_be_visible()


def test_the_keyboard_alone_is_enough(opened: Open) -> None:
    shown = opened("pipeline")
    press = shown.page.keyboard.press

    press("/")
    expect(shown.search).to_be_focused()
    shown.page.keyboard.type("sft-model")
    press("ArrowDown")
    press("ArrowDown")
    expect(shown.page.locator("#hit-1")).to_have_attribute("aria-selected", "true")
    expect(shown.search).to_have_attribute("aria-activedescendant", "hit-1")
    press("Enter")
    title = shown.panel.get_by_role("heading", name=MODEL)
    expect(title).to_be_focused()
    for _ in range(5):  # close, copy, both comparisons, the tabs
        press("Tab")
    expect(shown.panel.get_by_role("tab", name="Overview")).to_be_focused()
    press("ArrowRight")
    expect(shown.panel.get_by_role("tab", name="Config")).to_be_focused()
    expect(shown.panel.get_by_role("tabpanel", name="Config")).to_be_visible()
    press("End")
    expect(shown.panel.get_by_role("tab", name="Manifest")).to_be_focused()
    press("Escape")
    expect(shown.panel).to_be_hidden()
    expect(shown.graph).to_be_focused()

    press("?")
    expect(shown.role("dialog", "Keyboard shortcuts")).to_be_visible()
    press("Escape")
    expect(shown.role("dialog", "Keyboard shortcuts")).to_be_hidden()
    press("f")
    expect(shown.role("complementary", "Filters")).to_be_visible()
    press("Escape")
    expect(shown.role("complementary", "Filters")).to_be_hidden()
    press("l")
    expect(shown.role("region", "List of nodes")).to_be_visible()
    press("g")
    expect(shown.graph).to_be_visible()


def test_the_keyboard_moves_the_drawing_and_walks_along_edges(opened: Open) -> None:
    shown = opened("pipeline")
    live = shown.page.locator("#live")
    x, y = shown.place("nano3-pretrain-model:v1")
    shown.graph.focus()
    press = shown.page.keyboard.press

    press("ArrowLeft")
    press("ArrowUp")
    assert shown.place("nano3-pretrain-model:v1") == pytest.approx((x + 60, y + 60), abs=12)
    press("0")
    press("Enter")
    expect(live).to_have_text("nano3-eval-results, blocked, made from 3, used by 0")
    press("Shift+ArrowLeft")
    expect(live).to_have_text("nano3-rl-model, running, made from 2, used by 1")
    press("Shift+ArrowLeft")
    expect(live).to_have_text(re.compile("^nano3-(rl-data|sft-model):v"))
    press("Shift+ArrowUp")
    press("Shift+ArrowUp")
    expect(live).to_have_text(f"{MODEL}:v1, gone, made from 2, used by 0")
    press("Enter")
    expect(shown.panel.get_by_role("heading", name=MODEL)).to_be_visible()
    expect(shown.panel).to_contain_text("v1")


FOCUSED = """() => {
  const at = document.activeElement;
  const name = at.getAttribute("aria-label") || at.textContent.trim();
  return [name, getComputedStyle(at).outlineStyle];
}"""


def test_tab_shows_where_it_is(opened: Open) -> None:
    shown = opened("pipeline")
    names = []
    for _ in range(16):
        shown.page.keyboard.press("Tab")
        name, outline = shown.page.evaluate(FOCUSED)
        assert outline == "solid", name
        names.append(name)

    assert names[0] == "Skip to the list of nodes"
    assert names[1:8] == [
        "Search nodes",
        "Filter",
        "Graph",
        "List",
        "Dark theme",
        "Keyboard shortcuts",
        "Lineage of 9 nodes and 11 edges",
    ]
    assert names[-1] == "Zoom out"


def test_a_reader_of_the_screen_can_skip_to_the_list(opened: Open) -> None:
    shown = opened("pipeline")
    shown.page.keyboard.press("Tab")
    shown.page.keyboard.press("Enter")

    expect(shown.role("region", "List of nodes")).to_be_focused()
    shown.page.keyboard.press("Tab")
    expect(shown.page.get_by_role("button", name="Name", exact=True)).to_be_focused()
    expect(
        shown.role("button", "nano3-sft-data:v1, stale, revoked, made from 0, used by 2")
    ).to_be_visible()


BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"
# WCAG 2: relative luminance, and the contrast of two colours.
CONTRASTS = """() => {
  const channel = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const probe = document.body.appendChild(document.createElement("i"));
  const luminance = (name) => {
    probe.style.color = `var(--${name})`;
    const rgb = getComputedStyle(probe).color.match(/\\d+/g).map((each) => channel(each / 255));
    return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2];
  };
  const states = [...document.querySelectorAll("#legend button")]
    .map((each) => each.id.replace("legend", "state"));
  const pairs = [["ink", "page"], ["ink-soft", "surface"], ["ink-soft", "sunk"],
    ["ink-soft", "canvas"], ["accent", "surface"], ["accent", "accent-soft"],
    ["danger", "danger-soft"], ["ink", "changed-soft"],
    ...states.flatMap((state) => [[state, `${state}-soft`], [state, "surface"]])];
  return pairs.map((pair) => {
    const [low, high] = pair.map(luminance).sort((one, other) => one - other);
    return [pair.join(" on "), (high + 0.05) / (low + 0.05)];
  });
}"""


def test_both_themes_can_be_read(opened: Open, tmp_path: Path) -> None:
    backgrounds = []
    for scheme in ("light", "dark"):
        shown = opened("pipeline", color_scheme=scheme)
        backgrounds.append(shown.page.evaluate(BACKGROUND))
        poor = {name: value for name, value in shown.page.evaluate(CONTRASTS) if value < 4.5}
        assert poor == {}
        assert shown.colours() > 50
        picture = tmp_path / f"{scheme}.png"
        shown.page.screenshot(path=picture)
        assert picture.stat().st_size > 20_000  # an empty page makes 6 kB

    assert backgrounds == ["rgb(244, 246, 248)", "rgb(13, 17, 23)"]


def test_the_theme_follows_the_system_until_it_is_chosen(opened: Open) -> None:
    shown = opened("pipeline", color_scheme="light")
    light = shown.page.evaluate(BACKGROUND)
    button = shown.role("button", "Dark theme")

    shown.page.emulate_media(color_scheme="dark")
    expect(button).to_have_attribute("aria-pressed", "true")
    assert shown.page.evaluate(BACKGROUND) != light
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    assert shown.page.evaluate(BACKGROUND) == light
    shown.page.reload()
    expect(button).to_have_attribute("aria-pressed", "false")


def test_a_narrow_window_holds_it_all(opened: Open) -> None:
    shown = opened("pipeline", viewport={"width": 400, "height": 800}, has_touch=True)

    assert shown.page.evaluate("() => document.documentElement.scrollWidth") == 400
    shown.open(f"{MODEL}:v2")
    box = shown.panel.bounding_box()
    assert box is not None
    assert (box["x"], box["width"]) == (0, 400)
    shown.panel.get_by_role("button", name="Compare with v1").click()
    expect(shown.role("dialog", "Compare").get_by_text("bf16")).to_be_in_viewport()


def test_an_address_leads_to_its_node(opened: Open) -> None:
    shown = opened("pipeline")
    shown.open(f"{MODEL}:v2")
    fragment = shown.page.evaluate("() => location.hash")

    again = opened("pipeline", fragment)
    expect(again.panel.get_by_role("heading", name=MODEL)).to_be_visible()
    expect(again.panel).to_contain_text("v2")
    assert opened("pipeline", "#node=%ff%").panel.is_hidden()


def test_nothing_recorded_is_said_so(opened: Open) -> None:
    shown = opened("empty")

    expect(shown.role("heading", "Nothing is recorded here")).to_be_visible()
    expect(shown.role("button", "Filter")).to_be_disabled()
