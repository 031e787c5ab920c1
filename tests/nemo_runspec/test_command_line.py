from __future__ import annotations

import pytest

from nemo_runspec.command_line import typed


@pytest.mark.parametrize(
    ("command", "profile", "expected"),
    [
        (None, None, "nemo-runspec jobs logs -f 'a b'"),
        ("nemo-runspec materialize plan", None, "nemo-runspec jobs logs -f 'a b'"),
        ("./pants run x:y --", None, "./pants nemo-runspec -- jobs logs -f 'a b'"),
        (None, "my prod", "nemo-runspec jobs logs -f 'a b' --profile 'my prod'"),
    ],
)
def test_commands_to_copy_are_those_that_a_person_can_give(
    monkeypatch: pytest.MonkeyPatch, command: str | None, profile: str | None, expected: str
) -> None:
    for name, value in (("RUNSPEC_COMMAND", command), ("RUNSPEC_RELAY_PROFILE", profile)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert typed("jobs", "logs", "-f", "a b") == expected
