"""What cannot be planned or built is said in one line, before anything is written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.repository import Repository

SCRIPT = """\
# /// script
# [tool.runspec]
# name = "bad/NAME"
# [tool.runspec.run]
# launch = "direct"
# [tool.runspec.config]
# dir = "config/NAME"
# ///
import os
import sys
from pathlib import Path

config = Path(sys.argv[sys.argv.index("--config") + 1]).read_text()
Path(os.environ["RUNSPEC_OUTPUT_DIR"], "out.txt").write_text(config)
"""
BUILD = """\
python_sources()
runspec_configs(name="configs", sources=["config/**/*.yaml"])
runspec_recipe(name="one", script="one.py")
runspec_recipe(name="two", script="two.py")
artifact(name="first", recipe=":one", output=".")
artifact(name="second", recipe=":two", output=".")
"""
ENV_TOML = """\
[artifacts]
output_root = "{outputs}"
[artifacts.manifest]
root = "{store}"
"""
NOBODY_LISTENS = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}
GOALS = ("plan", "materialize")


@pytest.fixture(scope="module")
def bad(repository: Repository) -> Repository:
    """A repository with two stages, to be spoilt."""
    for name in ("one", "two"):
        repository.write(f"bad/{name}.py", SCRIPT.replace("NAME", name))
    repository.write("bad/config/one/default.yaml", "value: 1\n")
    repository.write("bad/config/two/default.yaml", "run: {above: bad-first:latest}\nvalue: 2\n")
    repository.write("bad/BUILD", BUILD)
    return repository


@pytest.fixture
def store(bad: Repository, tmp_path: Path) -> Path:
    """A store with what the first stage made."""
    folder = tmp_path / "store"
    use(bad, str(folder), tmp_path)
    bad.pants("materialize", "bad:first")
    return folder


def use(repository: Repository, store: str, folder: Path) -> None:
    """Let the repository use a store, and a folder for outputs beside it."""
    repository.write("env.toml", ENV_TOML.format(store=store, outputs=folder / "outputs"))


def refusal(
    repository: Repository, *arguments: str, variables: dict[str, str] | None = None
) -> str:
    """Run Pants, which must refuse with one line and start no job; return that line."""
    before = repository.jobs()
    result = repository.try_pants(*arguments, variables=variables or {})
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    (line,) = (
        each
        for each in result.stderr.splitlines()
        # Around an error of a rule Pants says where in its engine that was.
        if each
        and "Exception encountered" not in each
        and "ngine traceback:" not in each
        and not each.startswith("  in ")
        and "[INFO]" not in each
    )
    assert repository.jobs() == before
    return line


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize(
    ("build", "target", "expected"),
    [
        ('artifact(name="x", recipe=":oen")', "x", "did you mean bad:one?"),
        ('artifact(name="x", recipe=":one", config="tiny")', "x", "no config 'tiny'"),
        (
            'artifact(name="x", recipe=":one", overrides=["valeu=3"])',
            "x",
            "has no key 'valeu'; did you mean 'value'?",
        ),
        (
            'artifact(name="x", recipe=":one", inputs=[":y"])\n'
            'artifact(name="y", recipe=":one", inputs=[":x"])',
            "x",
            "bad:x -> bad:y -> bad:x",
        ),
        (
            'artifact(name="x", recipe=":one", artifact_name="same")\n'
            'artifact(name="y", recipe=":one", artifact_name="same")',
            "x",
            "bad:x, bad:y",
        ),
    ],
    ids=["recipe", "config", "override", "cycle", "name"],
)
def test_targets(goal: str, build: str, target: str, expected: str, bad: Repository) -> None:
    bad.write("bad/BUILD", f"{BUILD}{build}\n")
    before = bad.files()
    try:
        assert expected in refusal(bad, goal, f"bad:{target}")
        assert bad.files() == before
    finally:
        bad.write("bad/BUILD", BUILD)


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("s3://team/store", "cannot list s3://team/store: Could not connect"),
        ("ftp://team/store", "no store can be kept at ftp://team/store"),
    ],
)
def test_a_store_out_of_reach(
    goal: str, root: str, expected: str, bad: Repository, tmp_path: Path
) -> None:
    use(bad, root, tmp_path)
    before = bad.files()
    assert expected in refusal(bad, goal, "bad:first", variables=NOBODY_LISTENS)
    assert bad.files() == before
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("goal", GOALS)
def test_a_broken_manifest(goal: str, bad: Repository, store: Path) -> None:
    manifest = store / "bad-first" / "v1" / "manifest.json"
    manifest.write_text('{"name": "bad-fi')
    bad.write("bad/config/one/default.yaml", "value: 3\n")
    try:
        line = refusal(bad, goal, "bad:second")
    finally:
        bad.write("bad/config/one/default.yaml", "value: 1\n")
    assert f"{manifest} is broken" in line
    assert sorted(path.name for path in store.iterdir() if path.name[0] != "_") == ["bad-first"]


def test_a_read_only_store(bad: Repository, store: Path, tmp_path: Path) -> None:
    with read_only(store, tmp_path / "read-only") as folder:
        use(bad, str(folder), tmp_path)
        assert "bad-second" in bad.pants("plan", "bad:second")
        assert bad.pants("materialize", "bad:first").startswith("nothing to do")
        line = refusal(bad, "materialize", "bad:second")
    assert f"the store {folder} cannot be written" in line


def test_a_full_disk(bad: Repository, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        use(bad, str(disk / "store"), tmp_path)
        fill(disk / "full")
        assert "No space left" in refusal(bad, "materialize", "bad:first")
        assert [path for path in disk.rglob("*") if path.is_file()] == [disk / "full"]
        (disk / "full").unlink()
        bad.pants("materialize", "bad:first")
        # Its store has room, its outputs have none.
        use(bad, str(tmp_path / "store"), disk)
        fill(disk / "full")
        result = bad.try_pants("materialize", "bad:first")
        assert result.returncode == 1
        first, last = result.stderr.splitlines()
        assert "No space left" in first and str(disk) in first
        assert last == "go on with: ./pants materialize bad:first"
        (disk / "full").unlink()
        bad.pants("materialize", "bad:first")


def fill(file: Path) -> None:
    """Write until there is no room."""
    with file.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(1024))
        except OSError:
            return


@contextmanager
def read_only(folder: Path, place: Path) -> Iterator[Path]:
    """Yield a folder with the same content that this user cannot write to."""
    place.mkdir()
    if os.getuid() == 0:
        with mounted(place, "--bind", str(folder)):
            mount("-o", "remount,ro,bind", str(place))
            yield place
        return
    for parent, _, _ in os.walk(folder):
        os.chmod(parent, 0o555)
    try:
        yield folder
    finally:
        for parent, _, _ in os.walk(folder):
            os.chmod(parent, 0o755)


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """Yield a folder that is a disk of 256 KiB."""
    place.mkdir()
    with mounted(place, "-t", "tmpfs", "-o", "size=256k", "tmpfs"):
        yield place


@contextmanager
def mounted(place: Path, *what: str) -> Iterator[None]:
    """Mount something in an empty folder."""
    if os.getuid() != 0 or mount(*what, str(place)) != 0:
        pytest.skip("this user may not mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def mount(*arguments: str) -> int:
    """Run mount; return its exit code."""
    return subprocess.run(["mount", *arguments], capture_output=True).returncode
