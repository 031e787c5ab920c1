"""Bad input is one line that names the file, the key and the way out; nothing is left behind."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.probes import PROBE, write_probe
from tests.integration.repository import Repository, contents, run

ENV_TOML = b"""\
[laptop]
executor = "local"
[first]
extends = "second"
[second]
extends = "first"
[orphan]
extends = "lptop"
[odd]
excutor = "local"
[cluster]
executor = "slrm"
"""


@dataclass(frozen=True)
class Case:
    """A command line that cannot work.

    Attributes:
        arguments: what is typed after `run`.
        expected: what its message says.
        files: what lies in the working directory, beside an `env.toml`.
        variables: environment variables.
    """

    arguments: tuple[str, ...]
    expected: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


CASES = {
    "profile": Case(("--profile", "laptp"), ("env.toml", "'laptp'", "'laptop'")),
    "batch profile": Case(("-b", "nowhere"), ("env.toml", "'nowhere'", "laptop")),
    "parent profile": Case(("-r", "orphan"), ("env.toml", "'orphan'", "'lptop'", "'laptop'")),
    "cyclic extends": Case(("-r", "first"), ("env.toml", "first -> second -> first")),
    "profile's key": Case(("-r", "odd"), ("env.toml", "'odd'", "'excutor'", "'executor'")),
    "executor": Case(("-r", "cluster"), ("'slrm'", "slurm")),
    "broken env.toml": Case(("-r", "x"), ("env.toml:2",), {"env.toml": b"[x]\nx = = 1\n"}),
    "env.toml not UTF-8": Case(("-r", "x"), ("env.toml", "UTF-8"), {"env.toml": b'x = "\xe4"'}),
    "named env.toml": Case(
        ("-r", "laptop"),
        ("other.toml", "NEMOTRON_ENV_FILE"),
        variables={"NEMOTRON_ENV_FILE": "other.toml"},
    ),
    "config": Case(("-c", "defualt"), ("'defualt'", "'default'")),
    "config's path": Case(("-c", "./my.yaml"), ("my.yaml",)),
    "override": Case(("train.stpes=5",), ("train.stpes", "'steps'")),
    "override's value": Case(("train.steps=[1",), ("train.steps",)),
    "option": Case(("--dryrun",), ("--dryrun", "--dry-run")),
    "option with a value": Case(("--profle=laptop",), ("--profle", "--profile=laptop")),
    "option without its value": Case(("-c",), ("-c",)),
    "contradiction": Case(("-r", "laptop", "-b", "laptop"), ("--run", "--batch")),
    "cyclic defaults": Case(
        ("-c", "./a.yaml"),
        ("a.yaml", "b.yaml"),
        {"a.yaml": b"defaults: b\n", "b.yaml": b"defaults: [a]\n"},
    ),
    "missing base": Case(
        ("-c", "./a.yaml"), ("a.yaml", "base9"), {"a.yaml": b"defaults: base9\n"}
    ),
    "broken YAML": Case(("-c", "./a.yaml"), ("a.yaml:", "broken YAML"), {"a.yaml": b"a: [1\n"}),
    "YAML not UTF-8": Case(("-c", "./a.yaml"), ("a.yaml", "UTF-8"), {"a.yaml": b"a: \xe4\n"}),
    "YAML list": Case(("-c", "./a.yaml"), ("a.yaml",), {"a.yaml": b"- 1\n"}),
    "no interpreter for the job": Case(
        (), ("RUNSPEC_PYTHON=/no/such/python",), {}, {"RUNSPEC_PYTHON": "/no/such/python"}
    ),
    "no interpreter for the launcher": Case(
        (),
        ("RUNSPEC_LAUNCHER_PYTHON=/no/such/python",),
        {},
        {"RUNSPEC_LAUNCHER_PYTHON": "/no/such/python"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def probes(repository: Repository) -> Repository:
    """A repository with probes in it."""
    write_probe(repository, "probes")
    return repository


@pytest.fixture(scope="module")
def bundle(probes: Repository) -> Path:
    """A probe's bundle."""
    probes.pants("package", "probes:probe")
    return probes.root / "dist/probes/probe"


