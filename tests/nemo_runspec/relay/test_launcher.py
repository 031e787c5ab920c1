from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from nemo_runspec.exceptions import UsageError
from nemo_runspec.relay.launcher import find_launcher


def pex(path: Path, **info: object) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("PEX-INFO", json.dumps(info))
    return path


def test_own_pex_is_sent_once_per_content(tmp_path: Path) -> None:
    constraints = ["CPython==3.11.*"]
    first = pex(
        tmp_path / "a", entry_point="nemo_runspec.cli:main", interpreter_constraints=constraints
    )
    launcher = find_launcher({"PEX": str(first)})
    assert launcher.versions == ("3.11",)
    (tree,) = launcher.trees()
    assert [entry.path for entry in tree.entries()] == ["launcher.pex"]
    argv = launcher.argv("/lustre/jobs", "/usr/bin/python3.11")
    assert argv == ["/usr/bin/python3.11", f"/lustre/jobs/{tree.path}/launcher.pex"]
    second = pex(tmp_path / "b", entry_point="nemo_runspec.cli:main")
    (other,) = find_launcher({"PEX": str(second)}).trees()
    assert tree.path.startswith("_launchers/")
    assert other.path != tree.path


def test_installed_launcher_needs_no_files() -> None:
    environ = {"RUNSPEC_REMOTE_LAUNCHER": "/opt/nemo-runspec", "PEX": "/no"}
    launcher = find_launcher(environ)
    assert launcher.trees() == []
    assert launcher.argv("/lustre/jobs", "python") == ["/opt/nemo-runspec"]
    assert "3.12" in launcher.versions


@pytest.mark.parametrize("environ", ["none", "missing", "foreign", "no zip", "no pex"])
def test_no_launcher_to_send(tmp_path: Path, environ: str) -> None:
    pex(tmp_path / "foreign", entry_point="pants.bin.pants_loader:main")
    (tmp_path / "no zip").write_text("x")
    with zipfile.ZipFile(tmp_path / "no pex", "w") as archive:
        archive.writestr("x", "y")
    found = {} if environ == "none" else {"PEX": str(tmp_path / environ)}
    with pytest.raises(UsageError, match="RUNSPEC_REMOTE_LAUNCHER"):
        find_launcher(found)
