"""nano3's pipeline as a team has it: one person trains it, another works on in a clone elsewhere.

The first clone is deleted before the second one does anything: what they share is a store, a folder
for outputs and nothing else. All tests then edit the second clone, whose Pants stays warm, and put
the edit back, for which nothing runs: the store has those versions.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.repository import Repository, cloned, wait_until
from tests.nemo_runspec.store.s3_server import make_bucket, s3_server

TINY = "src/recipes/nano3-tiny"
ALL = f"{TINY}::"
# Of each kind of job one, without the long ones.
SOME = (f"{TINY}:rl-data", f"{TINY}:shard-stats")

BELOW_SFT = {"sft/learning_rate-1e-3", "sft/learning_rate-3e-3", "sft-model", "rl-model"}
TRAINED = {"pretrain-data", "pretrain-model", "sft-data", "rl-data", *BELOW_SFT, "eval-results"}

SFT_CONFIG = "src/recipes/nano3/stage1_sft/config/train/tiny.yaml"
LOCK = "3rdparty/python/python-default.lock"
TABULATE = """\
tabulate==0.9.0 \\
    --hash=sha256:024ca478df22e9340661486f85298cff5f6dcdba14f3813e8830015b9ed1948f
"""

# These come before what is said of them below.
SETTINGS = ("PANTS_PEX_CLI_URL_TEMPLATE", "PYENV_ROOT")

ENV_TOML = """\
[artifacts]
output_root = "{outputs}"

[artifacts.manifest]
root = "{store}"

[both]
executor = "local"
parallel = 2
"""


@dataclass(frozen=True)
class Place:
    """Where a team keeps what it makes.

    Attributes:
        store: the root of its store.
        outputs: the folder of its outputs.
        variables: environment variables that the store needs.
        goals: what was made there.
        first: the artifacts that ran when it was made for the first time, without their common
            beginning.
        again: what Pants printed when the same was asked for once more.
    """

    store: str
    outputs: Path
    variables: Mapping[str, str]
    goals: tuple[str, ...]
    first: frozenset[str] = frozenset()
    again: str = ""


def configure(repository: Repository, place: Place) -> None:
    """Let a clone use a store."""
    repository.write("env.toml", ENV_TOML.format(store=place.store, outputs=place.outputs))


def materialize(
    repository: Repository, *goals: str, variables: Mapping[str, str] | None = None
) -> set[str]:
    """Bring goals up to date; return the names of the artifacts that ran for it, without their
    common beginning."""
    before = repository.jobs()
    repository.pants("materialize", "--profile=both", *goals, variables=variables or {})
    return ran_since(repository, before)


def ran_since(repository: Repository, before: tuple[Path, ...]) -> set[str]:
    contexts = [
        json.loads((j / "context.json").read_text()) for j in repository.jobs()[len(before) :]
    ]
    return {context["artifact"].removeprefix("nano3-tiny-") for context in contexts}


def plan(repository: Repository) -> dict[str, dict[str, Any]]:
    """Return what is planned for each artifact, by its name without the common beginning."""
    nodes = json.loads(repository.pants("plan", "--format=json", ALL))["nodes"]
    return {node["name"].removeprefix("nano3-tiny-"): node for node in nodes}


def in_state(nodes: Mapping[str, Mapping[str, Any]], state: str) -> set[str]:
    return {name for name, node in nodes.items() if node["state"] == state}


def somebody_else(home: Path) -> dict[str, str]:
    """Return the environment of a user whose home is another folder, on this machine.

    What Pants and ./pants fetched and built before is left within their reach, by the same paths,
    as it takes minutes; what the library keeps is not.
    """
    pants = os.environ["RUNSPEC_PANTS_HOME"]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    own = home / ".cache" / "nemo-runspec"
    own.mkdir(parents=True)
    for entry in (cache / "nemo-runspec").iterdir():
        if entry.name != "plan":
            (own / entry.name).symlink_to(entry)
    return {
        "HOME": str(home),
        "LOGNAME": "alice",
        "USER": "alice",
        "XDG_CACHE_HOME": str(home / ".cache"),
        "PANTS_LOCAL_STORE_DIR": str(cache / "pants" / "lmdb_store"),
        "PANTS_NAMED_CACHES_DIR": str(cache / "pants" / "named_caches"),
        "PANTS_PEX_CLI_URL_TEMPLATE": f"file://{pants}/pex-{{version}}.pex",
        "PANTS_PYTHON_BOOTSTRAP_SEARCH_PATH": f"['<PYENV>', '<PATH>', '{pants}/venv/bin']",
        "PYENV_ROOT": str(Path.home() / ".pyenv"),
        **{name: os.environ[name] for name in SETTINGS if name in os.environ},
    }


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Place]]:
    """Two places that somebody filled whose clone is gone."""
    if "RUNSPEC_PANTS_HOME" not in os.environ:
        pytest.skip("needs the real Pants: run it through `./pants test tests/integration::`")
    team = tmp_path_factory.mktemp("team")
    with s3_server() as options:
        amazon = {
            "AWS_ENDPOINT_URL": options["client_kwargs"]["endpoint_url"],
            "AWS_ACCESS_KEY_ID": options["key"],
            "AWS_SECRET_ACCESS_KEY": options["secret"],
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        bucket = make_bucket(options, "team")
        empty = {
            "folder": Place(str(team / "store"), team / "outputs", {}, (ALL,)),
            "S3": Place(f"{bucket}/artifacts", team / "outputs of S3", amazon, SOME),
        }
        root = tmp_path_factory.mktemp("alice") / "clone"
        with cloned(root, somebody_else(root.parent / "home")) as first:
            found = {name: fill(first, place) for name, place in empty.items()}
        assert wait_until(lambda: remove(root))
        yield found


def remove(folder: Path) -> bool:
    """Remove a clone; tell whether that worked, as its Pants may still write for a moment."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def fill(repository: Repository, place: Place) -> Place:
    """Make all of a place's goals, and ask for them once more."""
    configure(repository, place)
    first = materialize(repository, *place.goals, variables=place.variables)
    again = repository.pants("materialize", *place.goals, variables=place.variables)
    return Place(place.store, place.outputs, place.variables, place.goals, frozenset(first), again)


