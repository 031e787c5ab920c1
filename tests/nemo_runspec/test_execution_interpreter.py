from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nemo_runspec.execution import ExecutionError, find_interpreter, job_interpreter
from nemo_runspec.execution.interpreter import (
    own_python,
    try_interpreter,
    version_check,
)

HERE = ".".join(map(str, sys.version_info[:3]))
MINOR = ".".join(map(str, sys.version_info[:2]))
BROKEN = '#!/bin/sh\necho "pyenv: python: command not found" >&2\nexit 127\n'


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def real(path: Path) -> Path:
    return program(path, f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')


def claims(path: Path, version: str) -> Path:
    return program(path, f'#!/bin/sh\necho {version}\necho "$0"\n')


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr("nemo_runspec.execution.interpreter._USUAL_FOLDERS", ())
    return {"PATH": f"{tmp_path / 'first'}:{tmp_path / 'second'}::relative", "HOME": str(tmp_path)}


def test_a_broken_shim_is_not_believed(tmp_path: Path, environ: dict[str, str]) -> None:
    program(tmp_path / "first" / f"python{MINOR}", BROKEN)
    real(tmp_path / "second" / f"python{MINOR}")
    found = find_interpreter([f"CPython=={MINOR}.*"], environ)
    assert found.samefile(sys.executable)


@pytest.mark.parametrize("place", [".pyenv/versions/3.x/bin", ".local/share/uv/python/cpython/bin"])
def test_pyenv_and_uv(tmp_path: Path, environ: dict[str, str], place: str) -> None:
    program(tmp_path / "first" / "python3", BROKEN)
    real(tmp_path / place / f"python{MINOR}")
    assert find_interpreter([f">={MINOR}"], environ).samefile(sys.executable)


def test_lowest_version_that_fits(tmp_path: Path, environ: dict[str, str]) -> None:
    for minor in (9, 12, 13):
        claims(tmp_path / "first" / f"python3.{minor}", f"3.{minor}.1")
    found = claims(tmp_path / "second" / "python3.11", "3.11.9")
    claims(tmp_path / "first" / "python3.11", "3.11.0")
    assert find_interpreter(["CPython>=3.11.2,<3.14"], environ) == found
    assert find_interpreter(["CPython==3.13.*", "CPython==3.12.*"], environ).name == "python3.12"


def test_nothing_fits(tmp_path: Path, environ: dict[str, str]) -> None:
    shim = program(tmp_path / "first" / "python3.11", BROKEN)
    old = claims(tmp_path / "first" / "python3", "3.8.2")
    with pytest.raises(ExecutionError) as raised:
        find_interpreter(["CPython>=3.11,<3.12"], environ)
    message = str(raised.value)
    for expected in (
        f"{shim} (does not run)",
        f"{old} (3.8.2)",
        "CPython>=3.11,<3.12",
        "uv python",
    ):
        assert expected in message
    assert "\n" not in message


def test_runspec_python(tmp_path: Path, environ: dict[str, str]) -> None:
    chosen = {**environ, "RUNSPEC_PYTHON": sys.executable}
    assert job_interpreter([f"CPython=={MINOR}.*"], chosen) == Path(sys.executable)
    with pytest.raises(ExecutionError) as raised:
        job_interpreter(["CPython==2.7.*", ">=4"], chosen)
    assert f"RUNSPEC_PYTHON={sys.executable} is Python {HERE}" in str(raised.value)
    assert "CPython==2.7.* or >=4" in str(raised.value)
    shim = program(tmp_path / "python3", BROKEN)
    with pytest.raises(ExecutionError, match="RUNSPEC_PYTHON"):
        job_interpreter([], {**environ, "RUNSPEC_PYTHON": str(shim)})


def test_own_python_is_the_first_of_path(tmp_path: Path, environ: dict[str, str]) -> None:
    assert own_python([], environ) is None
    real(tmp_path / "second" / "python")
    assert own_python([], environ)
    assert own_python([f">={MINOR}"], environ)
    assert own_python(["<3"], environ) is None
    program(tmp_path / "first" / "python", BROKEN)
    assert own_python([], environ) is None


def test_versions() -> None:
    tried = try_interpreter(sys.executable)
    assert tried is not None and tried.version == HERE
    assert try_interpreter("/no/such/python") is None
    assert try_interpreter("/bin/echo") is None
    fits = version_check(["CPython[foo]>=3.9,!=3.9.7", "PyPy==3.8.*"])
    assert [fits(v) for v in ("3.9.6", "3.9.7", "3.8.1", "3.7.0")] == [True, False, True, False]
    assert version_check([])("3.1.1")
    with pytest.raises(ExecutionError, match="interpreter_constraints"):
        version_check(["CPython is nice"])
