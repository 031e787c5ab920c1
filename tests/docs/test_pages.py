"""The pages of docs/, without Pants: each block is what it says, and each page is in the site."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomllib
import yaml

from nemo_runspec.env import PROFILE_KEYS
from runspec import errors
from runspec.models import Runspec
from tests.docs.pages import PageError, blocks, commands, inline_commands
from tests.docs.shown import differs

SOURCE = Path(__file__).resolve().parents[2]
DOCS = SOURCE / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LANGUAGES = ("", "bash", "console", "diff", "json", "python", "text", "toml", "yaml")


def page_id(page: Path) -> str:
    return page.relative_to(SOURCE).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_its_blocks_are_what_they_say(page: Path) -> None:
    for block in blocks(page):
        where = f"{page}:{block.line}"
        assert block.language in LANGUAGES, where
        if block.language == "python":
            compile(block.text, where, "exec")
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "yaml":
            assert yaml.safe_load(block.text), where
        elif block.language == "console":
            assert commands(page, block), where


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_stand_where_they_are_run(page: Path) -> None:
    """Nothing of ours is typed in a block that no test runs."""
    for block in blocks(page):
        if block.language not in ("console", "bash"):
            ours = re.findall(r"(?m)^(?:\$ )?(?:\./pants|nemo-runspec) (?!=).*", block.text)
            assert not ours, f"{page}:{block.line}: make it a console block"


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"(?m)[:-] ([\w/.-]+\.md)$", (SOURCE / "mkdocs.yml").read_text())
    assert len(listed) == len(set(listed))
    here = {page.relative_to(DOCS).as_posix() for page in PAGES}
    generated = {name for name in listed if name.startswith("reference/generated/")}
    assert set(listed) - generated == here


def test_every_key_of_a_profile_is_explained() -> None:
    page = (DOCS / "reference/env.md").read_text()
    explained = set(re.findall(r"`([a-z_]+)`", page))
    assert explained >= PROFILE_KEYS


def test_every_field_of_a_script_is_specified() -> None:
    page = (DOCS / "runspec/v1/spec.md").read_text()
    page = page.partition("## Fields\n")[2].partition("\n## ")[0]
    specified = set(re.findall(r"(?m)^\| `([\w.]+)` \|", page))
    values = Runspec().to_dict()
    tables = {"run", "config", "resources"}
    fields = {f"{table}.{name}" for table in tables for name in values[table]}
    assert specified == fields | set(values) - tables - {"dependencies", "requires_python"}


def test_every_error_of_a_script_is_specified() -> None:
    page = (DOCS / "runspec/v1/spec.md").read_text()
    here = {
        name
        for name, error in vars(errors).items()
        if isinstance(error, type) and issubclass(error, errors.RunspecError)
    }
    of_scripts = here - {"RunspecError", "InvalidBundleError", "InvalidPlanError"}
    assert set(re.findall(r"`(\w+Error)`", page)) - {"RunspecError"} == of_scripts


PAGE = """\
Run `./pants list ::` once.

```python title="a.py"
print(1)
```

<!-- fails -->
```console
$ ./pants lint ::
error: no
…
$ ./pants list \\
    ::
```

<!-- not run: needs a cluster -->
```console
$ sbatch x
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_a_page_is_taken_apart(page: Path) -> None:
    file, failing, elsewhere = blocks(page)
    assert (file.title, file.text, file.fails, file.not_run) == ("a.py", "print(1)\n", False, None)
    assert failing.fails and elsewhere.not_run == "needs a cluster"
    lint, listing = commands(page, failing)
    assert (lint.line, lint.text, lint.prints) == (9, "./pants lint ::", ("error: no", "…"))
    assert (listing.line, listing.text) == (12, "./pants list \\\n    ::")
    assert [c.text for c in inline_commands(page, ("./pants",))] == ["./pants list ::"]


@pytest.mark.parametrize("text", ["```console\n$ x\n", "```console\nx\n```\n"])
def test_a_page_that_breaks_the_conventions(tmp_path: Path, text: str) -> None:
    path = tmp_path / "page.md"
    path.write_text(text)
    with pytest.raises(PageError, match=r"page\.md:[12]: "):
        for block in blocks(path):
            commands(path, block)


@pytest.mark.parametrize(
    ("shown", "printed", "agrees"),
    [
        (["built 2, 1.5 s"], "built 2, 1 min 4 s\n", True),
        (["built 2, 1.5 s"], "built 3, 1.5 s\n", False),
        (["a", "…", "z"], "a\nb\nc\nz\n", True),
        (["a", "…", "z"], "a\nz\n", True),
        (["a", "…", "z"], "a\nb\n", False),
        (["log: …/job.log"], "log: /x y/job.log\n", True),
        (["a"], "a\nb\n", False),
        (["a"], "19:58:14.56 [INFO] Starting\na\n\n", True),
        (["in /home/ada/pipelines/dist"], "in /build/root/dist\n", True),
        (["made 2026-11-21 19:58 by x"], "made 2027-01-02 03:04 by x\n", True),
        (["made 2026-11-21 19:58 by x"], "made 2027-01-02 03:04 by y\n", False),
        ([], "anything\n", True),
    ],
)
def test_what_is_shown_is_what_is_printed(shown: list[str], printed: str, agrees: bool) -> None:
    assert (differs(shown, printed, Path("/build/root")) is None) is agrees