def refusal(command: list[str], folder: Path, variables: Mapping[str, str]) -> str:
    """Run a command that must refuse with one line and leave nothing; return that line."""
    before = contents(folder)
    result = run(command, folder, variables)
    assert result.returncode == 2, result.stdout + result.stderr
    assert not result.stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert contents(folder) == before
    return line


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_launcher_refuses(case: Case, bundle: Path, probes: Repository, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    for name, content in {"env.toml": ENV_TOML, **case.files}.items():
        (tmp_path / name).write_bytes(content)
    command = [str(bundle / "run"), *case.arguments]
    line = refusal(command, tmp_path, probes.environment(case.variables))
    assert not [text for text in case.expected if text not in line], line


BREAKS = {
    "no bundle.json": ("bundle.json", None, "bundle.json"),
    "half a bundle.json": ("bundle.json", b'{"schema": "1",\n', "bundle.json:"),
    "a later schema": ("bundle.json", b'{"schema": "2"}', '"2"'),
    "no launcher": ("launcher.pex", None, "launcher.pex"),
    "no script": ("code/probes/probe.py", None, "probe.py"),
}


@pytest.mark.parametrize(("name", "content", "expected"), BREAKS.values(), ids=BREAKS.keys())
def test_a_broken_bundle_is_refused(
    name: str,
    content: bytes | None,
    expected: str,
    bundle: Path,
    probes: Repository,
    tmp_path: Path,
) -> None:
    copy = shutil.copytree(bundle, tmp_path / "a bundle")
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content)
    assert expected in refusal([str(copy / "run")], tmp_path, probes.environment())


def test_an_edited_bundle_is_refused(bundle: Path, probes: Repository, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "a bundle")
    first = run([str(copy / "run")], tmp_path, probes.environment())
    assert first.returncode == 0, first.stderr
    script = copy / "code/probes/probe.py"
    script.write_text(f"{script.read_text()}\n# edited\n")
    assert "probe.py" in refusal([str(copy / "run")], tmp_path, probes.environment())


GOOD = PROBE.replace("NASTY", '""')
SCRIPTS = {
    "not UTF-8": (PROBE.encode().replace(b"NASTY", b'"\xe4"'), (), ("bad.py:10", "UTF-8")),
    "broken TOML": (PROBE.encode(), (), ("bad.py:10",)),
    "unknown field": (
        GOOD.replace("# launch", "# lunch").encode(),
        (),
        ("bad.py:7", "lunch", "launch"),
    ),
    "no interpreter": (
        GOOD.replace("# [", '# requires-python = ">=3.99"\n# [', 1).encode(),
        (),
        ("bad.py", "requires-python", "3.99"),
    ),
    "mistyped option": (GOOD.encode(), ("--dryrun",), ("--dryrun", "--dry-run")),
    "unknown profile": (GOOD.encode(), ("--profile", "laptp"), ("'laptp'", "env.toml")),
}


@pytest.mark.parametrize(("script", "arguments", "expected"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_pants_run_refuses(
    script: bytes, arguments: tuple[str, ...], expected: tuple[str, ...], probes: Repository
) -> None:
    (probes.root / "probes/bad.py").write_bytes(script)
    build = (probes.root / "probes/BUILD").read_text()
    if "bad.py" not in build:
        probes.write("probes/BUILD", f'{build}runspec_recipe(name="bad", script="bad.py")\n')
    before = probes.files()
    result = probes.try_pants("run", "probes:bad", "--", *arguments)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if expected[0] in line]
    assert len(lines) == 1, result.stderr
    assert not [text for text in expected if text not in lines[0]], lines[0]
    assert probes.files() == before
