from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from nemo_runspec.artifacts.answers import ResolveError, is_distributed, this_rank
from nemo_runspec.store import VersionDraft, open_store
from tests.nemo_runspec.artifacts.processes import output, start

RESOLVE = """
import sys
from omegaconf import OmegaConf
from nemo_runspec.artifacts import setup_artifact_tracking
config = OmegaConf.create({
    "artifacts": {"manifest": {"root": sys.argv[1]}},
    "run": {"data": sys.argv[2]},
    "x": "${art:data,version} ${art:data}",
})
setup_artifact_tracking(config)
print("ready", flush=True)
sys.stdin.readline()
try:
    print(config.x)
except Exception as error:
    print(type(error.__cause__ or error).__name__, str(error).splitlines()[0])
"""


def ranks(world: int, folder: Path, launcher: str) -> list[dict[str, str]]:
    job = {"NEMO_RUN_DIR": str(folder)}
    if launcher == "torchrun":
        return [
            {**job, "RANK": str(n), "WORLD_SIZE": str(world), "TORCHELASTIC_RUN_ID": "r1"}
            for n in range(world)
        ]
    return [
        {
            "SLURM_PROCID": str(n),
            "SLURM_NTASKS": str(world),
            "SLURM_JOB_ID": "77",
            "SLURM_STEP_ID": "0",
        }
        for n in range(world)
    ]


@pytest.mark.parametrize("launcher", ["torchrun", "slurm"])
def test_all_ranks_mean_the_version_that_rank_0_found(tmp_path: Path, launcher: str) -> None:
    import os
    import subprocess
    import sys

    root = str(tmp_path / "store")
    store = open_store(root)
    store.add_version("data", VersionDraft(path="/data"))
    environments = ranks(4, tmp_path / "job", launcher)
    path = os.pathsep.join(entry for entry in sys.path if entry)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RESOLVE, root, "data:latest"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": path, **environment},
        )
        for environment in environments
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    # From here on `latest` is another one; the ranks have yet to use it.
    store.add_version("data", VersionDraft(path="/later"))
    answers = [process.communicate("\n", timeout=120)[0].strip() for process in processes]
    assert answers == ["v1 /data"] * 4


FAIL = """
import sys, time
from omegaconf import OmegaConf
from nemo_runspec.artifacts import setup_artifact_tracking
config = OmegaConf.create({
    "artifacts": {"manifest": {"root": sys.argv[1]}},
    "run": {"data": sys.argv[2]},
    "x": "${art:data}",
})
setup_artifact_tracking(config)
try:
    config.x
except Exception as error:
    print(time.time(), str(error).splitlines()[0], sep="|")
"""


def test_a_failure_reaches_all_ranks_within_a_second(tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    open_store(root).add_version("data", VersionDraft(path="/data"))
    environments = ranks(4, tmp_path / "job", "torchrun")
    others = [start(FAIL, root, "dta:latest", env=env) for env in environments[1:]]
    first = start(FAIL, root, "dta:latest", env=environments[0])
    results = [output(process).split("|", 1) for process in (first, *others)]
    messages = {message for _, message in results}
    assert len(messages) == 1
    assert "dta" in messages.pop()
    written = next((tmp_path / "job/.runspec/resolved").iterdir()).stat().st_mtime
    # They run as soon as the machine lets them; a busy one is given some seconds more.
    assert max(float(when) for when, _ in results) < written + 10


def test_an_answer_of_another_attempt_is_not_read(tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    store = open_store(root)
    environments = ranks(2, tmp_path / "job", "torchrun")
    for restart in ("0", "1"):
        store.add_version("data", VersionDraft(path=f"/{restart}"))
        processes = [
            start(
                FAIL.replace("config.x", "print(config.x)"),
                root,
                "data:latest",
                env={**env, "TORCHELASTIC_RESTART_COUNT": restart},
            )
            for env in environments
        ]
        assert [output(process) for process in processes] == [f"/{restart}"] * 2


def test_rank_0_never_answers(tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    env = {**ranks(2, tmp_path / "job", "torchrun")[1], "RUNSPEC_RESOLVE_TIMEOUT": "0.3"}
    began = time.monotonic()
    message = output(start(FAIL, root, "data:latest", env=env))
    assert "rank 0 has not said within 0.3 s" in message
    assert time.monotonic() - began < 60


def test_an_answer_says_who_failed_otherwise(tmp_path: Path) -> None:
    # A store that is a file: every lookup fails, on each rank with the same line.
    (tmp_path / "file").write_text("x", "utf-8")
    environments = ranks(2, tmp_path / "job", "torchrun")
    processes = [start(FAIL, str(tmp_path / "file"), "data:latest", env=e) for e in environments]
    messages = {output(process).split("|", 1)[1] for process in processes}
    assert len(messages) == 1
    assert str(tmp_path / "file") in messages.pop()
    answers = [
        json.loads(path.read_text("utf-8"))
        for path in (tmp_path / "job/.runspec/resolved").iterdir()
    ]
    assert len(answers) == 1


def test_ranks() -> None:
    assert not is_distributed({})
    assert not is_distributed({"RANK": "0", "WORLD_SIZE": "1"})
    torch = {"RANK": "3", "WORLD_SIZE": "8", "TORCHELASTIC_RUN_ID": "a"}
    assert is_distributed(torch)
    rank = this_rank({**torch, "SLURM_PROCID": "0", "SLURM_NTASKS": "2"})
    assert (rank.number, rank.world) == (3, 8)
    assert this_rank(torch).job == this_rank({**torch, "RANK": "0"}).job
    assert this_rank(torch).job != this_rank({**torch, "RUNSPEC_ATTEMPT": "2"}).job
    with pytest.raises(ResolveError, match="--rdzv-id"):
        this_rank({"RANK": "0", "WORLD_SIZE": "8", "TORCHELASTIC_RUN_ID": "none"})
    alone = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    assert this_rank(alone).job == this_rank({**alone, "RANK": "0"}).job
