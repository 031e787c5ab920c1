"""A third party's executor, found by its entry point: the one of docs/howto/executor.md."""

from __future__ import annotations

import importlib
import os
import re
import signal
from pathlib import Path

import pytest

from nemo_runspec.execution import Executor, Handle, State, executor_names, get_executor
from tests.nemo_runspec.executor_contract import ExecutorContract

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "executor.md"


def block(language: str, after: str) -> str:
    """The first block of the page in a language, behind a line of it."""
    text = PAGE.read_text(encoding="utf-8").partition(after)[2]
    found = re.search(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(autouse=True)
def distribution(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's package, as an installer leaves it on a path."""
    site = tmp_path_factory.mktemp("site")
    module = block("python", "<!-- background_executor.py -->")
    (site / "background_executor.py").write_text(module, encoding="utf-8")
    info = site / "background_executor-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: background-executor\nVersion: 1\n")
    table = block("toml", "## Install it")
    group = re.search(r'entry-points\."(.+)"\]', table)
    assert group
    name, value = re.findall(r'^(\w+) = "(.+)"$', table, re.MULTILINE)[0]
    (info / "entry_points.txt").write_text(f"[{group[1]}]\n{name} = {value}\n")
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()


class TestBackgroundExecutor(ExecutorContract):
    # Its shell ends a process group, and no more.
    ends_other_sessions = False

    def make_executor(self) -> Executor:
        return get_executor("background")

    def test_a_lost_machine(self, executor: Executor, folder: Path) -> None:
        self.goes_on(executor, folder, kill_group, {State.LOST})


def kill_group(handle: Handle) -> None:
    os.killpg(int(handle.id), signal.SIGKILL)


def test_it_is_among_those_that_can_be_used() -> None:
    assert "background" in executor_names()
