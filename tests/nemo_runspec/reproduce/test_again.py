"""`nemo-runspec reproduce --run`: a version is made again at its commit, and compared."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nemo_runspec.store import VersionDraft
from tests.nemo_runspec.executor_contract import PATIENCE_SECONDS
from tests.nemo_runspec.pipeline.workshop import PLAIN, finish
from tests.nemo_runspec.reproduce.committed import Committed

COPY = """
source = [line.split(": ")[1] for line in text.splitlines() if line.startswith("source")][0]
(out / "data.txt").write_text(VALUE + " of " + (Path(source) / "data.txt").read_text())
"""


CONFIG = "run:\n  above: data:latest\nsource: ${art:above,path}\n"


@pytest.fixture
def shop(tmp_path: Path) -> Committed:
    return Committed(tmp_path)


def two_stages(shop: Committed, *, data: str = "data", model: str = "model") -> None:
    shop.plain("data", value=data)
    shop.plain(
        "model",
        value=model,
        more=COPY,
        inputs={"above": "data"},
        config=CONFIG,
    )


def test_it_comes_out_the_same_whatever_the_repository_is_today(shop: Committed) -> None:
    two_stages(shop)
    first = shop.commit()
    shop.made()
    assert shop.manifest("model").run["commit"] == first
    # Newer versions, newer commits, and something that no commit has.
    for name in ("data", "model"):
        other = shop.folder / f"newer {name}"
        other.mkdir()
        (other / "data.txt").write_text("newer")
        shop.store.add_version(name, VersionDraft(path=str(other)))
    shop.store.set_alias("data", "prod", 2, by="ada", reason="better")
    two_stages(shop, data="newer", model="newer")
    shop.commit()
    two_stages(shop, data="newest", model="newest")
    shop.write()
    shop.ran()
    before = shop.stored()

    code, out, err = shop.run("reproduce", "model:v1", "--run", "--format=json")
    assert code == 0, err
    document = json.loads(out)
    assert document["is_reproducible"] and document["run"]["is_same"] is True
    # Made from data:v1, which nobody made again.
    assert shop.ran() == ["model"]
    assert document["recipe"]["inputs"] == ["data:v1"] and document["recipe"]["commit"] == first
    # The team's store has no new version, and nothing is left.
    assert shop.stored() == before
    assert shop.left_over() == []
    assert shop.git("rev-parse", "HEAD") != first


def test_an_input_that_was_accepted_is_not_made_again(shop: Committed) -> None:
    # Logged by hand, before there was a target that makes it; somebody says that it is the same.
    there = shop.folder / "there before"
    there.mkdir()
    (there / "data.txt").write_text("data")
    shop.store.add_version("data", VersionDraft(path=str(there)))
    shop.plain("data", value="data")
    shop.plain("model", more=COPY, inputs={"above": "data"}, config=CONFIG)
    shop.commit()
    code, _, err = shop.run(
        "accept", "data:v1", "--plan", str(shop.plan_folder), "--reason", "the same"
    )
    assert code == 0, err
    shop.made()
    assert shop.manifest("model").used_artifacts == ("data:v1",)
    shop.ran()
    code, out, err = shop.run("reproduce", "model:v1", "--run")
    assert code == 0, err
    assert "model:v1 was made again: the content is the same" in out
    assert shop.ran() == ["model"]


def test_a_config_that_no_commit_has(shop: Committed) -> None:
    shop.artifact("data", shop.recipe("data", PLAIN, VALUE="1"), output=".", config="count: 3\n")
    shop.commit()
    shop.artifact("data", "src/demo:data", output=".", config="count: 4\n")
    shop.made()
    shop.ran()
    code, out, err = shop.run("reproduce", "data:v1", "--run")
    assert code == 1
    # Its code is that of the commit; that its config is not is seen before anything runs.
    assert "? commit" in out and "= code" in out
    assert err.splitlines()[-1].startswith(
        "error: data:v1 would be made otherwise: count: 4 -> 3; "
    )
    assert shop.ran() == [] and shop.left_over() == []


SWITCHES = """
import time
import uuid
def on(name):
    return os.path.exists(os.environ["RAN"] + "." + name)
if on("fail"):
    sys.exit(3)
if on("slow"):
    Path(os.environ["RAN"] + ".pid").write_text(str(os.getpid()))
    time.sleep(600)
if on("noise"):
    (out / "noise.txt").write_text(str(uuid.uuid4()))
else:
    (out / "only then.txt").write_text("")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Committed:
    """data:v1, whose script does something else when a file says so."""
    shop = Committed(tmp_path_factory.mktemp("made"))
    shop.plain("data", more=SWITCHES)
    shop.commit()
    shop.made()
    return shop


@contextlib.contextmanager
def switched(shop: Committed, name: str) -> Iterator[None]:
    switch = Path(f"{shop.ran_file}.{name}")
    switch.touch()
    try:
        yield
    finally:
        switch.unlink()


def test_what_differs_is_said_file_by_file(made: Committed) -> None:
    with switched(made, "noise"):
        code, out, _ = made.run("reproduce", "data:v1", "--run", "--keep")
    (kept,) = made.temporary.glob("nemo-runspec-reproduce-*")
    try:
        assert code == 1
        assert out.endswith(
            "data:v1 was made again, and the content differs\n"
            "  noise.txt: new\n"
            "  only then.txt: not made again\n"
            f"left to look at: {kept}\n"
        )
        # What was asked for is left to look at.
        assert list((kept / "outputs" / "data").rglob("noise.txt"))
        assert made.git("-C", str(kept / "tree"), "status", "--porcelain", "src") == ""
    finally:
        made.git("worktree", "remove", "--force", str(kept / "tree"))
        shutil.rmtree(kept)


def test_a_run_that_fails(made: Committed) -> None:
    with switched(made, "fail"):
        code, _, err = made.run("reproduce", "data:v1", "--run")
    assert code == 1
    assert err.splitlines()[-1] == (
        "error: data:v1 was not made again: `pants materialize` ended with exit code 1"
    )
    assert made.left_over() == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_after_an_interruption(made: Committed, signum: signal.Signals) -> None:
    pid_file = Path(f"{made.ran_file}.pid")
    pid_file.unlink(missing_ok=True)
    before = made.stored()
    with switched(made, "slow"):
        process = made.begin("reproduce", "data:v1", "--run")
        try:
            wait(lambda: pid_file.exists() and bool(pid_file.read_text()))
            process.send_signal(signum)
            code, _, err = finish(process, PATIENCE_SECONDS)
        finally:
            process.kill()
    assert code == 128 + signum, err
    wait(lambda: not is_alive(int(pid_file.read_text())))
    assert made.left_over() == []
    assert made.stored() == before


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
