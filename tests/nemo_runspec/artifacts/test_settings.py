from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.artifacts.settings import artifacts_settings, environment_settings, user_name
from nemo_runspec.exceptions import EnvError


def test_nothing_configured(repository: Path) -> None:
    (repository / "below").mkdir()
    for settings in (
        artifacts_settings(None),
        artifacts_settings({"wandb": True}),
        artifacts_settings(None, start=repository / "below"),
    ):
        assert settings.root == str(repository / ".runspec/artifacts")
        assert settings.is_default


def test_spellings() -> None:
    assert artifacts_settings({"manifest": {"root": "s3://b"}}).root == "s3://b"
    assert artifacts_settings({"backend": "file", "root": "/old"}).root == "/old"
    assert artifacts_settings({"root": "/old", "manifest": {"root": "/new"}}).root == "/new"


def test_off() -> None:
    assert artifacts_settings({"manifest": {"root": None}}).root is None
    assert artifacts_settings({"manifest": None}).root is None
    assert artifacts_settings({"root": None}).root is None


def test_a_switch_may_come_from_the_environment() -> None:
    assert artifacts_settings({"wandb": "True"}).wandb
    assert not artifacts_settings({"wandb": "false"}).wandb


def test_the_rest() -> None:
    settings = artifacts_settings(
        {
            "wandb": {"project": "p"},
            "namespace": "user/{user}/",
            "output_root": "/out",
            "check": "stat",
            "manifest": {"root": "/r", "shared": "group", "storage_options": {"anon": True}},
        },
        user="alice",
    )
    assert settings.wandb
    assert settings.namespace == "user/alice"
    assert (settings.output_root, settings.check, settings.shared) == ("/out", "stat", "group")
    assert settings.storage_options == {"anon": True}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"backend": "wandb"}, "backend 'wandb' is unknown"),
        ({"manifest": "/x"}, "manifest must be a table"),
        ({"manifest": {"root": 3}}, "manifest.root must be a text, not 3"),
        ({"manifest": {"shared": "all"}}, "shared must be group"),
        ({"manifest": {"storage_options": 1}}, "storage_options must be a table"),
        ({"namespce": "x"}, "unknown key 'namespce'; did you mean 'namespace'"),
        ({"check": "contents"}, "check 'contents' is unknown; did you mean 'content'"),
        ({"namespace": 3}, "namespace must be a text"),
        ({"wandb": "perhaps"}, "wandb must be true or false, not 'perhaps'"),
    ],
)
def test_what_is_wrong_is_named(section: dict[str, Any], message: str) -> None:
    with pytest.raises(EnvError, match=message):
        artifacts_settings(section)


def test_who_runs_this() -> None:
    assert user_name({"USER": "alice"}) == "alice"
    assert user_name({})


def test_the_environments(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = repository / "env.toml"
    assert environment_settings().is_default
    file.write_text("[artifacts]\nnamespace = 'ann'\n[artifacts.manifest]\nroot = '/store'\n")
    assert (environment_settings().root, environment_settings().namespace) == ("/store", "ann")
    monkeypatch.setenv("TEAM", "blue")
    file.write_text("[artifacts]\nroot = '/${oc.env:TEAM}'\n")
    assert environment_settings().root == "/blue"
    for text, message in (
        ("artifacts = 3", "[artifacts] must be a table, not 3"),
        ("[artifacts]\nroot = '${oc.env:NO_SUCH}'", "[artifacts]: .*NO_SUCH"),
        ("[artifacts]\ncheck = 'all'", "[artifacts]: check 'all' is unknown"),
    ):
        file.write_text(text)
        with pytest.raises(EnvError, match=message.replace("[", r"\[")) as raised:
            environment_settings()
        assert str(raised.value).startswith(str(file))


def test_the_environments_take_no_time(repository: Path) -> None:
    (repository / "env.toml").write_text("[artifacts]\nroot = '/store'\n")
    code = (
        "import sys\n"
        "from nemo_runspec.artifacts.settings import environment_settings\n"
        "assert environment_settings().root == '/store'\n"
        "print('omegaconf' in sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "False\n"
