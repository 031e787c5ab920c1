"""Adopters install the launcher from a resolve of theirs, as any Python tool in Pants."""

from __future__ import annotations

import base64
import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nemo_runspec.version import VERSION
from tests.integration.probes import write_probe
from tests.integration.repository import SOURCE, Repository, cloned

REQUIREMENTS = ("omegaconf>=2.3", "packaging", "pydantic-settings", "pydantic>=2", "rich")


def build_wheel(folder: Path) -> Path:
    """Write the library's wheel, by hand, and return its path.

    The binary distribution format: https://packaging.python.org/specifications/
    """
    information = f"nemo_runspec-{VERSION}.dist-info"
    requires = "".join(f"Requires-Dist: {requirement}\n" for requirement in REQUIREMENTS)
    files = {
        f"{information}/METADATA": (
            f"Metadata-Version: 2.1\nName: nemo-runspec\nVersion: {VERSION}\n{requires}".encode()
        ),
        f"{information}/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    for package in ("nemo_runspec", "runspec"):
        for path in sorted((SOURCE / "src" / package).rglob("*.py")):
            files[path.relative_to(SOURCE / "src").as_posix()] = path.read_bytes()
    record = "".join(
        f"{name},sha256={urlsafe_digest(content)},{len(content)}\n"
        for name, content in files.items()
    )
    files[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n".encode()
    wheel = folder / f"nemo_runspec-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return wheel


def urlsafe_digest(content: bytes) -> str:
    """Return a digest as RECORD has it."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return digest.decode().rstrip("=")


@pytest.fixture
def adopter(shared_clone: Repository, tmp_path: Path) -> Iterator[Repository]:
    """A repository without the library's sources, whose resolve `tools` has the library's wheel."""
    del shared_clone  # It says whether there is a Pants to run.
    with cloned(tmp_path / "adopter") as repository:
        install_from_resolve(repository, build_wheel(tmp_path))
        write_probe(repository, "probes")
        yield repository


def install_from_resolve(repository: Repository, wheel: Path) -> None:
    """Have the launcher installed from a resolve whose lock names the wheel; remove its source."""
    settings = (repository.root / "pants.toml").read_text()
    source = 'source = "src/nemo_runspec/cli.py"\n'
    assert source in settings
    settings = settings.replace(source, 'install_from_resolve = "tools"\n').replace(
        "[python.resolves]\n", '[python.resolves]\ntools = "3rdparty/python/tools.lock"\n'
    )
    links = f'\n[python-repos]\nfind_links = ["file://{wheel.parent}"]\n'
    repository.write("pants.toml", settings + links)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    others = (repository.root / "3rdparty/python/python-default.lock").read_text()
    lock = f"nemo-runspec=={VERSION} --hash=sha256:{digest}\n{others}"
    repository.write("3rdparty/python/tools.lock", lock)
    repository.write(
        "3rdparty/python/BUILD",
        'python_requirement(name="launcher", requirements=["nemo-runspec"], resolve="tools")\n',
    )
    shutil.rmtree(repository.root / "src/nemo_runspec")


def test_the_launcher_is_installed_from_a_resolve(adopter: Repository) -> None:
    adopter.pants("run", "probes:probe", "--", "train.steps=3")
    (job,) = adopter.jobs()
    assert "steps: 3" in (job / "train.yaml").read_text()
