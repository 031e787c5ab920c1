from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from nemo_runspec.execution import ExecutionError, LocalExecutor, executor_names, get_executor
from nemo_runspec.execution.registry import ENTRY_POINT_GROUP, has_executor

HERE = "nemo_runspec.execution.local"


class Other(LocalExecutor):
    name = "other"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "other": f"{__name__}:Other",
        "broken": "no_such_module:X",
        "nameless": f"{HERE}:Nothing",
        "wrong": "builtins:dict",
    }
    points = [EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in values.items()]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)


def test_local_is_there() -> None:
    assert isinstance(get_executor("local"), LocalExecutor)
    assert "local" in executor_names()
    assert has_executor("local")


@pytest.mark.usefixtures("installed")
def test_third_party() -> None:
    assert get_executor("other").name == "other"
    assert {"local", "other"} <= set(executor_names())
    for name in ("broken", "nameless", "wrong"):
        with pytest.raises(ExecutionError, match=repr(name)):
            get_executor(name)


def test_names_of_other_versions() -> None:
    for name in ("slurm", "ray", "docker", "dgxcloud", "lepton"):
        assert not has_executor(name)
        with pytest.raises(ExecutionError, match=r"available: local.*--dry-run"):
            get_executor(name)


def test_unknown() -> None:
    for find in (get_executor, has_executor):
        with pytest.raises(ExecutionError, match=r"'slrum'.*'slurm'"):
            find("slrum")
