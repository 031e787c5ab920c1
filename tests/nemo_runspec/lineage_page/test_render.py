"""The page as text: what is in it, and that nothing in it can be anything but data."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest

from nemo_runspec.lineage.model import Lineage, to_document
from nemo_runspec.lineage.page import render_page
from tests.nemo_runspec.lineage_page import samples


class Elements(HTMLParser):
    """The elements of a page with their attributes and, for scripts, their text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data

    def attribute(self, name: str, **wanted: str) -> str:
        for _, attributes in self.found:
            if all(attributes.get(key.replace("_", "-")) == value for key, value in wanted.items()):
                return attributes[name] or ""
        raise AssertionError(f"no element has {wanted}")


def embedded(lineage: Lineage) -> Any:
    return json.loads(Elements(render_page(lineage)).scripts[0])


@pytest.mark.parametrize("name", ["pipeline", "empty"])
def test_the_page_holds_the_document(name: str) -> None:
    lineage = getattr(samples, name)()

    assert embedded(lineage) == json.loads(json.dumps(to_document(lineage)))


def test_what_looks_like_markup_stays_data() -> None:
    found = Elements(render_page(samples.nasty(), title="</title><script>hit()</script>{{data}}"))

    # Two scripts, the data and the page's; and no element that the lineage brought along.
    assert [tag for tag, _ in found.found].count("script") == 2
    assert not [tag for tag, attributes in found.found if "onerror" in attributes or tag == "img"]
    names = [node["name"] for node in json.loads(found.scripts[0])["nodes"]]
    assert names == [node.name for node in samples.nasty().nodes]


def test_the_data_is_ascii_without_anything_that_ends_a_script() -> None:
    data = Elements(render_page(samples.nasty())).scripts[0]

    assert data.isascii()
    assert not re.search("[<>&]", data)
    assert render_page(samples.nasty()).encode("utf-8")


def test_numbers_keep_their_digits() -> None:
    node = embedded(samples.nasty())["nodes"][0]

    assert node["document"]["metadata"]["seed"] == "12345678901234567891"
    assert node["metrics"]["up"] is None


def test_the_policy_allows_this_script_and_nothing_from_outside() -> None:
    found = Elements(render_page(samples.pipeline()))
    policy = found.attribute("content", http_equiv="Content-Security-Policy")
    rules = {name: values for name, *values in (rule.split() for rule in policy.split(";"))}
    digest = base64.b64encode(hashlib.sha256(found.scripts[1].encode()).digest()).decode()

    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == [f"'sha256-{digest}'"]
    # Anything that names where something may come from names the page itself.
    allowed = {value for values in rules.values() for value in values}
    assert allowed == {"'none'", f"'sha256-{digest}'", "'unsafe-inline'", "data:"}


def test_nothing_in_the_page_is_loaded() -> None:
    found = Elements(render_page(samples.empty()))
    addresses = [
        value
        for _, attributes in found.found
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data")
    ]

    assert addresses == ["data:,", "#list-view"]
    style = render_page(samples.empty()).partition("</style>")[0]
    assert "@import" not in style and "url(" not in style


def test_every_asset_is_used() -> None:
    page = render_page(samples.empty())

    for asset in (files("nemo_runspec.lineage.page") / "assets").iterdir():
        if asset.name != "page.html":
            assert asset.read_text("utf-8") in page, asset.name


@pytest.mark.parametrize(
    ("roots", "title"),
    [
        ((), "Lineage"),
        (("a:v1",), "Lineage of a:v1"),
        (("target:src:a", "b:v2", "c:v3"), "Lineage of src:a, b:v2 and 1 more"),
    ],
)
def test_the_title_says_what_was_asked_for(roots: tuple[str, ...], title: str) -> None:
    page = render_page(Lineage(roots, (), (), "/store"))

    assert f"<title>{title}</title>" in page
    assert "<title>mine &amp; yours</title>" in render_page(
        Lineage(roots, (), (), "/store"), title="mine & yours"
    )
