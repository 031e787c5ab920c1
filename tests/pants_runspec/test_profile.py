"""Which launcher a profile of env.toml needs, as the build side reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pants.testutil.rule_runner import PYTHON_BOOTSTRAP_ENV, QueryRule, RuleRunner

from pants_runspec.launcher_tools import needs_nemo_run
from pants_runspec.profile import (
    Profile,
    ProfileRequest,
    env_file,
    executors_of,
    profile_named,
)
from tests.pants_runspec.harness import make_runner, with_defaults

ENV_TOML = """\
[wandb]
project = "p"

[base]
executor = "slurm"
account = "a"

[prod]
extends = "base"
nodes = 4

[laptop]
nodes = 1

[rayed]
extends = "base"
executor = "ray"

[supervised]
extends = "rayed"
supervisor = "slurm"

[later]
executor = "${oc.env:EXECUTOR,local}"

[circle]
executor = "slurm"
extends = "elcric"
[elcric]
extends = "circle"

[orphan]
executor = "slurm"
extends = "nobody"

[odd]
executor = ["slurm"]
[odder]
executor = "slurm"
extends = ["base"]
"""


@pytest.mark.parametrize(
    ("profile", "executors", "with_nemo_run"),
    [
        ("base", ("slurm",), True),
        ("prod", ("slurm",), True),
        ("laptop", (), False),
        ("rayed", ("ray",), False),
        ("supervised", ("ray", "slurm"), True),
        ("later", ("${oc.env:EXECUTOR,local}",), True),
        ("circle", (), False),
        ("orphan", (), False),
        ("odd", (), False),
        ("odder", (), False),
        ("nobody", (), False),
        ("", (), False),
    ],
)
def test_the_executors_of_a_profile(
    profile: str, executors: tuple[str, ...], with_nemo_run: bool
) -> None:
    assert executors_of(ENV_TOML.encode(), profile) == executors
    assert needs_nemo_run(executors) is with_nemo_run


@pytest.mark.parametrize("name", ["slurm", "docker", "dgxcloud", "lepton"])
def test_who_needs_nemo_run(name: str) -> None:
    assert needs_nemo_run(["local", name])


@pytest.mark.parametrize("content", [b"[prod\n", b"\xff[prod]\nexecutor='slurm'\n", b"prod = 1\n"])
def test_what_cannot_be_read_names_no_executor(content: bytes) -> None:
    assert executors_of(content, "prod") == ()


def test_a_byte_order_mark_is_read_over() -> None:
    assert executors_of(b"\xef\xbb\xbf[prod]\nexecutor = 'slurm'\n", "prod") == ("slurm",)


@pytest.mark.parametrize(
    ("line", "profile"),
    [
        ("", None),
        ("store ls", None),
        ("doctor --profile prod", "prod"),
        ("doctor --profile=a=b", "a=b"),
        ("doctor --profile", None),
        ("jobs prepare --verbose --profile prod x", "prod"),
        ("jobs ls -- --profile prod", None),
        ("store ls --run prod", None),
        ("plan folder --profile prod", None),
        ("recipe folder --batch prod", "prod"),
        ("recipe folder -r prod -c tiny", "prod"),
        ("recipe folder -c tiny -- -r prod", None),
    ],
)
def test_the_profile_of_a_command_line(line: str, profile: str | None) -> None:
    assert profile_named(line.split()) == profile


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({}, "/root/env.toml"),
        ({"NEMOTRON_ENV_FILE": ""}, "/root/env.toml"),
        ({"NEMOTRON_ENV_FILE": "sub/other.toml"}, "/root/sub/other.toml"),
        ({"NEMOTRON_ENV_FILE": "/else/env.toml"}, "/else/env.toml"),
        ({"NEMOTRON_ENV_FILE": "~/env.toml", "HOME": "/h"}, "/h/env.toml"),
    ],
)
def test_where_the_file_is(environment: dict[str, str], path: str) -> None:
    assert env_file(Path("/root"), environment) == Path(path)


@pytest.fixture(scope="module")
def runner() -> RuleRunner:
    return make_runner(
        # As in a repository that keeps the file to itself.
        {".gitignore": "env.toml\n"},
        rules=[QueryRule(Profile, (ProfileRequest,))],
    )


def read(runner: RuleRunner, profile: str | None, **environment: str) -> tuple[str, ...]:
    """Return what a run of Pants reads, each a session of its own."""
    runner.set_options(with_defaults([]), env=environment, env_inherit=PYTHON_BOOTSTRAP_ENV)
    return runner.request(Profile, [ProfileRequest(profile)]).executors


def test_each_run_reads_the_file_anew(runner: RuleRunner, tmp_path: Path) -> None:
    path = Path(runner.build_root, "env.toml")
    assert read(runner, "prod") == ()
    path.write_text(ENV_TOML)
    assert read(runner, "prod") == ("slurm",)
    path.write_text("[prod]\nexecutor = 'ray'\n")
    assert read(runner, "prod") == ("ray",)
    assert read(runner, None) == ()
    other = tmp_path / "other.toml"
    other.write_text("[prod]\nexecutor = 'docker'\n")
    assert read(runner, "prod", NEMOTRON_ENV_FILE=str(other)) == ("docker",)
    path.unlink()
    assert read(runner, "prod") == ()
