"""Finding a Python for a job: candidates by name and place, each tried before it is believed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from nemo_runspec.execution.errors import ExecutionError

_MINORS = range(9, 30)
_PATCHES = range(40)
# The executable too: a shim that answers here may answer otherwise in another folder.
_PROBE = "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.executable)"
# A cold interpreter on a network filesystem may take seconds; a shim that hangs is no interpreter.
_PROBE_SECONDS = 20


def job_interpreter(constraints: Sequence[str], environ: Mapping[str, str]) -> Path:
    """The interpreter that runs a job: `RUNSPEC_PYTHON` when set, else the first that fits.

    Args:
        constraints: alternatives such as `CPython>=3.11,<3.14`; none means any Python.
        environ: the environment to look in.

    Raises:
        ExecutionError: if there is none, or `RUNSPEC_PYTHON` does not fit.
    """
    chosen = environ.get("RUNSPEC_PYTHON")
    if chosen:
        found = try_interpreter(chosen)
        if found is None:
            raise ExecutionError(
                f"RUNSPEC_PYTHON={chosen} is no Python that runs; "
                "unset it or name an interpreter by its path"
            )
        if not version_check(constraints)(found.version):
            raise ExecutionError(
                f"RUNSPEC_PYTHON={chosen} is Python {found.version}, and the recipe needs "
                f"{' or '.join(constraints)}; unset it or name an interpreter that fits"
            )
        return Path(chosen)
    return find_interpreter(constraints, environ)


def find_interpreter(constraints: Sequence[str], environ: Mapping[str, str]) -> Path:
    """The first interpreter that fits: the lowest minor version, PATH before the other places.

    Raises:
        ExecutionError: naming what was tried, when none fits.
    """
    fits = version_check(constraints)
    tried: list[str] = []
    for candidate in _candidates(fits, environ):
        found = try_interpreter(candidate)
        if found is not None and fits(found.version):
            return found.path
        tried.append(f"{candidate} ({found.version if found else 'does not run'})")
    wanted = " or ".join(constraints) or "any Python"
    looked = f"tried {', '.join(tried)}" if tried else "found none on PATH, in pyenv or in uv"
    raise ExecutionError(
        f"no interpreter for {wanted}: {looked}; install one (`uv python install`, "
        "`pyenv install`) or set RUNSPEC_PYTHON to its path"
    )


def own_python(constraints: Sequence[str], environ: Mapping[str, str]) -> Path | None:
    """The `python` that PATH finds, an image's own say, if it runs and fits."""
    fits = version_check(constraints)
    first = next(
        (f / "python" for f in _path_folders(environ) if os.access(f / "python", os.X_OK)), None
    )
    found = try_interpreter(first) if first else None
    return found.path if found is not None and fits(found.version) else None


class Interpreter(NamedTuple):
    """An interpreter that runs: its version, such as `3.11.7`, and its executable."""

    version: str
    path: Path


def try_interpreter(python: str | Path) -> Interpreter | None:
    """Runs it; None for what is no Python, such as a pyenv shim with no version behind it."""
    try:
        probe = subprocess.run(
            [str(python), "-I", "-S", "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version, _, executable = os.fsdecode(probe.stdout).strip().partition("\n")
    if probe.returncode or not re.fullmatch(r"\d+\.\d+\.\d+", version):
        return None
    return Interpreter(version, Path(executable or python))


def version_check(constraints: Sequence[str]) -> Callable[[str], bool]:
    """A function that tells whether a version such as `3.11.7` fits one of the constraints.

    Raises:
        ExecutionError: if a constraint is no version specifier.
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        specifiers = [
            SpecifierSet(re.sub(r"^\s*[A-Za-z]+(\[[^\]]*\])?", "", constraint))
            for constraint in constraints
        ]
    except InvalidSpecifier as error:
        raise ExecutionError(f"interpreter_constraints: {error}") from error

    def fits(version: str) -> bool:
        return not specifiers or any(specifier.contains(version) for specifier in specifiers)

    return fits


def fitting_minors(fits: Callable[[str], bool]) -> list[str]:
    """The minor versions, such as `3.11`, any patch release of which fits; lowest first.

    Args:
        fits: from `version_check`.
    """
    return [minor for minor, _ in _fitting(fits)]


def fitting_versions(fits: Callable[[str], bool]) -> list[str]:
    """The versions that fit: a minor version where all of its patch releases do, else these.

    Args:
        fits: from `version_check`.
    """
    versions = []
    for minor, patches in _fitting(fits):
        versions += [minor] if len(patches) == len(_PATCHES) else patches
    return versions


def _fitting(fits: Callable[[str], bool]) -> Iterator[tuple[str, list[str]]]:
    """Minor versions and their patch releases that fit, where there are any."""
    for minor in _MINORS:
        patches = [f"3.{minor}.{patch}" for patch in _PATCHES if fits(f"3.{minor}.{patch}")]
        if patches:
            yield f"3.{minor}", patches


def _candidates(fits: Callable[[str], bool], environ: Mapping[str, str]) -> Iterator[Path]:
    folders = [*_path_folders(environ), *_version_folders(environ), *_USUAL_FOLDERS]
    seen: set[Path] = set()
    for name in [*(f"python{minor}" for minor in fitting_minors(fits)), "python3", "python"]:
        for folder in folders:
            candidate = folder / name
            if candidate not in seen and os.access(candidate, os.X_OK):
                seen.add(candidate)
                yield candidate


_USUAL_FOLDERS = tuple(map(Path, ("/usr/local/bin", "/opt/homebrew/bin", "/usr/bin")))


def _path_folders(environ: Mapping[str, str]) -> list[Path]:
    return [Path(f) for f in environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(f)]


def _version_folders(environ: Mapping[str, str]) -> list[Path]:
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    pyenv = Path(environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    uv = Path(environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    return [folder for root in (pyenv, uv) for folder in sorted(root.glob("*/bin"))]