@pytest.fixture(scope="module")
def clone(repository: Repository, places: dict[str, Place]) -> Repository:
    """Another clone, with the store that is a folder."""
    configure(repository, places["folder"])
    return repository


@pytest.fixture
def edit(clone: Repository) -> Iterator[Callable[[str, str, str], None]]:
    """Replaces text in a file of the clone; it is put back after the test."""

    def replace(path: str, old: str, new: str) -> None:
        file = clone.root / path
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1
        file.write_text(text.replace(old, new), encoding="utf-8")

    yield replace
    clone.git("reset", "--quiet", "--hard", "as-cloned")


def test_everything_runs_once(places: dict[str, Place]) -> None:
    place = places["folder"]
    shards = {name for name in place.first if name.startswith("shard-stats/")}
    assert place.first == TRAINED | shards
    assert len(shards) > 1
    assert place.again == "nothing to do: all 10 artifacts are fresh\n"


@pytest.mark.parametrize("name", ["S3", "folder"])
def test_another_clone_of_somebody_else_runs_nothing(
    name: str, clone: Repository, places: dict[str, Place]
) -> None:
    place = places[name]
    assert place.first
    configure(clone, place)
    try:
        before = clone.jobs()
        shown = clone.pants("materialize", *place.goals, variables=place.variables)
    finally:
        configure(clone, places["folder"])
    assert shown == place.again
    assert shown.startswith("nothing to do")
    assert clone.jobs() == before


def test_comments_and_blank_lines_are_no_change(
    clone: Repository, edit: Callable[[str, str, str], None]
) -> None:
    edit("src/recipes/nano3/model.py", "\nParameters: ", "\n# What is trained.\n\n\n\nParameters: ")
    edit(SFT_CONFIG, "# A few seconds:", "# Seconds:\n\n# A few:")
    assert clone.pants("materialize", ALL) == "nothing to do: all 10 artifacts are fresh\n"


def test_a_value_makes_its_stage_and_what_is_below_run(
    clone: Repository, edit: Callable[[str, str, str], None]
) -> None:
    edit(SFT_CONFIG, "  steps: 20\n", "  steps: 24\n")
    nodes = plan(clone)
    stale, depends = in_state(nodes, "stale"), in_state(nodes, "depends")
    assert stale == {"sft/learning_rate-1e-3", "sft/learning_rate-3e-3"}
    assert depends == {"sft-model", "rl-model", "eval-results"}
    for name in stale:
        assert re.search(r"train\.steps\b.*\b20\b.*\b24\b", nodes[name]["why"])
    assert materialize(clone, ALL) == stale | depends


