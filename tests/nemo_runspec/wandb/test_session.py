from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nemo_runspec.wandb_tracking import client, own_session, runs
from nemo_runspec.wandb_tracking import session as session_module
from nemo_runspec.wandb_tracking.no_run import NoRun
from nemo_runspec.wandb_tracking.session import NoAnswerError, Session
from tests.nemo_runspec.wandb.clients import PATIENT


@pytest.fixture
def dealings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A session whose client starts no process."""
    for name, value in PATIENT.items():
        monkeypatch.setenv(name, value)
    for name in ("INIT_TIMEOUT", "FINISH_TIMEOUT", "HTTP_TIMEOUT", "LOGIN_TIMEOUT", "SILENT"):
        monkeypatch.setenv(f"WANDB_{name}", "1")  # what the session would set for good
    monkeypatch.setattr(session_module, "start_process", lambda: None)
    monkeypatch.setattr(session_module, "guard_teardown", lambda end: None)
    own_session.forget_session()
    yield own_session.session()
    own_session.forget_session()


def fails() -> None:
    raise ValueError("a tag has at most 64 letters; HF_TOKEN=abcdefgh12345")


def test_what_fails_is_said_once_and_what_follows_is_tried(
    dealings: Session, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    assert dealings.submit("tagging", fails) is None
    assert dealings.submit("logging", lambda: "made") == "made"
    assert dealings.submit("tagging", fails) is None
    [record] = caplog.records
    assert "tagging failed (ValueError: a tag has at most 64 letters" in record.message
    assert "abcdefgh12345" not in record.message


def test_answers_that_are_needed_cost_a_run_nothing(dealings: Session) -> None:
    for _ in range(3):
        assert dealings.ask("looking up x", lambda: 7, seconds=120) == 7
    assert dealings._left() == pytest.approx(dealings.bounds.total, abs=1e-3)
    assert dealings.ask("looking up x", lambda: 7) == 7
    with pytest.raises(NoAnswerError, match="ValueError: a tag"):
        dealings.ask("looking up x", fails)
    assert dealings.ask("looking up x", lambda: 7) == 7  # the next one is asked all the same


def test_no_answer_is_the_last_question(
    dealings: Session, caplog: pytest.LogCaptureFixture
) -> None:
    go = threading.Event()
    with pytest.raises(NoAnswerError, match="RUNSPEC_WANDB_SECONDS=60 waits longer"):
        dealings.ask("looking up x", go.wait, seconds=0.01)
    go.set()
    with pytest.raises(NoAnswerError, match="is not asked"):
        dealings.ask("looking up y", lambda: 7)
    assert len(caplog.records) == 1


def test_an_error_that_took_all_the_time_is_the_last_question(dealings: Session) -> None:
    dealings._for_questions = 0.0
    with pytest.raises(NoAnswerError, match="ValueError"):
        dealings.ask("looking up x", fails, seconds=120)
    with pytest.raises(NoAnswerError, match="is not asked"):
        dealings.ask("looking up y", lambda: 7, seconds=120)


def test_a_fork_has_dealings_of_its_own(dealings: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_session.session() is dealings
    own = os.getpid()
    monkeypatch.setattr(session_module.os, "getpid", lambda: own + 1)
    assert own_session.session() is not dealings


def test_only_a_process_of_ones_own_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    setup = SimpleNamespace(_connection=None)
    monkeypatch.setattr(
        client, "optional_import", lambda *_, **__: SimpleNamespace(singleton=lambda: setup)
    )
    assert client.guard_teardown(lambda act: act()) is None

    def teardown(exit_code: int) -> None:
        ended.append(f"teardown {exit_code}")

    # Another process has started what this one is connected to (WANDB_SERVICE).
    setup._connection = SimpleNamespace(_proc=None, teardown=teardown)
    assert client.guard_teardown(lambda act: act()) is None
    assert setup._connection.teardown is teardown
    process = object()
    setup._connection = SimpleNamespace(_proc=SimpleNamespace(_process=process), teardown=teardown)

    def end(act: Any) -> Any:
        ended.append("guarded")
        return act()

    assert client.guard_teardown(end) is process
    assert client.guard_teardown(end) is None  # once
    setup._connection.teardown(3)
    assert ended == ["guarded", "teardown 3"]


def test_errors_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a1b2c3d4e5f6")
    error = RuntimeError("proxy http://me:pass@host said no to a1b2c3d4e5f6\nmore")
    assert client.one_line(error) == "RuntimeError: proxy http://me:******@host said no to ******"


def test_a_config_is_logged_without_secrets(
    dealings: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}
    run = SimpleNamespace(config=SimpleNamespace(update=lambda values, **_: told.update(values)))
    monkeypatch.setattr(Session, "run", run)
    runs.log_config(dealings, {"lr": 0.1, "data": {"hf_token": "abcdefgh12345"}})
    assert told == {"lr": 0.1, "data": {"hf_token": "******"}}


def test_no_run_takes_everything() -> None:
    run = NoRun()
    run.name = "x"
    run.summary["best"] = 1
    del run.summary["best"]
    assert not run and not len(run.tags) and "x" not in run.config
    assert list(run.scan_history(keys=["loss"])) == []
    with pytest.raises(KeyError), run:
        raise KeyError("on its way")
    assert f"{run.url}" == "" and not hasattr(run, "__fspath__")
