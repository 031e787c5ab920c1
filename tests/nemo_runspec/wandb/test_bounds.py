from __future__ import annotations

import threading
from pathlib import Path

import pytest

from nemo_runspec.exceptions import EnvError
from nemo_runspec.wandb_tracking.background import Call, Caller, Watchdog
from nemo_runspec.wandb_tracking.bounds import Bounds, bound_client, is_offline

LONG = 120.0


def test_the_parts_are_the_whole() -> None:
    bounds = Bounds()
    parts = bounds.questions + bounds.init + bounds.calls + bounds.least_finish
    assert parts == pytest.approx(bounds.total)
    assert bounds.total < 10


def test_the_client_is_told(tmp_path: Path) -> None:
    environment = {"WANDB_INIT_TIMEOUT": "77", "NEMO_RUN_DIR": str(tmp_path)}
    bound_client(Bounds(20), environment)
    assert environment["WANDB_INIT_TIMEOUT"] == "77"  # a person's own word counts
    assert environment["WANDB_FINISH_TIMEOUT"] == "13"
    assert environment["WANDB_HTTP_TIMEOUT"] == "7"
    assert environment["WANDB_DIR"] == str(tmp_path)
    assert environment["WANDB_DATA_DIR"] == f"{tmp_path}/wandb/staging"
    outside: dict[str, str] = {"NEMO_RUN_DIR": str(tmp_path / "nowhere")}
    bound_client(Bounds(), outside)
    assert "WANDB_DIR" not in outside


def test_more_patience() -> None:
    assert Bounds.of_environment({}).total == Bounds().total
    assert Bounds.of_environment({"RUNSPEC_WANDB_SECONDS": "60"}).total == 60
    for wrong in ("soon", "0", "-1", "inf", "nan"):
        with pytest.raises(EnvError, match=f"a number of seconds, not '{wrong}'"):
            Bounds.of_environment({"RUNSPEC_WANDB_SECONDS": wrong})


def test_offline() -> None:
    assert is_offline({"WANDB_MODE": "offline"})
    assert is_offline({"WANDB_MODE": "disabled"})
    assert not is_offline({"WANDB_MODE": "online"})
    assert not is_offline({})


def test_calls_are_made_in_order_and_waited_for() -> None:
    failed: list[Call] = []
    caller = Caller(failed.append)
    go = threading.Event()
    order: list[str] = []

    def slow() -> str:
        assert go.wait(LONG)
        order.append("slow")
        return "done"

    def fails() -> None:
        order.append("fails")
        raise ValueError("no")

    first, second = caller.call("slow", slow), caller.call("fails", fails)
    assert not first.wait(0.01)
    assert caller.unfinished() == [first, second]
    go.set()
    assert first.wait(LONG) and second.wait(LONG)
    assert (first.result, order) == ("done", ["slow", "fails"])
    assert failed == [second] and isinstance(second.error, ValueError)
    assert caller.unfinished() == []


def test_a_watchdog_bites_only_what_is_late() -> None:
    bitten = threading.Event()
    late = Watchdog(bitten.set)
    late.arm(0.01)
    assert bitten.wait(LONG)
    assert late.has_bitten
    spared = threading.Event()
    early = Watchdog(spared.set)
    early.arm(LONG)
    early.disarm()
    assert not early.has_bitten
    early.arm(0.01)  # what comes after is watched, too
    assert spared.wait(LONG)
