"""What sets Pants up, without a package index: the builds here are stand-ins."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.launcher.machine import ROOT, TIMEOUT_SECONDS

SCRIPT = ROOT / "build-support" / "bootstrap.py"


@pytest.fixture(scope="module")
def bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bootstrap"] = module
    spec.loader.exec_module(module)
    return module


# Builds as bootstrap.build does, in two steps with a pause between, and writes down that it did.
DRIVER = """
import os, sys, tempfile, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import bootstrap

def build(link, progress):
    bootstrap.remove_leftovers(link)
    home = Path(tempfile.mkdtemp(prefix=link.name + ".", dir=link.parent))
    (home / "venv" / "bin").mkdir(parents=True)
    time.sleep(0.5)
    os.symlink(sys.executable, home / "venv" / "bin" / "python")
    os.symlink(home.name, home / "link")
    os.replace(home / "link", link)
    with open(sys.argv[3], "a") as log:
        log.write("built\\n")

bootstrap.build = build
bootstrap.bootstrap(Path(sys.argv[2]))
assert bootstrap.is_ready(Path(sys.argv[2]))
"""


def test_the_pin_is_the_version_in_the_lock(bootstrap: ModuleType) -> None:
    pin = bootstrap.read_pin(ROOT / "pants.2.17.toml")
    assert f"pex=={pin.version} " in (ROOT / "build-support" / "pex.lock").read_text()


def test_every_platform_has_the_same_pin(bootstrap: ModuleType) -> None:
    overlay = (ROOT / "pants.2.17.toml").read_text()
    pin = bootstrap.read_pin(ROOT / "pants.2.17.toml")
    known = re.findall(r'"(v[^"]*\|[^"]*)"', overlay)
    assert [entry.split("|")[1] for entry in known] == [
        "linux_arm64",
        "linux_x86_64",
        "macos_arm64",
        "macos_x86_64",
    ]
    assert {(v, sha, int(size)) for v, _, sha, size in (entry.split("|") for entry in known)} == {
        (f"v{pin.version}", pin.sha256, pin.size)
    }


def test_an_overlay_without_a_pin_is_one_line(bootstrap: ModuleType, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text("[pex-cli]\n")
    with pytest.raises(bootstrap.BootstrapError, match="known_versions has no"):
        bootstrap.read_pin(overlay)


def test_three_at_once_build_once(tmp_path: Path) -> None:
    link, log = tmp_path / "a cache" / "pants-0123", tmp_path / "log"
    command = [sys.executable, "-c", DRIVER, str(SCRIPT.parent), str(link), str(log)]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=TIMEOUT_SECONDS)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    assert log.read_text() == "built\n"


def test_what_a_killed_one_left_is_removed(tmp_path: Path) -> None:
    link = tmp_path / "pants-0123"
    leftover = tmp_path / "pants-0123.killed"
    other = tmp_path / "pants-4567.alive"
    for folder in (leftover, other):
        (folder / "venv").mkdir(parents=True)
    command = [sys.executable, "-c", DRIVER, str(SCRIPT.parent), str(link), str(tmp_path / "log")]
    subprocess.run(command, check=True, timeout=TIMEOUT_SECONDS, capture_output=True)
    assert not leftover.exists()
    assert other.exists()


@pytest.mark.parametrize(
    ("output", "problem", "fix"),
    [
        (["ERROR: Could not install: [Errno 28] No space left on device"], "no space", "1 GB free"),
        (["x", "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM …"], "whose hash", "pip config"),
        (
            [
                "WARNING: Retrying (…) after connection broken by 'NewConnectionError'",
                "ERROR: No matching distribution found for pex==2.77.0",
            ],
            "cannot be reached",
            "check the network",
        ),
        (["Traceback", "ERROR: odd", "note: more"], "odd", "pip config"),
        ([], "it said nothing", "pip config"),
    ],
)
def test_explains_in_one_line(
    bootstrap: ModuleType, output: list[str], problem: str, fix: str
) -> None:
    reason, advice = bootstrap.explain(output)
    assert problem in reason
    assert fix in advice
    assert "\n" not in reason + advice


@pytest.mark.parametrize("obstacle", ["file", "read-only"])
def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, obstacle: str) -> None:
    cache = tmp_path / "cache"
    if obstacle == "file":
        cache.write_text("")
    else:
        cache.mkdir(mode=0o500)
        if os.access(cache, os.W_OK):
            pytest.skip("this user may write everywhere")
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), str(cache / "nemo-runspec" / "pants-0123")],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("./pants: cannot set up Pants in ")
    assert "set XDG_CACHE_HOME to a folder that you can write to" in done.stderr
    assert done.stderr.count("\n") == 1
