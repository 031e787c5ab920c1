"""One browser for all tests of the page, and a page of each sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from nemo_runspec.lineage.page import render_page
from tests.nemo_runspec.lineage_page import samples
from tests.nemo_runspec.lineage_page.browser import (
    CHROMIUM,
    NO_CHROMIUM,
    Shown,
    show,
    start_browser,
)

Open = Callable[..., Shown]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    with start_browser() as started:
        yield started


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of a sample's page, by the sample's name."""
    # A folder as people have them.
    folder = tmp_path_factory.mktemp("it's a page #1 ü")
    made: dict[str, Path] = {}

    def page(name: str) -> Path:
        if name not in made:
            made[name] = folder / f"{name}.html"
            made[name].write_text(render_page(getattr(samples, name)()), encoding="utf-8")
        return made[name]

    return page


@pytest.fixture
def opened(browser: Browser, pages: Callable[[str], Path]) -> Iterator[Open]:
    """Opens the page of a sample; at the end it asked for nothing and complained of nothing."""
    with ExitStack() as stack:
        shown: list[Shown] = []

        def open_page(name: str, fragment: str = "", **options: Any) -> Shown:
            opening: AbstractContextManager[Shown] = show(browser, pages(name), fragment, **options)
            shown.append(stack.enter_context(opening))
            return shown[-1]

        yield open_page
        for each in shown:
            assert each.requests == []
            assert each.complaints == []
