"""A page in a real browser, and what is asked of it again and again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

# Loaded cores take their time; a condition that holds ends the wait at once.
PATIENCE_MS = 60_000
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUM = shutil.which("chromium")
NO_CHROMIUM = "no chromium on PATH: apt-get install chromium"

# Moves the pointer over the drawing until the tip names the node, then to the node's edges.
_FIND = """(label) => {
  const canvas = document.getElementById("graph");
  const tip = document.getElementById("tip");
  const box = canvas.getBoundingClientRect();
  const isOn = (x, y) => {
    const at = { clientX: x, clientY: y, bubbles: true, pointerId: 9 };
    canvas.dispatchEvent(new PointerEvent("pointermove", at));
    return !tip.hidden && tip.querySelector("strong").textContent === label;
  };
  const edge = (x, y, byX, byY) => {
    while (isOn(x + byX, y + byY)) [x, y] = [x + byX, y + byY];
    return byX ? x : y;
  };
  const find = () => {
    for (let y = box.top + 5; y < box.bottom; y += 18) {
      for (let x = box.left + 5; x < box.right; x += 60) {
        if (!isOn(x, y)) continue;
        const across = edge(x, y, -3, 0) + edge(x, y, 3, 0);
        return [across / 2, (edge(x, y, 0, -3) + edge(x, y, 0, 3)) / 2];
      }
    }
    return null;
  };
  const found = find();
  canvas.dispatchEvent(new PointerEvent("pointerleave", { pointerId: 9 }));
  return found;
}"""

# Reads a copy, so that the browser goes on drawing as it does for a reader.
_COLOURS = """() => {
  const canvas = document.getElementById("graph");
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Set();
  for (let at = 0; at < data.length; at += 4 * 7) {
    seen.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
  }
  return seen.size;
}"""


@dataclass
class Shown:
    """An open page.

    Attributes:
        page: of the browser.
        requests: addresses of everything that it asked for but itself.
        complaints: errors and warnings of its console, and exceptions that nobody caught.
    """

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def role(self, role: Any, name: str | None = None) -> Locator:
        return self.page.get_by_role(role, name=name, exact=True)

    @property
    def search(self) -> Locator:
        return self.role("combobox", "Search nodes")

    @property
    def panel(self) -> Locator:
        return self.role("complementary", "Details")

    @property
    def graph(self) -> Locator:
        return self.page.get_by_role("application")

    def open(self, query: str) -> None:
        """Opens the first node that a search finds."""
        self.search.fill(query)
        self.search.press("Enter")
        expect(self.panel).to_be_visible()

    def tab(self, name: str) -> Locator:
        """The content of a tab of the panel."""
        self.panel.get_by_role("tab", name=name, exact=True).click()
        return self.panel.get_by_role("tabpanel")

    def place(self, label: str) -> tuple[float, float]:
        """Where the middle of a node's visible part is in the window."""
        found = self.page.evaluate(_FIND, label)
        assert found is not None, f"{label} is not in view"
        return found[0], found[1]

    def click(self, label: str) -> None:
        """Clicks a node of the drawing."""
        self.page.mouse.click(*self.place(label))

    def colours(self) -> int:
        """How many colours the drawing has."""
        self.settle()
        return int(self.page.evaluate(_COLOURS))

    def settle(self) -> None:
        """Waits until what was changed is drawn."""
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def manifest(self) -> Any:
        return json.loads(self.tab("Manifest").locator("pre").inner_text())


@contextmanager
def start_browser() -> Iterator[Browser]:
    """Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def show(browser: Browser, file: Path, fragment: str = "", **options: Any) -> Iterator[Shown]:
    """Opens a page from its file.

    Args:
        browser: what shows it.
        file: the page.
        fragment: what stands behind its address.
        options: of the browser's context.
    """
    options.setdefault("viewport", {"width": 1400, "height": 860})
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    context.add_init_script("window.hits = []; window.hit = (what) => window.hits.push(what);")
    page = context.new_page()
    shown = Shown(page)
    own = file.as_uri()

    def note_request(url: str) -> None:
        if url.partition("#")[0] != own and not url.startswith(("data:", "about:srcdoc")):
            shown.requests.append(url)

    page.on("request", lambda request: note_request(request.url))
    page.on(
        "console",
        lambda said: said.type in ("error", "warning") and shown.complaints.append(said.text),
    )
    page.on("pageerror", lambda error: shown.complaints.append(str(error)))
    page.on("dialog", lambda dialog: (shown.complaints.append(dialog.message), dialog.dismiss()))
    try:
        page.goto(own + fragment)
        yield shown
    finally:
        context.close()