def test_a_helper_whose_data_comes_out_the_same_stops_there(
    clone: Repository, edit: Callable[[str, str, str], None]
) -> None:
    helper = "src/recipes/nano3/prepare.py"
    edit(helper, "too few to train on some", "too few, to train on some")
    nodes = plan(clone)
    assert in_state(nodes, "stale") == {"pretrain-data"}
    assert helper in nodes["pretrain-data"]["why"]
    assert materialize(clone, ALL) == {"pretrain-data"}
    assert set(in_state(plan(clone), "fresh")) == set(nodes)


def test_a_requirement_that_eval_alone_can_import_makes_eval_run(
    clone: Repository, edit: Callable[[str, str, str], None]
) -> None:
    found = re.search(
        r"^tabulate==(\S+) \\\n(?: +--hash=\S+(?: \\)?\n)+",
        (clone.root / LOCK).read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert found
    edit(LOCK, found[0], TABULATE)
    nodes = plan(clone)
    assert in_state(nodes, "stale") == {"eval-results"}
    assert not in_state(nodes, "depends")
    why = nodes["eval-results"]["why"]
    assert "tabulate" in why and found[1] in why and "0.9.0" in why
    assert materialize(clone, ALL) == {"eval-results"}


@pytest.mark.parametrize("killed", ["the job", "all that runs"])
def test_a_killed_training_goes_on_and_what_is_above_it_is_kept(
    killed: str, clone: Repository, edit: Callable[[str, str, str], None]
) -> None:
    # Long enough to be killed in, and of another length each time: no version of it is there yet.
    steps = 300 if killed == "the job" else 310
    edit(SFT_CONFIG, "  steps: 20\n", f"  steps: {steps}\n")
    goal = next(n["address"] for n in plan(clone).values() if n["name"].endswith("rate-1e-3"))
    before = clone.jobs()
    with subprocess.Popen(
        ["./pants", "materialize", goal],
        cwd=clone.root,
        env=clone.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as command:
        assert wait_until(lambda: has_checkpoint(clone, before), seconds=120)
        for pid in processes(clone, only_job=killed == "the job"):
            os.kill(pid, signal.SIGKILL)
        _, problems = command.communicate(timeout=120)
    assert command.returncode == 1
    assert problems.splitlines()[-1] == f"go on with: ./pants materialize {shlex.quote(goal)}"
    assert "Traceback" not in problems

    nodes = plan(clone)
    assert nodes["sft/learning_rate-1e-3"]["state"] == "stale"
    assert {"pretrain-data", "pretrain-model", "sft-data"} <= in_state(nodes, "fresh")
    assert materialize(clone, goal) == {"sft/learning_rate-1e-3"}
    log = (clone.jobs()[-1] / "logs" / "job.log").read_text(encoding="utf-8")
    assert first_step(log) > 10, "it began anew"


def has_checkpoint(repository: Repository, before: tuple[Path, ...]) -> bool:
    """Tell whether the one job that was started since is beyond its first checkpoint."""
    jobs = repository.jobs()[len(before) :]
    log = jobs[0] / "logs" / "job.log" if jobs else None
    return log is not None and log.exists() and len(steps_of(log.read_text("utf-8"))) > 3


def processes(repository: Repository, *, only_job: bool) -> list[int]:
    """Return what runs for the last job: itself, who watches over it and the pipeline."""
    job = json.loads((repository.jobs()[-1] / "status.json").read_text())
    if only_job:
        return [job["job"]["pid"]]
    states = (repository.root / ".runspec/jobs/_pipelines").glob("*/state.json")
    newest = max(states, key=lambda path: path.stat().st_mtime_ns)
    pipeline = json.loads(newest.read_text())
    # From above: none is to see the others' end.
    return [pipeline["process"]["pid"], job["supervisor"]["pid"], job["job"]["pid"]]


def steps_of(log: str) -> list[int]:
    """Return the steps that a training told of."""
    return [int(found) for found in re.findall(r"^ +(\d+)  +\d+\.\d+", log, re.MULTILINE)]


def first_step(log: str) -> int:
    return steps_of(log)[0]
