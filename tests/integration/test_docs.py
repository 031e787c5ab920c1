"""Every command of the docs: those that can run here do, and print what their page shows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import Block, blocks, commands, inline_commands
from tests.docs.shown import differs
from tests.docs.spelling import OURS, PANTS, PantsNames, SpellingError, check
from tests.integration.repository import SOURCE, Repository, run

PAGES = [SOURCE / "README.md", *sorted((SOURCE / "docs").rglob("*.md"))]
# Who commits where a page says so, and no colours or pagers.
READER = {
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_PAGER": "cat",
}
# What Pants says of a folder that its daemon has not heard of yet. Nobody types that fast.
NOT_SEEN = ("Unmatched glob from CLI arguments", "does not exist on disk in the workspace")
SEEN_SECONDS = 60


def page_id(page: Path) -> str:
    return page.relative_to(SOURCE).as_posix()


def runs(block: Block) -> bool:
    """Whether a block is for the test to carry out."""
    return block.not_run is None and (block.language == "console" or block.title is not None)


FOLLOWED = [
    page for page in PAGES if any(runs(b) and b.language == "console" for b in blocks(page))
]


@pytest.fixture
def scratch(repository: Repository) -> Iterator[Repository]:
    """The clone as a page's reader has it at first."""
    repository.reset()
    shutil.copytree(SOURCE / "docs", repository.root / "docs")
    repository.commit()
    yield repository
    repository.reset()


def carried_out(scratch: Repository, text: str) -> subprocess.CompletedProcess[str]:
    """A command of a page, once Pants sees what the page wrote before."""
    line = ["bash", "-c", f"exec 2>&1; {text}"]
    end = time.monotonic() + SEEN_SECONDS
    while True:
        result = run(line, scratch.root, {**scratch.environment(), **READER})
        is_seen = not any(each in result.stdout for each in NOT_SEEN)
        if is_seen or time.monotonic() > end:
            return result
        time.sleep(1)


@pytest.mark.parametrize("page", FOLLOWED, ids=page_id)
def test_a_page_is_followed_word_for_word(scratch: Repository, page: Path) -> None:
    for block in blocks(page):
        if not runs(block):
            continue
        if block.title is not None:
            scratch.write(block.title, block.text)
            continue
        for command in commands(page, block):
            result = carried_out(scratch, command.text)
            where = f"{page}:{command.line}: {command.text}"
            assert (result.returncode != 0) is block.fails, f"{where}\n{result.stdout}"
            printed = differs(command.prints, result.stdout, scratch.root)
            assert printed is None, f"{where}\nprints\n{printed}"


@pytest.fixture(scope="module")
def pants_names(repository: Repository) -> PantsNames:
    """What the real Pants knows."""
    return PantsNames.of(json.loads(repository.pants("help-all")))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_is_spelt_as_it_is(pants_names: PantsNames, page: Path) -> None:
    found = list(inline_commands(page, (*PANTS, OURS)))
    for block in blocks(page):
        if block.language == "console" and block.not_run is not None:
            found += commands(page, block)
    wrong = []
    for command in found:
        try:
            check(command.text, pants_names)
        except (SpellingError, ValueError) as error:
            wrong.append(f"{page}:{command.line}: {command.text}: {error}")
    assert not wrong, os.linesep.join(wrong)
