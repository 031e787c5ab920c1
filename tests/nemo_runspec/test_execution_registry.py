from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from nemo_runspec.execution import ExecutionError, LocalExecutor, executor_names, get_executor
from nemo_runspec.execution.registry import ENTRY_POINT_GROUP
from runspec.executors import EXECUTORS

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


def test_the_build_side_knows_those_that_come_with_the_library() -> None:
    """It chooses the launcher by their names."""
    assert set(executor_names()) == EXECUTORS


def test_local_is_there() -> None:
    assert isinstance(get_executor("local"), LocalExecutor)
    assert "local" in executor_names()


@pytest.mark.usefixtures("installed")
def test_third_party() -> None:
    assert get_executor("other").name == "other"
    assert {"local", "other"} <= set(executor_names())
    for name in ("broken", "nameless", "wrong"):
        with pytest.raises(ExecutionError, match=repr(name)):
            get_executor(name)


@pytest.mark.parametrize("name", ["local", "ray", "slurm", "docker", "dgxcloud", "lepton"])
def test_names_of_env_toml(name: str) -> None:
    assert get_executor(name).name == name
    assert name in executor_names()


def test_unknown() -> None:
    with pytest.raises(ExecutionError, match=r"'slrum'.*'slurm'"):
        get_executor("slrum")
